"""Every commit has a fault point, and at every fault point the real daemon is killed by some test here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

from clawd.journal.records import KINDS
from clawd.store.faults import COMMIT_KINDS, POINTS
from tests.crash import call_sites

ROOT: Final = Path(__file__).parents[2]

# Commits that need no point of their own. Nothing outside follows from them before their caller is told,
# and their callers are people at the command line who look at what came of it.
UNLABELLED: Final = {
    "access.py:deny": "an owner's no to a stranger: until it is committed the question is open, as before",
    "access.py:_pair": "a pairing code; the stranger is told in a commit of its own, which is `accept`",
    "access.py:approve": "the owner's word",
    "access.py:revoke": "the owner's word",
    "access.py:_forget_expired": "codes that are over",
    "alerts/rows.py:add_silence": "an operator's command; it is told after it",
    "alerts/rows.py:remove_silences": "an operator's command, or silences that are over already",
    "artifacts/store.py:hold": "lets a file count as new; whoever is about to name it is told after it",
    "artifacts/store.py:remove_gone": "what is removed already; lost, it is removed once more",
    "artifacts/store.py:sweep": "only looks which contents have no row",
    "gateway/auth.py:create": "an operator's command; the token is told after it",
    "gateway/auth.py:revoke": "an operator's command",
    "gateway/token_use.py:note": "when a token was used; a minute of it may be lost",
    "gateway/token_use.py:flush": "when a token was used; a minute of it may be lost",
    "journal/admin.py:reset": "an operator's command",
    "journal/admin.py:retry": "an operator's command",
    "journal/admin.py:resubmit": "an operator's command",
    "journal/admin.py:drop": "an operator's command",
    "journal/ended.py:keep": "how far traces were sent; lost, the same ones are sent once more",
    "journal/ended.py:forget": "the same, once nobody is to be sent traces; lost, it is removed once more",
    "journal/endpoints.py:put": "a URL answered 410; until then its delivery is `sending`, and comes again",
    "journal/endpoints.py:delete": "a URL that was insisted on answers again; lost, it is insisted on once more",
    "journal/opening.py:open_journal": "the database's own name, drawn before anything else",
    "journal/spend_direct.py:count": "what a request beside the turns cost; a moment of it may be lost",
    "journal/sqlite_keeping.py:scrub_if_wanted": "only notes that the files are wiped; done again if lost",
    "journal/sqlite.py:load": "a conversation that can't be read is set aside; the next start tries again",
    "journal/sqlite.py:outbox_hurry": "deliveries are due now; lost, they are tried at the time that was set before",
    "journal/sqlite.py:replace_parts": "a platform's file is stored here now; lost, it is fetched again",
    "journal/sqlite.py:move_address": "a chat moved; until then its delivery is `sending`, as before",
}

# Points that are killed at without a daemon's load around them, and the tests that do it: what is kept or
# wiped has no outside to be judged from, and a restore runs while no daemon does.
KILLED_ELSEWHERE: Final = {
    "retention": "tests/unit/journal/test_keeping.py",
    "delete": "tests/unit/journal/test_keeping.py",
    "vacuum": "tests/unit/journal/test_keeping.py",
    "restore.after": "tests/integration/test_restore.py",
    "artifact": "tests/unit/artifacts/test_kills.py",
    "artifact.forget": "tests/unit/artifacts/test_kills.py",
    "artifact.before": "tests/unit/artifacts/test_kills.py",
    "artifact.after": "tests/unit/artifacts/test_kills.py",
}


def killed_at() -> frozenset[str]:
    """Return the points at which the tests of this folder kill: each module's `KILLS_AT`."""
    modules = [
        importlib.import_module(f"tests.crash.{p.stem}") for p in Path(__file__).parent.glob("test_*.py")
    ]
    return frozenset(point for module in modules for point in getattr(module, "KILLS_AT", ()))


def test_every_fault_point_is_killed_at_by_a_test_of_the_real_daemon() -> None:
    killed = killed_at()
    assert killed <= POINTS
    left = sorted(point for point in POINTS - killed if _kind(point) not in KILLED_ELSEWHERE)
    assert left == []


def test_what_is_killed_elsewhere_is() -> None:
    for kind, file in KILLED_ELSEWHERE.items():
        assert kind in {_kind(point) for point in POINTS}
        assert kind in (ROOT / file).read_text(encoding="utf-8"), f"{file} kills at no {kind}"


def _kind(point: str) -> str:
    """Return what a point is about: the kind of its commit, or for a restore that it is one."""
    name, _, kind = point.rpartition(":")
    return kind if name.startswith("journal.") else name


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


def test_nobody_commits_but_the_writers_batch_and_the_migrations() -> None:
    # A check only ends its reading; a restore works on files that no daemon has open.
    others = {"journal/checking.py", "store/restoring.py", "store/salvage.py"}
    assert call_sites.commit_statements() == {"store/batch.py", "store/schema.py", *others}
