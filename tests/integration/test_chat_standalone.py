"""`clawd chat --standalone`: the whole work for one terminal, with no daemon before and none afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.alerts.calls import address_of
from clawd.alerts.cases import Case, fingerprint_of
from clawd.alerts.rows import AlertRows
from clawd.config.schema import JournalConfig
from clawd.daemon import last_run
from clawd.ids import SystemClock
from clawd.journal.items import Push
from clawd.journal.opening import open_journal
from clawd.messages import Accepted, Address, MessageId
from clawd.store.lock import StateLock
from tests.conformance.journals import message
from tests.fakes.forked import run_clawd
from tests.fakes.terminal import Terminal
from tests.integration.test_chat_daemon import SLOW, argv, daemon, environ, home, model, turns
from tests.integration.test_chat_terminal import at_rest

__all__ = ["home", "model"]  # the fixtures

SECRET = "whsec_" + "A" * 32


def chat(home: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run_clawd("chat", *words, env=environ(home), stdin=stdin)


def holder(home: Path) -> int:
    """Return the process that holds the state directory, or held it last."""
    return int(json.loads((home / "state" / "lock").read_text())["pid"])


def wait_for_end_of(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 30)[0], "it goes on without the chat"
    finally:
        os.close(process)


def is_free(home: Path) -> bool:
    StateLock.take(home / "state").release()
    return True


def test_a_message_is_answered_without_a_daemon_bridges_and_gateway(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as platform:
        platform.setblocking(False)
        url = f"http://127.0.0.1:{platform.getsockname()[1]}"
        with (home / "config.yaml").open("a") as config:
            config.write(
                f"bridges: {{telegram: {{token: '12345678:{'A' * 35}', api_base: '{url}', mode: polling}}}}\n"
            )
        done = chat(home, "--standalone", "--json", "hello", stdin="and a pipe")
        result = json.loads(done.stdout.splitlines()[-1])
        assert (done.returncode, result["state"], result["text"]) == (
            0,
            "answered",
            "you said: hello\n\nand a pipe",
        )
        assert done.stderr == ""
        try:
            platform.accept()
        except BlockingIOError:
            pass
        else:
            raise AssertionError("the platform was called")
    assert is_free(home)
    assert not (home / "state" / "clawd.sock").exists()


async def test_what_came_from_a_chat_waits_for_the_daemon_that_has_its_bridge(home: Path) -> None:
    with (home / "config.yaml").open("a") as config:
        config.write(f"bridges: {{telegram: {{token: '12345678:{'A' * 35}', mode: polling}}}}\n")
    state, clock = home / "state", SystemClock()
    opened = await open_journal(state, JournalConfig(), clock)
    (accepted,) = await opened.journal.accept([message("from a chat", bridge="telegram")])
    assert isinstance(accepted, Accepted)
    await opened.close()
    done = await asyncio.to_thread(chat, home, "--standalone", "hello")
    assert (done.returncode, done.stdout) == (0, "you said: hello\n")
    opened = await open_journal(state, JournalConfig(), clock)
    lines = (await opened.views.trace(accepted.turn)).lines
    await opened.close()
    assert [line.what for line in lines] == ["accepted"], "nobody began with it"


async def test_what_a_daemon_owed_to_programs_and_alert_urls_waits_for_the_next_one(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as site:
        site.setblocking(False)
        url = f"http://127.0.0.1:{site.getsockname()[1]}/hook"
        app = f"app_id: shop, token: {'t' * 32}, callback: {{url: '{url}', secret: {SECRET}, events: [message]}}"
        settings = (home / "config.yaml").read_text().replace("{port: false}", f"{{apps: [{{{app}}}]}}")
        (home / "config.yaml").write_text(f"{settings}alerts: {{targets: [{{url: '{url}'}}]}}\n")
        opened = await open_journal(home / "state", JournalConfig(), SystemClock())
        admitted = replace(message("by the API"), app="shop")
        came = replace(admitted.message, address=Address(bridge="api", account="shop", chat="1"))
        (accepted,) = await opened.journal.accept([replace(admitted, message=came)])
        assert isinstance(accepted, Accepted)
        await opened.journal.accept([Push(id=MessageId("a"), address=address_of(url), text="{}")])
        await opened.close()
        done = await asyncio.to_thread(chat, home, "--standalone", "hello")
        assert (done.returncode, done.stdout) == (0, "you said: hello\n")
        with pytest.raises(BlockingIOError):
            site.accept()
    opened = await open_journal(home / "state", JournalConfig(), SystemClock())
    lines = (await opened.views.trace(accepted.turn)).lines
    stats = await opened.views.stats()
    await opened.close()
    assert "turn.started" not in [line.what for line in lines], "nobody asks for its answer here"
    assert stats.deliveries_open == 2


async def test_an_alert_about_a_bridge_that_does_not_run_here_does_not_end(home: Path) -> None:
    clock = SystemClock()
    down = Case(
        fingerprint=fingerprint_of("bridge_down", "telegram"),
        rule="bridge_down",
        label="telegram",
        severity="critical",
        state="firing",
        value=1.0,
        above=0.0,
        began_at=clock.now(),
        began=clock.monotonic(),
        fired_at=clock.now(),
        telling="begun",
    )
    opened = await open_journal(home / "state", JournalConfig(), clock)
    await AlertRows(opened.store, clock).put([down])
    await opened.close()
    done = await asyncio.to_thread(chat, home, "--standalone", "hello")
    assert (done.returncode, done.stdout) == (0, "you said: hello\n")
    opened = await open_journal(home / "state", JournalConfig(), clock)
    (case,) = await AlertRows(opened.store, clock).cases()
    await opened.close()
    assert (case.state, case.telling) == ("firing", "begun")


def test_exit_codes_are_those_of_the_chat(home: Path) -> None:
    done = chat(home, "--standalone", "wrong key")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error[E-MODELS]")
    (home / "config.yaml").write_text("agent: 1\n")
    broken = chat(home, "--standalone", "hello")
    assert (broken.returncode, broken.stderr.splitlines()[0][:15]) == (78, "error[E-CONFIG]")


def test_beside_a_daemon_it_refuses_with_the_holder_and_names_the_chat(home: Path) -> None:
    with daemon(home) as running:
        done = chat(home, "--standalone", "hello")
        assert (done.returncode, done.stdout) == (73, "")
        lines = done.stderr.splitlines()
        assert lines[0] == "error[E-STANDALONE]: a clawd daemon is running"
        assert f"process {running.pid} holds" in lines[2]
        assert lines[3].startswith("try: clawd chat")
        assert turns(home) == []


def test_a_lock_whose_holder_is_silent_is_told_with_its_process(home: Path) -> None:
    (home / "state").mkdir(exist_ok=True)
    lock = StateLock.take(home / "state")
    try:
        done = chat(home, "--standalone", "hello")
    finally:
        lock.release()
    assert (done.returncode, done.stdout) == (73, "")
    assert str(os.getpid()) in done.stderr


def test_without_a_daemon_the_chat_offers_both_ways_on(home: Path) -> None:
    done = chat(home, "hello")
    assert done.returncode == 3
    assert done.stderr.splitlines()[3] == (
        "try: clawd start --detach, or without a daemon: clawd chat --standalone"
    )
    named = subprocess.run(
        [*argv()[:-1], "--socket", str(home / "other.sock"), "chat", "--standalone", "hello"],
        env=environ(home), input="", capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert (named.returncode, "a socket was named" in named.stderr) == (2, True)


@pytest.mark.slow
def test_at_a_terminal_the_chat_names_both_ways_on_and_one_of_them_needs_no_daemon(home: Path) -> None:
    with Terminal(argv(), environ(home)) as terminal:
        assert terminal.wait() == 3
        assert "clawd start --detach, or without a daemon" in terminal.screen.text().replace("\n", " ")
    with Terminal([*argv(), "--standalone"], environ(home)) as terminal:
        terminal.until("›")
        terminal.type("one\r")
        terminal.until("you said: one")
        at_rest(terminal)
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert is_free(home)


@pytest.mark.slow
def test_ctrl_c_stops_the_turn_and_the_text_is_kept(home: Path) -> None:
    with Terminal(argv("--standalone", "speak", "slowly"), environ(home)) as terminal:
        terminal.until("First paragraph.")
        pid = holder(home)
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert terminal.screen.text().endswith("(stopped here)")
    wait_for_end_of(pid)


@pytest.mark.slow
def test_a_chat_that_is_killed_takes_its_work_along_and_the_next_one_shows_the_answer(home: Path) -> None:
    with Terminal(argv("--standalone", "speak", "slowly"), environ(home)) as terminal:
        terminal.until("First paragraph.")
        pid = holder(home)
        terminal.process.send_signal(signal.SIGKILL)
        wait_for_end_of(pid)
    assert is_free(home)
    assert not list(home.rglob(last_run.FILE))  # or the next daemon would tell a crash
    with Terminal(argv("--standalone"), environ(home)) as terminal:
        terminal.until("The end.")
        [turn] = turns(home)
        assert (turn["state"], turn["answer"]) == ("answered", SLOW)
        at_rest(terminal)
        terminal.type("\x04")
        assert terminal.wait() == 0
        assert terminal.screen.text().rstrip().endswith("clawd chat --standalone")
    assert is_free(home)
