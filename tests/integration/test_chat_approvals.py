"""Approvals and busy turns with the real daemon, a third party's tool that asks, and people at terminals."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client
from tests.fakes.forked import run_clawd
from tests.fakes.plugin import install
from tests.fakes.terminal import Terminal
from tests.integration.test_chat_daemon import ROOT, argv, daemon, environ, turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

WORDS = "[y]es once, [a]lways, [n]o · "
SLOW = "A long answer that takes its time to come to an end."


def writes(line: str, text: str = "Let me write.") -> dict[str, Any]:
    arguments = json.dumps({"line": line})
    return {"text": text, "tool_calls": [{"id": f"c-{line}", "name": "writer", "arguments": arguments}]}


class Place:
    """A home with a daemon's configuration, and a scripted model beside it."""

    def __init__(self, home: Path, record: Path) -> None:
        self.home = home
        self._record = record

    @property
    def ran(self) -> list[str]:
        """The lines that the tool has written."""
        path = self.home / "theirs" / "ran"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def asked(self) -> list[list[dict[str, Any]]]:
        """What the model was asked: the messages of each request."""
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        return [json.loads(line)["body"]["messages"] for line in lines]

    def daemon(self) -> Any:
        return daemon(self.home, PYTHONPATH=str(self.home / "theirs"))

    def chat(self, *arguments: str) -> Terminal:
        return Terminal(argv(*arguments), environ(self.home), columns=100)

    def clawd(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return run_clawd(*arguments, env=environ(self.home), stdin=stdin)

    def questions(self) -> list[dict[str, Any]]:
        client = Client.find(None, None, environ(self.home))
        found: list[dict[str, Any]] = client.get("/questions")["questions"]
        return found

    def until(self, what: Callable[[], Any], timeout_s: float = 30) -> Any:
        """Return what `what` returns as soon as that is something."""
        deadline = time.monotonic() + timeout_s
        while not (found := what()):
            assert time.monotonic() < deadline, "the awaited change did not come"
            time.sleep(0.02)
        return found


@contextmanager
def place(
    home: Path, *replies: dict[str, Any], rules: Sequence[Any] = (), extra: str = ""
) -> Iterator[Place]:
    """Run the model; the daemon is the test's to start."""
    install(home / "theirs")
    script, record = home / "script.json", home / "record.jsonl"
    script.write_text(json.dumps({"replies": replies, "rules": list(rules)}))
    command = [sys.executable, "-m", "tests.fakes.openai_api", "--port", "0"]
    command += ["--script", str(script), "--record", str(record)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as model:
        try:
            assert model.stdout is not None
            url = f"http://127.0.0.1:{json.loads(model.stdout.readline())['port']}/v1"
            (home / "config.yaml").write_text(
                f'models: [{{name: main, type: chat, base_url: "{url}", api_key: test, model: fake-1}}]\n'
                f"access: {{grant: tools}}\n{extra or 'gateway: {port: false}'}\n"
            )
            yield Place(home, record)
        finally:
            model.kill()


def test_a_call_runs_by_the_word_of_the_person_at_the_chat(state_dir: Path) -> None:
    replies = (
        writes("one"), {"text": "Written."},
        writes("two"), {"text": "I left it."},
        writes("three"), writes("three", "Again."), {"text": "Twice."},
    )  # fmt: skip
    with place(state_dir, *replies) as here, here.daemon(), here.chat() as terminal:
        terminal.until("›")
        terminal.type("first\r")
        terminal.until(WORDS)
        assert (turns(state_dir)[0]["state"], here.ran) == ("waiting", [])
        terminal.type("y\r")
        seen = terminal.until("Written.")
        assert "Let me write.\n\n? writer wants to run:\n    one\n" in seen
        assert here.ran == ["one"]
        terminal.type("second\r")
        terminal.until("? writer wants to run:\n    two\n")
        terminal.type("better not\r")
        seen = terminal.until(lambda screen: screen.visible().endswith("I left it.\n›"))
        assert "› better not\nthat was taken as no\n" in seen
        assert any("better not" in str(message["content"]) for message in here.asked[-1])
        merged, second = turns(state_dir)[:2]
        assert (merged["state"], merged["merged_into"]) == ("answered", second["id"])
        terminal.type("third\r")
        terminal.until("? writer wants to run:\n    three\n")
        terminal.type("a\r")
        seen = terminal.until(lambda screen: screen.visible().endswith("Twice.\n›"))
        assert seen.count("wants to run:") == 3
        assert here.ran == ["one", "three", "three"]
        terminal.type("\x04")
        assert terminal.wait() == 0
        assert "still being worked on" not in terminal.screen.text()
        assert "elsewhere" not in terminal.screen.text()


def test_a_question_outlives_a_killed_daemon_and_is_answered_by_a_command(state_dir: Path) -> None:
    with place(state_dir, writes("one"), {"text": "Written."}) as here, here.chat() as late:
        assert late.wait() == 3
        with here.daemon() as first, here.chat() as terminal:
            terminal.until("›")
            terminal.type("write\r")
            terminal.until(WORDS)
            first.send_signal(signal.SIGKILL)
            first.wait()
            terminal.until("waiting for the daemon")
            with here.daemon():
                terminal.until("connected again")
                terminal.until(WORDS)
                listed = here.clawd("approvals", "list").stdout
                [question] = here.questions()
                assert f"{question['id']}  terminal:" in listed
                assert listed.rstrip().endswith("one")
                assert here.clawd("approvals", "approve", question["id"]).returncode == 0
                terminal.until("Written.")
                terminal.until(lambda screen: screen.visible().endswith("Written.\n›"))
                seen = terminal.screen.text()
                assert (seen.count("wants to run:"), seen.count("settled elsewhere")) == (1, 1)
                assert here.ran == ["one"]
                refused = here.clawd("approvals", "deny", question["id"])
                assert (refused.returncode, refused.stderr[:14]) == (1, "error[E-STATE]")
                trace = here.clawd("trace", "-v", question["turn"]).stdout
                assert "turn.waiting" in trace
                assert "turn.resumed" in trace
                assert "answer=approved" in trace


def test_ctrl_c_at_a_question_stops_the_turn_without_running_the_call(state_dir: Path) -> None:
    with place(state_dir, writes("one")) as here, here.daemon(), here.chat("write it") as terminal:
        terminal.until(WORDS)
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "elsewhere" not in terminal.screen.text()
        assert (turns(state_dir)[0]["state"], here.ran) == ("cancelled", [])


def test_in_a_pipe_a_question_that_nobody_answers_becomes_a_no(state_dir: Path) -> None:
    extra = "gateway: {port: false}\ntools: {approval_timeout_s: 1}"
    replies = (writes("one"), {"text": "I may not."})
    with place(state_dir, *replies, extra=extra) as here, here.daemon():
        done = here.clawd("chat", "write it")
        assert (done.returncode, here.ran) == (0, [])
        assert done.stdout.endswith("I may not.\n")
        assert "writer wants to run:\n    one\n" in done.stderr
        assert "clawd approvals approve approval:" in done.stderr


def test_a_client_of_the_gateway_answers_what_its_turn_asks(state_dir: Path) -> None:
    replies = (writes("one"), {"text": "Written."})
    with place(state_dir, *replies, extra="gateway: {port: 0}") as here, here.daemon():
        url = Client.find(None, None, environ(state_dir)).get("/status")["gateway"]
        token = (state_dir / "state" / "gateway.token").read_text().strip()

        def call(path: str, body: object = None) -> dict[str, Any]:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
            connection.request("GET" if data is None else "POST", f"/v1{path}", data, headers)
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            connection.close()
            return found

        turn = call("/messages", {"text": "write", "conversation": "c"})["id"]
        waiting = call(f"/messages/{turn}?wait=30&wait_for=question")
        assert (waiting["status"], waiting["question"]["subject"]) == ("waiting", "one")
        call(f"/approvals/{waiting['question']['id']}", {"answer": "approve"})
        done = call(f"/messages/{turn}?wait=30")
        assert (done["status"], here.ran) == ("answered", ["one"])
        assert done["replies"][0]["text"].endswith("Written.")


def test_a_message_typed_while_a_turn_runs_steers_it(state_dir: Path) -> None:
    extra = "gateway: {port: false}\nagent: {busy: steer}"
    replies = (writes("hold"), {"text": "Both done."})
    with place(state_dir, *replies, extra=extra) as here, here.daemon(), here.chat() as terminal:
        terminal.until("›")
        terminal.type("first\r")
        here.until(lambda: here.ran)
        terminal.type("and second\r")
        here.until(lambda: len(turns(state_dir)) == 2)
        other = subprocess.Popen(
            argv("third"),
            env=environ(state_dir),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        here.until(lambda: len(turns(state_dir)) == 3)
        (state_dir / "theirs" / "released").touch()
        terminal.until("Both done.")
        terminal.until(lambda screen: screen.visible().endswith("Both done.\n›"))
        assert "› and second\ngoes into the answer above" in terminal.screen.text()
        out, _ = other.communicate(timeout=30)
        assert (other.returncode, out.splitlines()[-1]) == (0, "Both done.")
        assert [turn["state"] for turn in turns(state_dir)] == ["answered"] * 3
        newest, first = turns(state_dir)[0]["id"], turns(state_dir)[-1]["id"]
        assert "turn.merged" in here.clawd("trace", "-v", first).stdout
        assert f"part of   {first}, which answered both" in here.clawd("trace", newest).stdout


def test_a_message_typed_while_a_turn_runs_takes_its_place(state_dir: Path) -> None:
    extra = "gateway: {port: false}\nagent: {busy: interrupt}"
    chunks = [SLOW[at : at + 4] for at in range(0, len(SLOW), 4)]
    slow = {"contains": "slowly", "reply": {"chunks": chunks, "chunk_delay_s": 0.5}}
    with place(state_dir, rules=[slow], extra=extra) as here, here.daemon(), here.chat() as terminal:
        terminal.until("›")
        terminal.type("speak slowly\r")
        terminal.until("A long")
        terminal.type("quick\r")
        seen = terminal.until("you said: quick")
        cut = seen.index("(stopped here)")
        assert seen.index("A long") < cut < seen.index("› quick")
        assert [turn["state"] for turn in turns(state_dir)] == ["answered", "cancelled"]
        terminal.until(lambda screen: screen.visible().endswith("you said: quick\n›"))


def test_a_delivery_that_may_have_arrived_is_held_listed_sent_again_or_dropped(state_dir: Path) -> None:
    extra = "gateway: {port: false}\nbridges: {once: {on_ambiguous: hold}}"
    theirs = state_dir / "theirs"
    with place(state_dir, extra=extra) as here, here.daemon():
        (theirs / "broken").touch()
        for text in ("first", "second"):
            assert here.clawd("send", "once:1:7", text).returncode == 0

        def held() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(here.clawd("dead", "list", "--json").stdout)["dead"]
            return found if len(found) == 2 else []

        letters = {letter["text"]: letter for letter in here.until(held)}
        assert {letter["state"] for letter in letters.values()} == {"unknown"}
        shown = here.clawd("dead", "list").stdout
        assert shown.count("unknown") == shown.count("the answer did not come") == 2
        (theirs / "broken").unlink()
        dropped = here.clawd("dead", "drop", letters["first"]["id"], "--yes")
        again = here.clawd("dead", "resubmit", letters["second"]["id"])
        assert (dropped.returncode, again.returncode) == (0, 0)
        here.until((theirs / "sent").exists)
        here.until(lambda: "second" in (theirs / "sent").read_text())
        assert "first" not in (theirs / "sent").read_text()
        assert json.loads(here.clawd("dead", "list", "--json").stdout)["dead"] == []
        nothing = here.clawd("dead", "list")
        assert (nothing.stdout, nothing.stderr) == ("", "nothing was given up\n")


pytestmark = pytest.mark.timeout(300)
