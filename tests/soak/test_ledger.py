"""What the endurance run holds against the daemon: lost, doubled and strange answers."""

from __future__ import annotations

from tests.soak.people import Ledger
from tests.soak.words import Model, answered, said


def test_each_number_has_to_be_answered_exactly_once() -> None:
    ledger = Ledger()
    for _ in range(4):
        ledger.number()
    ledger.answers.update([1, 2, 2, 4])
    ledger.strange.append("somebody got something")
    assert ledger.broken == {
        "lost": "1: [3]",
        "twice": "1: [2]",
        "strange": "1: ['somebody got something']",
    }
    ledger = Ledger()
    ledger.answers.update([ledger.number()])
    assert ledger.broken == {}


def test_only_a_whole_answer_counts_as_one() -> None:
    assert said(17, "long") == "m17 long"
    assert answered("answer to m17") == answered("word word answer to m17") == 17
    for text in (
        "word word",
        "answer to m17 …",
        "answer to",
        "New conversation.",
        "(may be a repeat)\nanswer to m17",
    ):
        assert answered(text) is None
    assert Model().strange == []
