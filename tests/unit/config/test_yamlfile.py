"""A hostile or broken YAML file costs a clear line, never the process."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.config import yamlfile
from clawd.config.nodes import Entries, Scalar
from clawd.config.problems import Problems, hide_secrets
from clawd.config.yamlfile import MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES, read_yaml, resolve_plain
from tests.unit.config.conftest import Files

BROKEN: list[tuple[Any, str, str]] = [
    ("", "", "the file is empty"),
    ("# only words\n", "", "the file is empty"),
    ("---\n...\n", "", "the file is empty"),
    ("- a\n- b\n", ":1:1", "expected `key: value` lines at the top"),
    ("just words\n", ":1:1", "expected `key: value` lines at the top"),
    ("a: 1\n---\nb: 2\n", ":2:1", "a second document begins here"),
    ("agent: {max_steps: 1\n", ":2:1", "did not find expected ',' or '}'"),
    ("agent:\n\tmax_steps: 1\n", ":2:1", "cannot start any token"),
    ("agent: 'never ends\n", ":2:1", "unexpected end of stream"),
    ("agent: %x\n", ":1:8", "cannot start any token"),
    (b"agent: {instructions: '\xff'}\n", ":1:24", "not UTF-8: byte 0xFF"),
    (b"a: 1\nb: \xc3\x28\n", ":2:4", "not UTF-8: byte 0xC3"),
    ("agent: {instructions: 'a\x00b'}\n", ":1:25", "the character U+0000 is not allowed"),
    ("agent: {instructions: '\x1b[31m'}\n", ":1:24", "the character U+001B is not allowed"),
    ("agent: {}\ngateway: {}\nagent: {}\n", ":3:1", "the key 'agent' is set twice, first in line 1"),
    ("gateway: {port: 1, port: 2}\n", ":1:20", "the key 'port' is set twice"),
    ("? [a, b]\n: 1\n", ":1:3", "expected a key"),
    ("agent: *nobody\n", ":1:8", "the alias *nobody has no complete anchor"),
    ("x-a: &a [*a]\n", ":1:10", "the alias *a has no complete anchor"),
    ("x-a: 1\nagent: {<<: 3}\n", ":2:9", "<<: expected an alias of a section"),
    (
        "agent: !!python/object/apply:os.system [id]\n",
        ":1:8",
        "python/object/apply:os.system is not supported",
    ),
    ("agent: {instructions: !secret x}\n", ":1:23", "the tag !secret is not supported"),
    ("a: " + "[" * 5000, ":1:", "nest"),  # newer parsers have a limit of their own, in their own words
    ("a: " + "[" * 500, f":1:{4 + MAX_DEPTH - 1}", f"nested deeper than {MAX_DEPTH} levels"),
    ("a: " + "{a: " * 5000, f":1:{4 + 4 * (MAX_DEPTH - 1)}", f"nested deeper than {MAX_DEPTH} levels"),
    ("x" * (MAX_FILE_BYTES + 1), "", "the file is larger than 1024 KiB"),
    ("x-a: [" + "1," * (MAX_NODES + 1) + "]\n", ":1:", f"more than {MAX_NODES} values"),
]


@pytest.mark.parametrize(("text", "place", "message"), BROKEN, ids=[message for _, _, message in BROKEN])
def test_broken_file_is_told_with_its_place(
    files: Files, text: str | bytes, place: str, message: str
) -> None:
    (problem,) = [problem for problem in files.problems(text) if message in problem.message]
    assert problem.place.startswith(f"{files.folder}/config.yaml{place}")


def test_tab_is_answered_with_the_remedy(files: Files) -> None:
    assert "spaces" in files.problem("agent:\n\tmax_steps: 1\n").remedy


def test_variable_that_breaks_the_braces_is_answered_with_the_remedy(files: Files) -> None:
    assert "in quotes" in files.problem("bridges: {phone: {token: ${TOKEN}}}\n").remedy


def test_bomb_of_aliases_is_defused_before_it_bursts(files: Files) -> None:
    lines = ["x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    before = time.process_time()
    problem = files.problems("\n".join([*lines, "agent: *a11"]))[0]
    assert f"more than {MAX_NODES} values with this alias" in problem.message
    assert time.process_time() - before < 5


def test_ladder_of_aliases_can_not_get_deeper_than_allowed(files: Files) -> None:
    lines = ["x-0: &a0 [1]", *(f"x-{n}: &a{n} [*a{n - 1}]" for n in range(1, 2000))]
    assert "levels with this alias" in files.problems("\n".join(lines))[0].message


def test_aliases_and_merge_keys_save_repetition(files: Files) -> None:
    config = files.load(
        """
        x-base: &base {type: echo, base_url: "http://x", temperature: 1}
        models:
          - {<<: *base, name: a}
          - {<<: [*base], name: b, temperature: 0}
        """
    ).config
    assert [(model.name, getattr(model, "temperature", None)) for model in config.models] == [
        ("a", 1),
        ("b", 0),
    ]


def test_byte_order_mark_and_windows_lines_do_no_harm(files: Files) -> None:
    assert files.load(b"\xef\xbb\xbfagent:\r\n  max_steps: 3\r\n").config.agent.max_steps == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-3", -3), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("1.5", 1.5), ("1e3", 1000.0),
        (".5", 0.5), ("true", True), ("Yes", True), ("off", False), ("null", None), ("~", None), ("", None),
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("007", "007"), ("1.2.3", "1.2.3"),
        ("yEs", "yEs"), ("9" * 5000, "9" * 5000), (".", "."), ("-", "-"), ("1_", 1), ("e5", "e5"), ("10.0.0.1", "10.0.0.1"),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_people_mean(text: str, value: object) -> None:
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_no_plain_scalar_raises(text: str) -> None:
    resolve_plain(text)


@given(st.text(alphabet="abx:-*&[]{}!|>'\"%#, \n\t?<é", max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_text_at_all_raises(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    problems = Problems()
    found = read_yaml(path, problems)
    assert isinstance(found, Entries) or problems


PRINTABLE = st.text(max_size=30).filter(
    lambda text: not yamlfile._UNPRINTABLE.search(text) and text.isprintable()
)


@given(st.dictionaries(st.text(alphabet="abcdef", min_size=1, max_size=5), PRINTABLE, min_size=1))
@settings(max_examples=100, deadline=None)
def test_quoted_text_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, str]
) -> None:
    import json

    path = tmp_path_factory.getbasetemp() / "quoted.yaml"
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    found = read_yaml(path, Problems())
    assert found is not None
    values = {key: entry.node.value for key, entry in found.entries.items() if isinstance(entry.node, Scalar)}
    assert values == data


def test_pure_python_parser_tells_the_same(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    text = "agent: {instructions: 'é', max_stepz: 1}\n"
    fast = files.problem(text)
    monkeypatch.setattr(yamlfile, "_LOADER", yaml.SafeLoader)
    assert files.problem(text) == fast


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("token: abc def", "token: *******"),
        ("  - {token: abc, x: 1}", "  - {token: ***, x: 1}"),
        ("api_key: 'a,b' # c", "api_key: ***** # c"),
        ("secret: {env: NAME}", "secret: {env: NAME}"),
        ("secret: [a, b]", "secret: ******"),
        ("- whsec_abcDEF+/=", "- " + "*" * 15),
        ("x: 12345:" + "A" * 35, "x: " + "*" * 41),
        ("url: http://me:pw@h/x?a=b", "url: http://*****@h/x?a=b"),
        ("url: http://h/x?api_key=abc&n=1", "url: http://h/x?api_key=***&n=1"),
        ("url: http://h/x?code=abc&mode=b", "url: http://h/x?code=***&mode=b"),
        ("max_steps: 4", "max_steps: 4"),
        ("keyword: prove", "keyword: prove"),
        ("- {thinking_tokens: many, api_key: abc}", "- {thinking_tokens: many, api_key: ***}"),
        ('"apiKey": "abc"', '"apiKey": *****'),
        ("api_keey: abc", "api_keey: ***"),
    ],
)
def test_quoted_line_keeps_its_shape_but_not_its_secret(line: str, hidden: str) -> None:
    assert hide_secrets(line) == hidden
