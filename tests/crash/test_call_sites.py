"""Every commit has a fault point, and at every fault point the real daemon is killed by some test here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

from clawd.journal.records import KINDS
from clawd.store.faults import COMMIT_KINDS, POINTS
from tests.crash import call_sites

# Commits that need no point of their own. Nothing outside follows from them before their caller is told,
# and their callers are people at the command line who look at what came of it.
UNLABELLED: Final = {
    "access.py:_pair": "a pairing code; the stranger is told in a commit of its own, which is `accept`",
    "access.py:approve": "the owner's word",
    "access.py:revoke": "the owner's word",
    "access.py:_forget_expired": "codes that are over",
    "journal/admin.py:reset": "an operator's command",
    "journal/admin.py:delete": "an operator's command",
    "journal/admin.py:retry": "an operator's command",
    "journal/admin.py:resubmit": "an operator's command",
    "journal/admin.py:drop": "an operator's command",
    "journal/opening.py:open_journal": "the database's own name, drawn before anything else",
    "journal/sqlite.py:load": "a conversation that can't be read is set aside; the next start tries again",
    "journal/sqlite.py:move_address": "a chat moved; until then its delivery is `sending`, as before",
}

# Kinds of records that the journal knows and no part of the daemon writes yet, with what would write them.
# tests/unit/journal/test_kills.py kills at them below the daemon.
UNWRITTEN: Final = {
    "summary.intent": "SummaryIntent",
    "summary.result": "SummaryResult",
    "snapshot": "snapshot",
}


def killed_at() -> frozenset[str]:
    """Return the points at which the tests of this folder kill: each module's `KILLS_AT`."""
    modules = [
        importlib.import_module(f"tests.crash.{p.stem}") for p in Path(__file__).parent.glob("test_*.py")
    ]
    return frozenset(point for module in modules for point in getattr(module, "KILLS_AT", ()))


def test_every_fault_point_is_killed_at_by_a_test_of_the_real_daemon() -> None:
    unwritten = {f"journal.{moment}_commit:{kind}" for kind in UNWRITTEN for moment in ("before", "after")}
    killed = killed_at()
    assert killed <= POINTS
    assert sorted(POINTS - killed - unwritten) == []


def test_a_kind_that_the_daemon_writes_is_no_longer_excused_from_being_killed_at() -> None:
    assert UNWRITTEN.keys() <= COMMIT_KINDS
    assert sorted(kind for kind, maker in UNWRITTEN.items() if maker in call_sites.made()) == []


def test_every_commit_has_a_fault_point_or_a_reason() -> None:
    found = call_sites.commits()
    assert len(found) > 20, "the search itself is broken"
    assert sorted({site.where for site in found if not site.labelled} - UNLABELLED.keys()) == []
    assert sorted(UNLABELLED.keys() - {site.where for site in found if not site.labelled}) == []


def test_labels_and_points_in_the_source_are_those_of_the_list() -> None:
    labels = frozenset().union(*(site.labels for site in call_sites.commits()))
    assert labels <= COMMIT_KINDS
    assert call_sites.points().keys() <= POINTS
    named = {point.rpartition(":")[2] for point in call_sites.points()}
    assert frozenset(KINDS) | labels | named >= COMMIT_KINDS, "a kind that no commit bears"


def test_nobody_commits_but_the_writer_and_the_migrations() -> None:
    assert call_sites.commit_statements() == {"store/writer.py", "store/schema.py"}
