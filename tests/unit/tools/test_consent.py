"""A pattern lets its command line through, and nothing that was smuggled in behind it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawd.tools.consent import exactly, forbids, matches

PARTING = ";&|`$()<>\n"
ODD = "'\"\\;&|`$()<>{}*?!#~= \t\n\r\0ab-/"

words = st.text(alphabet="abc -_./=", max_size=12)
anything = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters()), max_size=40)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("git status", "git status"),
        ("git status*", "git status"),
        ("git status*", "git status --short -- src"),
        ("git commit -m *", 'git commit -m "fix it"'),
        ("ls -?", "ls -l"),
        ("make * -j?", "make all -j2"),
        ("cat a | head *", "cat a | head -3"),
        ("ls \\*.py", "ls *.py"),
        ("echo a\\\\b", "echo a\\b"),
        ("grep a\\.b x", "grep a\\.b x"),
        ("*", "uptime"),
        ("**", "uptime"),
        ("", ""),
    ],
)
def test_a_pattern_matches_what_it_looks_like(pattern: str, subject: str) -> None:
    assert matches(pattern, subject)


@pytest.mark.parametrize(
    "smuggled",
    [
        "git status; rm -rf ~",
        "git status && rm x",
        "git status & rm x",
        "git status | sh",
        "git status || sh",
        "git status\nrm x",
        "git status\r\nrm x",
        "git status $(rm x)",
        "git status `rm x`",
        "git status <(rm x)",
        "git status > /etc/passwd",
        "git status >> ~/.bashrc",
        "git status < /etc/shadow",
        "git status ${IFS}",
        "git status (x)",
        "git status \0rm",
        "git status \x1b[2K",
        "git status \u2028rm",
        " git status",
        "sudo git status",
        "git statu",
    ],
)
def test_a_wildcard_takes_nothing_that_could_do_more(smuggled: str) -> None:
    assert not matches("git status*", smuggled)
    assert not matches("git status?" * 2, smuggled)


def test_a_quote_in_the_middle_cannot_set_the_patterns_own_text_free() -> None:
    assert matches("echo '*; date'", "echo 'it is; date'")
    assert not matches("echo '*; date'", "echo 'x'; date'")
    assert not matches('sh -c "*" x', 'sh -c "a" b" x')
    assert not matches("echo * ; date", "echo \\ ; date")


def test_a_pattern_without_wildcards_is_that_command_alone() -> None:
    assert not matches("git status", "git status ")
    assert not matches("git status", "git statu")
    assert not matches("ls [ab]", "ls a")
    assert matches("ls [ab]", "ls [ab]")


@given(anything)
def test_exactly_matches_its_command_and_no_other(subject: str) -> None:
    assert matches(exactly(subject), subject)
    assert not matches(exactly(subject), f"{subject}x")


@given(anything, anything)
def test_exactly_tells_two_commands_apart(one: str, other: str) -> None:
    assert matches(exactly(one), other) == (one == other)


@given(words, anything, words)
@example("a ", "'", " ; b")
def test_what_a_wildcard_takes_never_parts_a_command(head: str, middle: str, tail: str) -> None:
    subject = f"{head}{middle}{tail}"
    if not matches(f"{head}*{tail}", subject):
        return
    assert not set(subject) & set(PARTING)
    try:
        parsed = list(shlex.shlex(subject, posix=True, punctuation_chars=True))
    except ValueError:
        return  # an open quote: the shell refuses the line
    assert not any(set(word) <= set(PARTING) for word in parsed if word)


@given(words, words)
def test_harmless_text_is_taken(head: str, middle: str) -> None:
    assert matches(f"{exactly(head)}*", f"{head}{middle}")


def test_many_wildcards_take_no_time() -> None:
    assert not matches("*a" * 400, "a" * 399 + "b" * 5000)


def test_a_real_shell_runs_one_command_for_what_matches(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    tries = [
        f"true{a}touch {canary}{b}"
        for a in (";", "&", "|", "\n", " $(", " `", " <(", " x\\\n;")
        for b in ("", ")", "`")
    ]
    for subject in tries:
        subprocess.run(["/bin/sh", "-c", subject], capture_output=True, check=False)  # the way it would go
    assert canary.exists()
    assert not [subject for subject in tries if matches("true*", subject)]


@pytest.mark.parametrize(
    "subject",
    [
        "rm -rf x",
        "true; rm -rf x",
        "true && rm x",
        "echo $(rm x)",
        "a | rm x",
        "{ rm x; }",
        "true\nrm x",
        "rm `x`",
    ],
)
def test_a_forbidden_command_is_found_within_others(subject: str) -> None:
    assert forbids("rm *", subject)


def test_other_commands_are_not_forbidden() -> None:
    assert not forbids("rm *", "echo rm x")
    assert not forbids("rm *", "rmdir x")
    assert forbids("*/etc/shadow*", 'cat "/etc/shadow" > x; true')
