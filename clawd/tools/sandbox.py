"""The sandbox of the shell tool: bubblewrap, with what it shows of this host, and the proof that it works here.

What a command can see is a list of what is let in, not of what is kept out: programs and libraries, a
few files of /etc, an empty /tmp, its own processes, the working directory. Nothing else of this host exists.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""$PATH inside."""

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")

# Of /etc only what programs need to run: the rest holds shadow, keys, clawd's own configuration.
_ETC: Final = (
    *("alternatives", "ca-certificates", "crypto-policies", "fonts", "java", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "magic", "mime.types", "perl", "pki/ca-trust", "pki/tls/certs", "python3", "R"),
    *(
        "ssl/certs",
        "ssl/openssl.cnf",
        "terminfo",
        "localtime",
        "timezone",
        "passwd",
        "group",
        "nsswitch.conf",
    ),
    *("hosts", "host.conf", "gai.conf", "protocols", "resolv.conf", "services"),
)

_ISOLATION: Final = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    # The namespace's first process dies with bubblewrap, and everything inside with that one; bubblewrap
    # itself is in the group that the launcher's watcher kills.
    "--die-with-parent",
    "--new-session",
    # bubblewrap leaves a root user all capabilities inside, with which read-only could be undone.
    *("--cap-drop", "ALL"),
)

PROBE: Final = "test -w . && test -r /proc/self/status && test -c /dev/null && echo works"
_PROBE_S: Final = 20.0


class NoSandbox(ClawdError):
    """bubblewrap can't be used here; `why` has its own words."""

    code = "E-SANDBOX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What commands see and may change. All paths are absolute and are the same inside."""

    program: str  # bwrap
    workdir: Path
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    private: tuple[Path, ...] = ()  # stays hidden within the others, the working directory excepted
    network: bool = False

    def argv(self, environ: Mapping[str, str]) -> list[str]:
        """Return the words to put before a command so that it runs inside, with exactly this environment."""
        words = [self.program, *_ISOLATION, *(() if self.network else ("--unshare-net",))]
        for name in (*_SYSTEM, *(f"/etc/{entry}" for entry in _ETC)):
            words += ["--ro-bind-try", name, name]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - a fresh one inside
        for path in self.readable:
            words += ["--ro-bind", str(path), str(path)]
        for path in self.writable:
            words += ["--bind", str(path), str(path)]
        words += self._hide((*self.readable, *self.writable))
        words += ["--bind", str(self.workdir), str(self.workdir)]
        words += self._hide((self.workdir,))
        words += ["--remount-ro", "/"]  # the folders that hold all this are bubblewrap's own, and writable
        words += ["--chdir", str(self.workdir), "--clearenv"]
        for name, value in environ.items():
            words += ["--setenv", name, value]
        return [*words, "--"]

    def _hide(self, shown: Iterable[Path]) -> Iterator[str]:
        """Yield what covers private places within these: an empty folder, or /dev/null."""
        for folder in shown:
            real = folder.resolve()
            for secret in self.private:
                if not secret.exists() or not secret.resolve().is_relative_to(real):
                    continue
                place = str(folder / secret.resolve().relative_to(real))
                yield from ("--tmpfs", place) if secret.is_dir() else ("--ro-bind", "/dev/null", place)


def find_bwrap(environ: Mapping[str, str]) -> str:
    """Return where bubblewrap is; raises NoSandbox."""
    program = shutil.which("bwrap", path=environ.get("PATH") or SEARCH_PATH)
    if program is None:
        raise NoSandbox("bubblewrap is not installed", remedy="apt install bubblewrap")
    return program


def probe(sandbox: Sandbox, environ: Mapping[str, str], *, limit_s: float = _PROBE_S) -> None:
    """Run a command in the sandbox, with the very words that others will be run with. Blocks for some 20 ms.

    Raises:
        NoSandbox: it did not work.
    """
    argv = [*sandbox.argv(environ), "/bin/sh", "-c", PROBE]
    try:
        done = subprocess.run(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(
            f"no answer within {limit_s:g} s"
        ) from error  # the error itself quotes all of the command
    except OSError as error:
        raise _refused(str(error)) from error
    if done.returncode != 0 or done.stdout != "works\n":
        words = done.stderr.strip().splitlines() or [f"its exit status is {done.returncode}"]
        raise _refused(words[-1])


def _refused(why: str) -> NoSandbox:
    remedy = (
        "in a systemd service: install systemd/clawd-shell.conf as a drop-in; else this host forbids user"
        " namespaces, see docs/tools.md"
    )
    return NoSandbox("bubblewrap does not work here", why=why, remedy=remedy)
