"""The documents and the code: files, packages, layers and pictures that pages name are as they say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import clawd

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for p in ROOT.glob("docs/**/*.md") if ".pytest_cache" not in p.parts)]
)
PICTURES = sorted(ROOT.glob("docs/**/*.svg"))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()

_FILE = re.compile(r"`((?:clawd|bridges|tests|deploy|systemd|benchmarks|docs)/[\w./-]*\.\w+)`")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.svg)\)")


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    missing = [name for name in _FILE.findall(page.read_text()) if not (ROOT / name).exists()]
    assert not missing


def test_each_package_has_its_line_and_each_line_its_package() -> None:
    described = re.findall(r"^\| `((?:clawd|bridges)/\w+)` \| \S.*\|$", ARCHITECTURE, re.M)
    folders = [*ROOT.glob("clawd/*/"), *ROOT.glob("bridges/*/")]
    there = sorted(
        str(p.relative_to(ROOT)) for p in folders if p.name != "__pycache__" and any(p.glob("*.*"))
    )
    assert sorted(described) == there


def test_the_layers_are_those_that_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    drawn = ARCHITECTURE.partition("## Layers")[2].partition("```\n")[2].partition("```")[0]
    assert drawn.splitlines() == contract["layers"]


def test_pictures_are_well_formed_and_fetch_nothing() -> None:
    assert PICTURES
    for path in PICTURES:
        text = path.read_text()
        root = ET.fromstring(text)  # noqa: S314 - our own file
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "image", "use", "foreignObject"}, path.name
        assert "text" in tags, "text that can be selected"
        told = [*(element.text or "" for element in root.iter() if element.tag.endswith("}style"))]
        told += [value for element in root.iter() for value in element.attrib.values()]
        for value in told:
            assert not re.search(r"@import|@font-face|://", value), path.name
            assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", value)), path.name


def test_each_picture_is_shown_with_words_for_who_does_not_see_it() -> None:
    shown = {
        (page.parent / target).resolve(): words
        for page in PAGES
        for words, target in _PICTURE.findall(page.read_text())
    }
    assert set(PICTURES) == set(shown)
    assert all(len(words) > 20 for words in shown.values())


def test_the_changelog_has_one_heading_for_this_version_and_says_nothing_twice() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert len(re.findall(rf"^## {re.escape(clawd.__version__)}\b", text, re.M)) == 1
    entries = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(entries) == len(set(entries))
    assert not re.search(r"^(<<<<<<<|=======|>>>>>>>)", text, re.M)
