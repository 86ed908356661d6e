"""Markdown in a terminal: nothing of the text is lost, and nothing of it steers the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from clawd.cli.chat.markdown import BlockRenderer, printable

RENDERER = BlockRenderer({"TERM": "xterm-256color"})


def plain(block: str, width: int = 40, *, live: bool = False) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in RENDERER.lines(block, width, live=live)]


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        ("# Title", ["Title"]),
        ("a **b** `c` ~~d~~", ["a b c d"]),
        ("List<String> & <b>bold</b>", ["List<String> & <b>bold</b>"]),
        ("[text](http://x.y/z)", ["text (http://x.y/z)"]),
        ("[**text**](http://x.y/z)", ["text (http://x.y/z)"]),
        ("<http://x.y>", ["http://x.y"]),
        ("![alt](http://x/y.png)", ["[image: alt] (http://x/y.png)"]),
        ("- a\n- b", [" • a", " • b"]),
        ("3. a\n4. b", [" 3 a", " 4 b"]),
        ("> q", ["▌ q"]),
        ("```py\nx = 1  \n```", ["```py", "x = 1", "```"]),
        ("---", ["─" * 40]),
    ],
)
def test_each_construct_reads_well(block: str, lines: list[str]) -> None:
    assert plain(block) == lines


def test_finished_code_keeps_its_long_lines_and_live_code_is_folded() -> None:
    code = f"```\n{'x' * 100}\n```"
    assert "x" * 100 in plain(code)
    assert all(cell_len(line) <= 40 for line in plain(code, live=True))


def test_wide_characters_are_counted_as_two_cells() -> None:
    lines = plain("这是一个很长的中文段落需要在正确的位置换行显示", width=11)
    assert all(cell_len(line) <= 11 for line in lines)
    assert "".join(lines) == "这是一个很长的中文段落需要在正确的位置换行显示"
    table = plain("| 名称 | 值 |\n|---|---|\n| 甲 | 一二三 |", width=30)
    assert len({cell_len(line) for line in table if "│" in line or "甲" in line or "名称" in line}) <= 2


def test_a_table_that_does_not_fit_is_shown_as_written() -> None:
    block = "| a | b | c | d | e |\n|---|---|---|---|---|\n| 1 | 2 | 3 | 4 | 5 |"
    narrow = plain(block, width=12)
    assert "".join(narrow) == block.replace("\n", "")
    assert all(cell_len(line) <= 12 for line in narrow)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["alpha", "**beta**", "`gamma`", "- delta", "# eps", "| z | y |", "|---|---|", "```", "", "中文", "> q"]),
        max_size=10,
    ).map("\n".join),
    st.integers(1, 60),
)  # fmt: skip
def test_no_text_at_any_width_breaks_the_renderer_or_is_lost(text: str, width: int) -> None:
    for live in (False, True):
        shown = re.sub(r"\s", "", "".join(plain(text, width, live=live)))
        for word in ("alpha", "中文"):
            if word in text:
                assert shown.count(word) >= text.count(word) or width < 12


def test_text_from_a_model_can_not_steer_the_terminal() -> None:
    assert printable("a\x1b]52;c;aGk=\x07b\x9b2Jc\x00\r\nd\te\u202egnp.exe\ud800") == (
        "a]52;c;aGk=b2Jc\nd\tegnp.exe"
    )


def test_no_color_leaves_no_colours_and_a_light_terminal_gets_darker_ones() -> None:
    code = "```py\nreturn 'x'\n```"
    colours = r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7])(?:;[0-9;]*)?m"
    assert re.search(colours, "".join(RENDERER.lines(code, 40)))
    for environ in ({"NO_COLOR": "1"}, {"CLICOLOR": "0"}):
        bare = BlockRenderer({"TERM": "xterm", **environ}).lines(code, 40)
        assert not re.search(colours, "".join(bare))
    light = BlockRenderer({"TERM": "xterm", "COLORFGBG": "0;15"}).lines(code, 40)
    assert light != BlockRenderer({"TERM": "xterm"}).lines(code, 40)
