"""Markdown as models write it becomes text and entities that the Bot API takes."""

from __future__ import annotations

import string
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.telegram.format import Entity, Formatted, format_markdown
from bridges.telegram.units import TEXT_LIMIT, utf16_cut, utf16_len, utf16_slice
from tests.fakes.bot_api_rules import check_entities, clean_text


def pieces(result: Formatted) -> list[tuple[str, str]]:
    """Return each entity's type with the text under it."""
    return [(e.type, utf16_slice(result.text, e.offset, e.length)) for e in result.entities]


def accepted(result: Formatted) -> bool:
    """Whether the strict fake takes it as it is; raises ApiError otherwise."""
    entities = [{k: v for k, v in asdict(e).items() if v is not None} for e in result.entities]
    check_entities(result.text, entities)
    assert clean_text({"text": result.text, "entities": entities}) == (result.text, entities)
    return True


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("plain", "plain", []),
        ("**bold** and __bold__", "bold and bold", [("bold", "bold"), ("bold", "bold")]),
        ("*it* and _it_", "it and it", [("italic", "it"), ("italic", "it")]),
        ("~~gone~~", "gone", [("strikethrough", "gone")]),
        ("`x<y`", "x<y", [("code", "x<y")]),
        ("***both***", "both", [("bold", "both"), ("italic", "both")]),
        ("# Head\ntext", "Head\ntext", [("bold", "Head")]),
        ("# A **b** c", "A b c", [("bold", "A b c")]),
        ("**run `x` now**", "run x now", [("bold", "run "), ("code", "x"), ("bold", " now")]),
        ("- a\n- b\n  - c", "• a\n• b\n  • c", []),
        ("3. c\n4. d", "3. c\n4. d", []),
        ("1) c", "1) c", []),
        ("- [ ] todo", "• [ ] todo", []),
        ("-\n- b", "• \n• b", []),
        ("> said\n> **so**", "said\nso", [("blockquote", "said\nso"), ("bold", "so")]),
        ("> one\n>> two\n\nend", "one\ntwo\n\nend", [("blockquote", "one\ntwo")]),
        ("a\n\n---\n\nb", "a\n\n———\n\nb", []),
        ("title\n---\nb", "title\n———\nb", []),
        ("a\n\n\n\nb", "a\n\nb", []),
        ("line\nline  \nline", "line\nline\nline", []),
        ("[text](https://a.b/c?d=e)", "text", [("text_link", "text")]),
        ("[`x`](https://a.b)", "x", [("text_link", "x")]),
        ("[**x** y](https://a.b)", "x y", [("text_link", "x y"), ("bold", "x")]),
        ("[README](docs/readme.md)", "README (docs/readme.md)", []),
        ("[bad](javascript:alert)", "[bad](javascript:alert)", []),
        ("see [](https://a.b)", "see https://a.b", []),
        ("> > \n\nend", "end", []),
        ("![cat](https://a.b/c.png)", "cat", [("text_link", "cat")]),
        ("<https://a.b>", "https://a.b", [("text_link", "https://a.b")]),
        ("这是**重点**内容", "这是重点内容", [("bold", "重点")]),
    ],
)
def test_markdown_reads_as_it_should(source: str, text: str, entities: list[tuple[str, str]]) -> None:
    result = format_markdown(source)
    assert result.text == text
    assert pieces(result) == entities
    assert accepted(result)


@pytest.mark.parametrize(
    "source",
    [
        "2*3*4 = 24 and 2**8 = 256",
        "a * b * c",
        "*open and **open and _open and ~~open and `open",
        "x < y > z & &amp; <b>not bold</b>",
        "snake_case_name and __init__.py",
        "[no link] and [half](https://x",
        "[ref]: https://example.org",
        "a*b*c",
        "5 * 3 and C:\\path",
    ],
)
def test_markers_without_balance_stay_as_they_are(source: str) -> None:
    result = format_markdown(source.replace("__init__.py", "`x`"))
    assert result.text == source.replace("__init__.py", "x")
    assert [e.type for e in result.entities] in ([], ["code"])


def test_offsets_count_utf16_units() -> None:
    result = format_markdown("😀 **b😀** `x<y` 👨‍👩‍👧 _字_")
    assert [(e.type, e.offset, e.length) for e in result.entities] == [
        ("bold", 3, 3),
        ("code", 7, 3),
        ("italic", 20, 1),
    ]
    assert accepted(result)


@pytest.mark.parametrize(
    ("fence", "language"),
    [("```python\nx = 1\n```", "python"), ("```\nx = 1\n```", None), ("~~~c++ title\nx = 1\n~~~", "c++")],
)
def test_a_fence_keeps_its_language(fence: str, language: str | None) -> None:
    result = format_markdown(f"Look:\n\n{fence}\nDone *now*")
    assert result.text == "Look:\n\nx = 1\nDone now"
    assert result.entities[0] == Entity(type="pre", offset=7, length=5, language=language)


