"""What `clawd doctor` asks of others is over in time, whatever hangs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.cli.checks import CHECKS, examine
from clawd.cli.checks.board import Board
from clawd.cli.checks.catalogue import ABOUT
from clawd.cli.checks.far import FarChecks
from clawd.cli.checks.site import LEAST_S, Site, ok
from tests.fakes.doctor_site import ALIVE, MakeSite, make

__all__ = ["make"]  # the fixture

TOKEN = "12345678:" + "A" * 35


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def silent_socket(path: Path) -> Iterator[Path]:
    """A daemon's socket that takes connections, and never says a word."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o600)
        server.listen(50)
        yield path


def bounded(site: Site, limit_s: float) -> Site:
    return replace(site, limit_s=limit_s, until=site.host.monotonic() + limit_s)


def test_a_model_and_a_platform_that_are_silent_are_told_as_such(make: MakeSite) -> None:
    with silent_server() as url:
        site = make(
            f"models: [{{name: main, type: chat, base_url: '{url}', api_key: k}}]\n"
            f"bridges: {{tg: {{type: telegram, token: '{TOKEN}', api_base: '{url}'}}}}\n"
        )
        checks = [check for check in CHECKS if check.ask is not None]
        found = {finding.id: finding for finding in examine(bounded(site, 1.0), checks=checks)}
    for id_, command in (("model:main", "clawd models test main"), ("bridge:tg", "clawd bridges test tg")):
        assert found[id_].status == "warn"
        assert found[id_].evidence.startswith("no answer within ")
        assert found[id_].fix.startswith(command)


def test_what_nothing_can_end_is_left_behind(make: MakeSite) -> None:
    over, begun = threading.Event(), threading.Event()

    async def hang(_site: Site, board: Board) -> None:
        board.expect("model:a", "wait")
        board.tell(ok("model:b", "answered"))
        begun.set()
        await asyncio.to_thread(over.wait, 30)  # as a resolver does

    site = bounded(make(), 0.3)
    far = FarChecks(site, [hang])
    assert begun.wait(30)
    try:
        found = {finding.id: finding for finding in far.findings()}
        assert far._round is not None
        assert not far._round.done()
        assert found["model:b"].status == "ok"
        assert (found["model:a"].status, found["model:a"].evidence) == ("warn", "no answer within 0.3 s")
    finally:
        over.set()
        if far._round is not None:
            far._round.result(30)


def test_a_bug_in_a_check_is_not_swallowed(make: MakeSite) -> None:
    async def broken(_site: Site, _board: Board) -> None:
        raise LookupError("a bug")

    with pytest.raises(ExceptionGroup):
        FarChecks(bounded(make(), 10), [broken]).findings()


def test_the_time_that_is_left_shrinks_for_everybody_and_never_to_nothing(make: MakeSite) -> None:
    now = iter((100.0, 100.4, 101.4, 101.6, 105.0, 105.0))
    site = replace(make(monotonic=lambda: next(now)), until=101.5)
    assert site.left_s() == pytest.approx(1.5)
    assert site.left_s() == pytest.approx(1.1)
    assert site.left_s() == LEAST_S, "who is asked late is asked all the same"
    assert site.left_s() == pytest.approx(LEAST_S - 0.1), "of which all who come later have their part"
    assert 0 < site.left_s() < 0.02
    assert 0 < site.client()._timeout_s < 0.02


class Spender:
    """A clock that goes on only by what is waited for: each wait takes all of the time that it was handed."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.handed: list[float] = []

    def spend(self, seconds: float) -> float:
        self.handed.append(seconds)
        self.now_s += seconds
        return seconds


def test_a_daemon_that_answers_its_status_alone_gets_no_more_than_the_time_and_a_little(
    make: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    spender, limit_s = Spender(), 0.2
    left_s = Site.left_s
    monkeypatch.setattr(Site, "left_s", lambda site: spender.spend(left_s(site)))
    site = make("gateway: {port: 7373}\n", monotonic=lambda: spender.now_s)
    with silent_server() as url, silent_socket(site.state_dir / "clawd.sock") as path:
        status = {
            **ALIVE,
            "gateway": url,
            "models": [{"name": "main", "type": "chat"}],
            "bridges": [{"name": "tg", "type": "telegram", "state": "connected", "since": "", "error": ""}],
            "route": ["main"],
        }
        site = replace(site, status=status, no_status=None, sockets=(path,), limit_s=limit_s, until=limit_s)
        found = {finding.id: finding for finding in examine(site)}
    assert found["model:main"].evidence.startswith("no answer within ")
    assert found["rows"].status == "warn"
    assert found["gateway"].status == "fail"
    assert len(spender.handed) > 6
    assert sum(spender.handed) <= limit_s + LEAST_S + 0.01 * len(spender.handed)


def test_one_id_is_asked_for_alone(make: MakeSite) -> None:
    site = make()
    assert {finding.id for finding in examine(site, offline=True, only="disk")} == {"disk"}
    assert {finding.id for finding in examine(site, offline=True, only="nothing:else")} == set()


def test_each_finding_has_an_id_of_the_list(make: MakeSite) -> None:
    found = examine(make(), offline=True)
    assert {finding.id.partition(":")[0] for finding in found} <= set(ABOUT)
    assert all(check.look or check.ask for check in CHECKS)


def test_the_page_has_every_check_in_its_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()
    for id_, words in ABOUT.items():
        assert f"| `{id_}` | {words} |" in page, (
            f"docs/doctor.md does not tell {id_} as `clawd doctor --list` does"
        )
