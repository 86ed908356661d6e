"""Output is kept from both ends, whatever comes and however much."""

from __future__ import annotations

import asyncio
import os
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from clawd.tools.output import HeadAndTail, captured


def fed(*pieces: bytes, max_chars: int = 10) -> str:
    kept = HeadAndTail(max_chars)
    for piece in pieces:
        kept.feed(piece)
    return kept.text()


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_how_it_was_cut_into_pieces_makes_no_difference(pieces: list[bytes]) -> None:
    assert fed(*pieces) == fed(b"".join(pieces))


@given(st.text(max_size=10))
def test_what_fits_comes_back_as_it_was(text: str) -> None:
    data = text.encode("utf-8", "replace")
    assert fed(*(data[n : n + 1] for n in range(len(data)))) == data.decode()


@given(st.integers(11, 500))
def test_of_what_is_longer_beginning_and_end_are_kept(size: int) -> None:
    data = bytes(33 + n % 90 for n in range(size))
    first, note, last = fed(data).split("\n")
    assert (first.encode(), last.encode()) == (data[:5], data[-5:])
    assert f"{size - 10} of {size} bytes" in note


def test_what_is_no_text_is_marked_and_not_lost() -> None:
    assert fed(b"a\xff\xfeb") == "a\ufffd\ufffdb"
    assert fed("äöü".encode() * 100).startswith("äöüäö\n[… ")


def test_memory_is_bounded() -> None:
    kept, piece = HeadAndTail(1000), b"y\n" * 32_768
    tracemalloc.start()
    for _ in range(500):
        kept.feed(piece)
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept.total == 500 * 65_536
    assert most < 500_000


async def test_a_flood_leaves_the_loop_to_others() -> None:
    """Some gigabytes a second would come; reading them all would leave the loop no time for anything else."""
    async with captured(1000) as capture:
        flood = await asyncio.create_subprocess_exec("yes", stdout=capture.file)
        capture.handed_over()
        await asyncio.sleep(0.5)
        flood.kill()
        await flood.wait()
        text = await capture.text()
    assert text.startswith("y\ny\n")
    assert int(text.split(" of ")[1].split(" ")[0]) < 64 << 20


async def test_a_writer_that_never_ends_is_waited_for_a_little_only() -> None:
    async with captured(1000) as capture:
        other = os.dup(capture.file)
        try:
            os.write(other, b"so far")
            assert await capture.text() == "so far"
        finally:
            os.close(other)
