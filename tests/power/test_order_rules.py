"""The rule on made-up recordings: each way of speaking too early is found, and the right order is not."""

from __future__ import annotations

import re

from tests.power.order import Promise, violations
from tests.power.strace import Call

PROMISE = Promise(name="202", committed=re.compile(b"hello"), said=re.compile(b"HTTP/1.1 202"))

INNER = bytes(24)
LAST = bytes([0, 0, 0, 2, 0, 0, 0, 9]) + bytes(16)  # a frame's header that ends a transaction


def log(data: bytes) -> tuple[str, str, bytes]:
    return ("pwrite64", "/s/clawd.db-wal", data)


SYNC = ("fdatasync", "/s/clawd.db-wal", b"")
OTHER_SYNC = ("fdatasync", "/s/clawd.db", b"")
SAID = ("sendto", "socket:[7]", b"HTTP/1.1 202 Accepted")
COMMIT = [log(INNER), log(b"..hello.."), log(LAST), log(b"another page")]


def verdict(*steps: tuple[str, str, bytes]) -> list[str]:
    recorded = [
        Call(began=n, ended=n, name=name, path=path, data=data) for n, (name, path, data) in enumerate(steps)
    ]
    return violations(recorded, [PROMISE])


def test_a_word_after_the_sync_of_its_commit_is_right() -> None:
    assert verdict(*COMMIT, SYNC, SAID) == []
    assert verdict(log(LAST), log(b"hello"), SYNC, SAID) == []


def test_a_word_between_commit_and_sync_is_too_early() -> None:
    assert verdict(*COMMIT, SAID, SYNC) == ["202: said at 4, on the disk at 5"]


def test_a_word_before_anything_was_written_is_too_early() -> None:
    assert verdict(SAID, *COMMIT, SYNC) == ["202: said at 0, on the disk at 5"]


def test_a_sync_of_another_file_is_none() -> None:
    assert verdict(*COMMIT, OTHER_SYNC, SAID) == ["202: said at 5, and the log was never synced after 3"]


def test_a_sync_within_the_transaction_does_not_cover_its_end() -> None:
    assert verdict(*COMMIT[:2], SYNC, *COMMIT[2:], SAID) == [
        "202: said at 5, and the log was never synced after 4"
    ]


def test_a_sync_that_began_before_the_last_page_was_written_does_not_cover_it() -> None:
    recorded = [
        Call(began=0, ended=0, name="pwrite64", path="/s/clawd.db-wal", data=LAST),
        Call(began=2, ended=2, name="pwrite64", path="/s/clawd.db-wal", data=b"hello"),
        Call(began=1, ended=3, name="fdatasync", path="/s/clawd.db-wal"),
        Call(began=4, ended=4, name="sendto", path="socket:[7]", data=b"HTTP/1.1 202"),
    ]
    assert violations(recorded, [PROMISE]) == ["202: said at 4, and the log was never synced after 2"]


def test_a_word_while_the_sync_is_under_way_is_too_early() -> None:
    recorded = [
        Call(began=0, ended=0, name="pwrite64", path="/s/clawd.db-wal", data=LAST),
        Call(began=1, ended=1, name="pwrite64", path="/s/clawd.db-wal", data=b"hello"),
        Call(began=3, ended=3, name="sendto", path="socket:[7]", data=b"HTTP/1.1 202"),
        Call(began=2, ended=4, name="fdatasync", path="/s/clawd.db-wal"),
    ]
    assert violations(recorded, [PROMISE]) == ["202: said at 3, on the disk at 4"]


def test_what_was_never_seen_is_no_proof() -> None:
    assert verdict(*COMMIT, SYNC) == ["202: never said"]
    assert verdict(log(LAST), log(b"other"), SYNC, SAID) == ["202: said, and never in the log"]
    assert verdict(log(INNER), log(b"hello"), SYNC, SAID) == ["202: said, and its transaction never ended"]
