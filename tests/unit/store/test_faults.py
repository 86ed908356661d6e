"""Fault points: armed by the environment, listed in one place, and each of them somewhere in the code."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawd.journal.records import KINDS
from clawd.store import faults

PACKAGE = Path(faults.__file__).parents[1]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm({})


def test_an_unarmed_point_does_nothing() -> None:
    faults.arm({})
    faults.fault("journal.before_commit:accept")
    assert not faults.armed()


def test_a_point_acts_the_nth_time_and_only_then() -> None:
    faults.arm({"CLAWD_FAULT": "journal.before_commit:tool.intent:2:raise"})
    faults.fault("journal.before_commit:tool.intent")
    faults.fault("journal.after_commit:tool.intent")
    with pytest.raises(faults.InjectedFault):
        faults.fault("journal.before_commit:tool.intent")
    faults.fault("journal.before_commit:tool.intent")


def test_several_points_are_armed_side_by_side() -> None:
    armed = "journal.before_commit:accept:1:raise, journal.after_commit:accept:1:sleep=0.01"
    faults.arm({"CLAWD_FAULT": armed})
    began = time.monotonic()
    faults.fault("journal.after_commit:accept")
    assert time.monotonic() - began >= 0.01
    with pytest.raises(faults.InjectedFault):
        faults.fault("journal.before_commit:accept")


def test_kill_ends_the_process_at_once() -> None:
    code = "from clawd.store.faults import fault; fault('journal.after_commit:claim'); print('alive')"
    environ = {**os.environ, "CLAWD_FAULT": "journal.after_commit:claim:1:kill"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-9, b"")


@pytest.mark.parametrize(
    "value",
    [
        "journal.after_commit:claim",
        "journal.after_commit:claim:x:kill",
        "journal.after_commit:claim:0:kill",
        "journal.after_commit:claim:1:explode",
        "journal.after_commit:typo:1:kill",
        "journal.after_commit:claim:1:sleep=long",
    ],
)
def test_a_mistake_in_the_variable_is_not_overlooked(value: str) -> None:
    with pytest.raises(ValueError, match=r"CLAWD_FAULT|could not convert"):
        faults.arm({"CLAWD_FAULT": value})


def test_a_point_that_is_not_listed_is_an_error_once_points_are_armed() -> None:
    faults.arm({"CLAWD_FAULT": "journal.after_commit:claim:9:kill"})
    with pytest.raises(LookupError):
        faults.fault("journal.after_commit:something")


def test_every_listed_point_stands_in_the_code_and_every_point_in_the_code_is_listed() -> None:
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                names |= set(_points(node))
    # `record` and `note` pass on the kinds of their records.
    names |= {
        f"journal.{moment}_commit:{kind}"
        for kind in KINDS.keys() & faults.COMMIT_KINDS
        for moment in ("before", "after")
    }
    assert names == faults.POINTS


def _points(call: ast.Call) -> Iterator[str]:
    function = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if function == "fault" and call.args and isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value)
    for keyword in call.keywords:
        if (
            function in ("write", "_write", "post")
            and keyword.arg == "kinds"
            and isinstance(keyword.value, ast.Tuple)
        ):
            for kind in keyword.value.elts:
                if isinstance(kind, ast.Constant):
                    yield f"journal.before_commit:{kind.value!s}"
                    yield f"journal.after_commit:{kind.value!s}"
