"""What a running daemon's models and platforms answer: the daemon asks them, with its own keys and connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

from clawd.cli.checks.site import evidence_of, fail, ok, warn
from clawd.cli.probing import probe
from clawd.client import NoAnswer
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from clawd.cli.checks.board import Board
    from clawd.cli.checks.site import Finding, Site

Kind = Literal["models", "bridges"]
_IDS: Final[dict[Kind, str]] = {"models": "model", "bridges": "bridge"}


def expect_of_daemon(site: Site, board: Board, kind: Kind, *, but: frozenset[str] = frozenset()) -> None:
    """Say what of the daemon's models or bridges will be asked: not those of the types `but`."""
    for name in _names(site, kind, but):
        board.expect(f"{_IDS[kind]}:{name}", longer(kind, name))


async def ask_through_daemon(
    site: Site, board: Board, kind: Kind, *, but: frozenset[str] = frozenset()
) -> None:
    """Put up what every model or bridge of the daemon answers, all asked at once; those of the types `but` are not."""
    async with asyncio.TaskGroup() as tasks:
        for name in _names(site, kind, but):
            tasks.create_task(_one(site, board, kind, name), name=f"probe:{name}")


def _names(site: Site, kind: Kind, but: frozenset[str]) -> list[str]:
    listed = site.status.get(kind, ()) if site.status is not None else ()
    return [str(each["name"]) for each in listed if each["type"] not in but]


def longer(kind: Kind, name: str) -> str:
    """Return what to do about one that did not answer in time."""
    return f"clawd {kind} test {name} waits longer, and so does clawd doctor --timeout 20"


async def _one(site: Site, board: Board, kind: Kind, name: str) -> None:
    finding = await asyncio.to_thread(_asked, site, kind, name)
    board.tell(finding)


def _asked(site: Site, kind: Kind, name: str) -> Finding:
    check, left_s = f"{_IDS[kind]}:{name}", site.left_s()
    try:
        found = probe(site.client(), kind, name, left_s)
    except NoAnswer:
        return warn(check, f"no answer within {left_s:.1f} s", longer(kind, name))
    except ClawdError as error:  # the daemon ends, or ended
        return warn(check, evidence_of(error), error.remedy)
    if found.ok:
        return ok(check, found.detail)
    remedy = found.error.remedy if found.error is not None else ""
    evidence = evidence_of(found.error) if found.error is not None else found.detail
    failed = next((step for step in found.steps if not step.ok), None)
    if failed is not None:
        evidence = f"{failed.name}: {failed.detail}"
    return fail(check, evidence, remedy or f"clawd {kind} test {name}")