def test_a_fence_cut_off_by_the_end_is_code_to_the_end() -> None:
    assert pieces(format_markdown("```js\nlet **x** =")) == [("pre", "let **x** =")]


def test_code_keeps_its_own_white_space() -> None:
    result = format_markdown("- step\n\n  ```\n  if x:\n      y\n  ```")
    assert pieces(result) == [("pre", "if x:\n    y")]


def test_a_table_is_aligned_also_with_wide_characters() -> None:
    result = format_markdown("| Name | Qty |\n|:--|--:|\n| 字字 | **1** |\n| a | 22 |")
    assert result.text == "Name | Qty\n-----+----\n字字 | 1\na    | 22"
    assert pieces(result) == [("pre", result.text)]
    assert accepted(result)


def test_a_table_that_would_not_fit_aligned_stays_ragged() -> None:
    source = "|a|b|\n|-|-|\n|" + "x" * 300 + "|y|\n" + "|q|r|\n" * 9
    aligned = format_markdown(source)
    ragged = format_markdown(source, limit=len(source))
    assert utf16_len(aligned.text) > len(source)
    assert utf16_len(ragged.text) <= len(source)
    assert pieces(ragged) == [("pre", ragged.text)]


def test_what_is_nested_deeper_than_the_parser_goes_is_not_lost() -> None:
    source = ">" * 200 + " treasure"
    assert "treasure" in format_markdown(source).text


@pytest.mark.parametrize(
    "source",
    ["[" * 4096, "![" * 2048, "*a " * 1365, "`" * 4096, ">" * 4096, "|a" * 1000 + "\n" + "|-" * 1000],
)
def test_hostile_text_is_taken_in_stride(source: str) -> None:
    assert accepted(format_markdown(source))


def test_a_long_answer_with_everything_in_it_is_accepted() -> None:
    source = (
        "# Title 😀\n\nSome **bold *and italic* text** with `code` and [a link](https://a.b/ü).\n\n"
        "- one\n  - two **b😀ld**\n    - three\n\n1. first\n2. second\n\n> quote with `code`\n> > deeper\n\n"
        "```python\nprint('😀')\n```\n\n| a | b |\n|---|---|\n| 1 | `2` |\n\n---\nend_\n\n"
    )
    assert accepted(format_markdown(source * 12, limit=10_000_000))


markdown = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "**",
                "*",
                "_",
                "__",
                "~~",
                "`",
                "```",
                "(",
                ")",
                "[",
                "](",
                ">",
                "-",
                "1.",
                "#",
                "|",
                "\\",
                "<b>",
                "&lt;",
                "![",
                "https://a.b",
                "```py\n",
                "|-|-|\n",
                "---\n",
            ]
        ),
        st.sampled_from(["> ", "- ", "1. ", "# ", "\n", "\n\n", "  ", "    ", "\t", "|-|-|\n", "---\n"]),
        st.text(string.ascii_letters + " \n", max_size=8),
        st.sampled_from(["😀", "字", "👨‍👩‍👧", "é", "\u200b", "\u00a0", "\x00"]),
    ),
    max_size=60,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(markdown)
def test_whatever_a_model_writes_is_accepted_and_within_the_limit(source: str) -> None:
    result = format_markdown(source)
    assert utf16_len(result.text) <= TEXT_LIMIT
    assert result.text == result.text.strip()
    if result.text:
        assert accepted(result)
    else:
        assert not source.strip()


@settings(max_examples=150, deadline=None)
@given(markdown, st.integers(0, 80))
def test_text_within_a_limit_never_grows_beyond_it(source: str, room: int) -> None:
    limit = utf16_len(source) + room
    assert utf16_len(format_markdown(source, limit=limit).text) <= limit


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(string.ascii_lowercase + "*_~`#>-|.! \n"), max_size=80))
def test_no_letter_is_lost_or_moved(source: str) -> None:
    letters = [c for c in source if c.isalpha()]
    shown = [c for c in format_markdown(source).text if c.isalpha()]
    # Of a fence's first line the language shows as a label, not as text.
    if "```" not in source and "~~~" not in source:
        assert shown == letters


@settings(max_examples=200)
@given(st.text(max_size=50), st.integers(0, 60))
def test_a_cut_is_the_longest_beginning_that_fits(text: str, limit: int) -> None:
    cut = utf16_cut(text, limit)
    assert text.startswith(cut)
    assert utf16_len(cut) <= limit
    assert cut == text or utf16_len(text[: len(cut) + 1]) > limit
