"""System calls of a process in the order the kernel saw them, read from what strace wrote."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

AVAILABLE: Final = shutil.which("strace") is not None

CALLS: Final = (
    "openat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,"
    "pwrite64,pwritev,write,writev,ftruncate,fallocate,fdatasync,fsync,sendto,sendmsg"
)
LONGEST: Final = 1 << 17  # bytes of one argument; a longer one is an error, not a shorter record

_LINE: Final = re.compile(r"(\d+) +(\w+)\((.*)", re.DOTALL)
_REST: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_RESULT: Final = re.compile(r"\) += (-?\d+)(?:<([^>]*)>)?")
_DESCRIPTOR: Final = re.compile(r"(\d+|AT_FDCWD)<([^>]*)>")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_UNFINISHED: Final = " <unfinished ...>"
_DATA: Final = frozenset({"pwrite64", "pwritev", "write", "writev", "sendto", "sendmsg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One system call that ended without an error.

    `began` and `ended` are places in one order over all threads: what a call that began later did can't
    have been seen by one that ended earlier.
    """

    began: int
    ended: int
    name: str
    path: str = ""  # of the descriptor or the first name; "socket:[…]", "pipe:[…]" for what is no file
    target: str = ""  # the second name, of a rename
    data: bytes = b""  # what was written, as far as the kernel took it
    offset: int | None = None
    size: int = 0  # of ftruncate
    flags: str = ""  # of openat

    @property
    def leaves(self) -> bool:
        """Whether it hands bytes to another process: nothing can take them back."""
        return self.name in _DATA and self.path.startswith(("socket:", "pipe:"))


def command(output: Path, program: Sequence[str]) -> list[str]:
    """Return the command that runs a program and records it; the process that is started is the program."""
    options = ["-D", "-f", "-y", "-xx", "--seccomp-bpf", "-s", str(LONGEST), "-e", f"trace={CALLS}"]
    return ["strace", *options, "-e", "signal=none", "-o", str(output), *program]


def finished(output: Path, pid: int, timeout_s: float = 60) -> list[Call]:
    """Return what a process did, once the recorder has written down its end."""
    end = re.compile(rb"^%d +\+\+\+ (exited|killed)" % pid, re.MULTILINE)
    deadline = time.monotonic() + timeout_s
    while not end.search(content := output.read_bytes()):
        assert time.monotonic() < deadline, "the recorder did not end"
        time.sleep(0.02)  # another process writes the file, and is nobody's child
    return list(calls(content.decode("ascii").splitlines()))


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """Return the calls of a recording, in the order of their ends; failed ones are left out.

    Raises:
        ValueError: a record is cut short, so that nothing can be concluded from it.
    """
    open_ones: dict[str, tuple[int, str, str]] = {}
    for number, line in enumerate(lines):
        if (rest := _REST.match(line)) is not None:
            began, name, arguments = open_ones.pop(rest[1])
            call = _call(began, number, name, arguments + rest[3])
        elif (found := _LINE.match(line)) is None:
            continue  # a signal, or the end of a thread
        elif found[3].endswith(_UNFINISHED):
            open_ones[found[1]] = (number, found[2], found[3].removesuffix(_UNFINISHED))
            continue
        else:
            call = _call(number, number, found[2], found[3])
        if call is not None:
            yield call


def _call(began: int, ended: int, name: str, text: str) -> Call | None:
    result = _RESULT.search(text)
    if result is None or int(result[1]) < 0:
        return None
    arguments = text[: result.start()]
    texts = _TEXT.findall(arguments)
    if any(cut for _, cut in texts):
        raise ValueError(f"an argument of {name} is longer than was recorded")
    strings = [_bytes(value) for value, _ in texts]
    descriptor = _DESCRIPTOR.match(arguments)
    path = _bytes(descriptor[2]).decode() if descriptor is not None else ""
    if name in _DATA:
        data = b"".join(strings)[: int(result[1])]
        offset = int(arguments.rsplit(", ", 1)[1]) if name.startswith("pwrite") else None
        return Call(began=began, ended=ended, name=name, path=path, data=data, offset=offset)
    if name in ("fsync", "fdatasync"):
        return Call(began=began, ended=ended, name=name, path=path)
    if name == "ftruncate":
        return Call(began=began, ended=ended, name=name, path=path, size=int(arguments.rsplit(", ", 1)[1]))
    names = [value.decode() for value in strings]
    if name == "openat":
        opened = _bytes(result[2] or "").decode()
        return Call(began=began, ended=ended, name=name, path=opened, flags=arguments.rpartition('", ')[2])
    if any(not value.startswith("/") for value in names):
        raise ValueError(f"{name} of {names}: names below a descriptor are not told apart here")
    target = names[1] if len(names) > 1 else ""
    return Call(began=began, ended=ended, name=name.removesuffix("at2").removesuffix("at"), path=names[0], target=target)  # fmt: skip


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
