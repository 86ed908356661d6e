"""What strace writes, read back: threads that interrupt each other, data, names, and what proves nothing."""

from __future__ import annotations

import pytest

from tests.power.strace import Call, calls


def hexed(text: str) -> str:
    """Return text as strace writes it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def lines(*texts: str) -> list[Call]:
    return list(calls(texts))


def test_a_write_has_its_place_its_bytes_and_its_offset() -> None:
    line = f'12  pwrite64(5<{hexed("/s/db-wal")}>, "{hexed("abc")}", 3, 4120) = 3'
    assert lines(line) == [
        Call(began=0, ended=0, name="pwrite64", path="/s/db-wal", data=b"abc", offset=4120)
    ]


def test_a_write_that_was_cut_short_by_the_kernel_counts_as_far_as_it_got() -> None:
    (call,) = lines(f'12  write(1<{hexed("pipe:[9]")}>, "{hexed("abc")}", 3) = 2')
    assert (call.data, call.offset, call.leaves) == (b"ab", None, True)


def test_a_call_that_others_interrupt_ends_where_it_is_resumed() -> None:
    sync, send = lines(
        f"12  fdatasync(5<{hexed('/s/db-wal')}> <unfinished ...>",
        f'13  sendto(6<{hexed("socket:[7]")}>, "{hexed("ok")}", 2, 0, NULL, 0) = 2',
        "12  <... fdatasync resumed>)             = 0",
    )[::-1]
    assert (sync.name, sync.began, sync.ended) == ("fdatasync", 0, 2)
    assert (send.name, send.began, send.leaves) == ("sendto", 1, True)


def test_a_scattered_send_is_one_piece() -> None:
    parts = f'[{{iov_base="{hexed("HTTP")}", iov_len=4}}, {{iov_base="{hexed(" 202")}", iov_len=4}}]'
    line = f"12  sendmsg(6<{hexed('socket:[7]')}>, {{msg_name=NULL, msg_iov={parts}, msg_iovlen=2}}, 0) = 8"
    assert lines(line)[0].data == b"HTTP 202"


def test_names_are_read_and_failed_calls_left_out() -> None:
    here = f"AT_FDCWD<{hexed('/home')}>"
    made, moved = lines(
        f'12  openat({here}, "{hexed("/s/new")}", O_WRONLY|O_CREAT|O_EXCL, 0600) = 7<{hexed("/s/new")}>',
        f'12  openat({here}, "{hexed("/s/not")}", O_RDONLY) = -1 ENOENT (No such file or directory)',
        f'12  renameat2({here}, "{hexed("/s/new")}", {here}, "{hexed("/s/old")}", 0) = 0',
        "12  +++ exited with 0 +++",
    )
    assert (made.path, made.flags) == ("/s/new", "O_WRONLY|O_CREAT|O_EXCL, 0600")
    assert (moved.name, moved.path, moved.target) == ("rename", "/s/new", "/s/old")


def test_a_record_that_is_cut_short_proves_nothing() -> None:
    with pytest.raises(ValueError, match="longer than was recorded"):
        lines(f'12  pwrite64(5<{hexed("/s/db-wal")}>, "{hexed("abc")}"..., 4096, 0) = 4096')
