"""Growing Markdown is cut into blocks that mean the same alone as together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.cli.chat.blocks import BlockSplitter, parser

LINES = st.sampled_from(
    [
        "", "", "", "Some words.", "more *words* here", "# Heading", "## Second", "- item", "- other item",
        "  continued", "    deep", "* star", "1. one", "2. two", "10. ten", "```", "```python", "~~~", "x = 1",
        "  ```", "    ```", "- ```", "    y = 2", "---", "***", "===", "> quoted", "> - quoted item", ">", "| a | b |",
        "|---|---|", "| 1 | 2 |", "中文一行", "\ttab", "-", "1.", "- ", "   three", "````", "`inline`", "- - nested",
        "1) paren", "+ plus", "---x", "# ", "#", "-- ", "  - sub", "   - sub3", "* * *", "<div>", "</div>",
    ]
)  # fmt: skip
DOCUMENTS = st.lists(LINES, max_size=14).map("\n".join)


def split(text: str) -> list[str]:
    splitter = BlockSplitter()
    return [*splitter.feed(text), *splitter.finish()]


@given(DOCUMENTS, st.lists(st.integers(1, 9), max_size=40))
def test_every_way_of_cutting_the_text_gives_the_same_blocks(text: str, sizes: list[int]) -> None:
    splitter, at, got = BlockSplitter(), 0, list[str]()
    for size in sizes:
        got += splitter.feed(text[at : at + size])
        at += size
        assert "".join(got) + splitter.tail == text[:at]
    got += splitter.feed(text[at:])
    assert "".join(got) + splitter.tail == text
    assert [b.strip() for b in got + splitter.finish()] == [b.strip() for b in split(text)]


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS)
def test_blocks_rendered_one_by_one_equal_the_whole(text: str) -> None:
    assert "".join(parser().render(block) for block in split(text)) == parser().render(text), split(text)


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("One.\n\nTwo.\n\n", ["One.\n\n", "Two.\n\n"]),
        ("# Head\nText\n\n", ["# Head\n", "Text\n\n"]),
        ("Here:\n- a\n- b\n\nEnd\n\n", ["Here:\n", "- a\n- b\n\n", "End\n\n"]),
        ("```py\na\n\nb\n```\nafter\n\n", ["```py\na\n\nb\n```\n", "after\n\n"]),
        ("| a |\n|---|\n| 1 |\n\nend\n\n", ["| a |\n|---|\n| 1 |\n\n", "end\n\n"]),
        ("1. a\n\n   more\n\n2. b\n\nend\n\n", ["1. a\n\n   more\n\n2. b\n\n", "end\n\n"]),
    ],
)
def test_a_block_is_given_out_as_soon_as_it_is_sure(text: str, blocks: list[str]) -> None:
    splitter = BlockSplitter()
    assert splitter.feed(text) == blocks
    assert splitter.tail == ""


def test_an_open_fence_stays_live_whatever_it_contains() -> None:
    splitter = BlockSplitter()
    assert splitter.feed("````md\n# not a heading\n\n```\n- x\n\n") == []
    assert splitter.feed("````\n") == ["````md\n# not a heading\n\n```\n- x\n\n````\n"]


def test_blank_space_alone_is_no_block() -> None:
    assert split("\n\n  \n") == []
