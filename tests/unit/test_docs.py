"""The documents: links lead somewhere, commands exist, settings load, and both languages say the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clawd.cli.lazy import COMMANDS, load
from clawd.cli.root import program
from clawd.config.loader import load_config
from clawd.models.presets import load_presets
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for p in ROOT.glob("docs/**/*.md") if ".pytest_cache" not in p.parts)]
)
BY_NAME = pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])

TOKEN = "123456:" + "A" * 35  # the form of a Telegram token, and long enough for any other secret
FORMS = {"WECHAT_TOKEN": "exampletoken", "WECHAT_AES_KEY": "A" * 43}  # of those that have another one
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
_SPAN = re.compile(r"(?<!`)`(clawd [^`]+)`(?!`)")
_CALL = re.compile(r"(?:sudo )?(?:\S*/)?clawd((?: .*)?)$")
_SEPARATOR = re.compile(
    r"""(?:&&|&(?=$)|\|(?![a-z])|;|<(?= )|>(?= ))(?=(?:[^"]*"[^"]*")*[^"]*$)"""
)  # outside quotes
_HEADING = re.compile(r"^#+ +(.*)$", re.M)


def blocks(text: str, *languages: str) -> Iterator[str]:
    """Yield the code blocks in one of the languages."""
    for language, code in _BLOCK.findall(text):
        if language in languages:
            yield code


def shell_lines(text: str) -> Iterator[str]:
    """Yield what a reader is told to type, without the prompt and without remarks."""
    for code in blocks(text, "console", "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            typed = line.strip().removeprefix("$ ")
            if line.strip().startswith("$ ") or "$ " not in code:
                yield re.sub(r"\s+# .*", "", typed)


def calls(text: str) -> Iterator[list[str]]:
    """Yield the words behind `clawd` wherever a page names a command of it."""
    spans = (re.sub(r"\s+", " ", span) for span in _SPAN.findall(re.sub(_BLOCK, "", text)))
    for line in (*shell_lines(text), *spans):
        for part in _SEPARATOR.split(line):
            if found := _CALL.match(part.strip()):
                yield shlex.split(found[1])


def check(words: list[str]) -> None:
    """Raise AssertionError unless a command line's commands and options exist."""
    line = f"clawd {' '.join(words)}"
    command: Any = program()
    top = {entry.name: entry for entry in COMMANDS}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-") and word != "-":
            option = next((o for o in command.params if word in (*o.opts, *o.secondary_opts)), None)
            assert option or word in ("--help", "-h"), f"{line}: no option {word}"
            if option and not option.is_flag:
                del rest[:1]
        elif hasattr(command, "commands") and word != "…":
            assert word in command.commands, f"{line}: no command {word}"
            command = load(top[word]) if top else command.commands[word]
            top = {}


@BY_NAME
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for link in _LINK.findall(re.sub(_BLOCK, "", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        if anchor:
            headings = [
                re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
                for h in _HEADING.findall(target.read_text())
            ]
            assert anchor in headings, link


@BY_NAME
def test_a_command_that_a_page_names_exists_with_its_options(page: Path) -> None:
    for words in calls(page.read_text()):
        check(words)


def test_commands_are_found_in_the_pages() -> None:
    found = [words for page in PAGES for words in calls(page.read_text())]
    assert len(found) > 100
    with pytest.raises(AssertionError, match="no command bogus"):
        check(["conversations", "bogus"])
    with pytest.raises(AssertionError, match="no option --bogus"):
        check(["status", "--bogus"])


@BY_NAME
def test_settings_that_a_page_shows_load(page: Path, tmp_path: Path) -> None:
    for code in blocks(page.read_text(), "yaml"):
        if "include:" in code:
            continue  # its files are not on the page
        path = tmp_path / "config.yaml"
        path.write_text(code.replace("{credential: ", "{env: "))
        for name in re.findall(r"\{file: ([^}]+)\}", code):
            secret = tmp_path / name
            secret.parent.mkdir(exist_ok=True)
            secret.write_text(TOKEN)
        names = re.findall(r"\{env: (\w+)\}", path.read_text())
        names += [key for provider in load_presets().providers for key in provider.keys]
        load_config(path, {name: FORMS.get(name, TOKEN) for name in names}, find_plugins())


def test_each_guarantee_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 25
    for file, test in named:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.M), f"{file}::{test}"
    promises = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert all("::" in line for line in promises if line != "| promise | held by |")


TWINS = [
    "README",
    "docs/README",
    "docs/tutorial",
    *(f"docs/howto/{p.name.removesuffix('.zh.md')}" for p in PAGES if p.match("howto/*.zh.md")),
]


@pytest.mark.parametrize("name", TWINS)
def test_both_languages_tell_the_same_commands_settings_and_links(name: str) -> None:
    english, chinese = ((ROOT / f"{name}{end}").read_text() for end in (".md", ".zh.md"))
    assert list(shell_lines(english)) == list(shell_lines(chinese))
    assert list(blocks(english, "yaml", "ini")) == list(blocks(chinese, "yaml", "ini"))
    there, here = (
        {link.replace(".zh.md", ".md") for link in _LINK.findall(text)} for text in (english, chinese)
    )
    assert there == here, "a page in Chinese counts as its twin"
    own = name.rpartition("/")[2]
    assert f"{own}.zh.md" in _LINK.findall(english)
    assert f"{own}.md" in _LINK.findall(chinese)


@pytest.mark.parametrize("name", [name for name in TWINS if "howto" in name])
def test_both_languages_have_the_same_shape(name: str) -> None:
    english, chinese = ((ROOT / f"{name}{end}").read_text() for end in (".md", ".zh.md"))
    for form in (r"^#+ ", r"^ *\d+\. ", r"^ *\| ", r"^ *- ", r"^ *```"):
        assert len(re.findall(form, english, re.M)) == len(re.findall(form, chinese, re.M)), form
    spans = (
        sorted(re.sub(r"\s+", " ", span) for span in re.findall(r"`[^`]+`", re.sub(_BLOCK, "", text)))
        for text in (english, chinese)
    )
    assert next(spans) == next(spans), "what stands in code"


_SETTINGS = re.compile(r"^\| ((?:`[a-z_]+`(?:, |、)?)+) \|", re.M)  # a row of a table of settings


@pytest.mark.parametrize("name", ["telegram", "weixin"])
def test_a_bridges_settings_are_the_same_in_both_languages(name: str) -> None:
    english, chinese = ((ROOT / f"docs/bridges/{name}{end}").read_text() for end in (".md", ".zh.md"))
    assert list(blocks(english, "yaml")) == list(blocks(chinese, "yaml"))
    there, here = (
        {key for row in _SETTINGS.findall(text) for key in re.findall(r"`(\w+)`", row)}
        for text in (english, chinese)
    )
    assert there == here != set()


CHINESE = [page for page in PAGES if page.name.endswith(".zh.md")]


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in CHINESE])
def test_a_page_in_chinese_leads_on_to_pages_in_chinese(page: Path) -> None:
    own = page.name.replace(".zh.md", ".md")
    for link in _LINK.findall(page.read_text()):
        name, _, anchor = link.partition("#")
        twin = page.parent / name.replace(".md", ".zh.md")
        if name.endswith(".md") and not name.endswith(".zh.md") and name != own and not anchor:
            assert not twin.exists(), f"{link}: {twin.name} is there"


def test_a_first_answer_begins_with_one_command() -> None:
    assert next(shell_lines((ROOT / "README.md").read_text())) == "make run"


def test_every_page_is_in_the_list_of_pages() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text())}
    missing = {p for p in PAGES if p.is_relative_to(index.parent) and p != index} - listed
    assert not missing, f"docs/README.md does not name {sorted(p.name for p in missing)}"


def test_a_how_to_page_is_short() -> None:
    pages = sorted(ROOT.glob("docs/howto/*.md"))
    assert len(pages) > 8
    for page in pages:
        assert len(page.read_text().splitlines()) <= 80, page.name
