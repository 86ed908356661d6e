"""The commands as a person runs them: real processes against a real control socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clawd import __version__
from clawd.config.schema import JournalConfig
from clawd.control.server import ControlServer
from clawd.errors import ConfigError, ConfigProblem
from clawd.fanout import ToolNote
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.journal.reading import DeadView
from clawd.journal.spend import UsageRow
from clawd.messages import Address, File, Image
from tests.fakes.control_journal import AT
from tests.fakes.control_services import World
from tests.fakes.shell import Shell, socket_of

if TYPE_CHECKING:
    from pathlib import Path

MINE = Address(bridge="terminal", account=str(os.getuid()), chat="default")


# --- without a daemon ---------------------------------------------------------------------------------


async def test_clawd_alone_prints_help_in_a_pipe(clawd: Shell) -> None:
    result = await clawd()
    assert result.code == 0
    assert "conversations" in result.out


async def test_the_version_is_printed_for_people_and_for_scripts(clawd: Shell) -> None:
    assert (await clawd("--version")).out == f"clawd {__version__}\n"
    versions = (await clawd("--version", "--json")).json
    assert (versions["schema_version"], versions["version"], versions["protocol"]) == (1, __version__, 1)


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["stop"],
        ["reload"],
        ["send", "telegram:1:2", "hi"],
        ["tail"],
        ["trace", "turn:a-1-1"],
        ["models", "list"],
        ["usage"],
        ["bridges", "test", "telegram"],
        ["pair", "list"],
        ["conversations", "list"],
        ["turns", "list"],
        ["dead", "drop", "delivery:a-1", "--yes"],
    ],
)
async def test_a_command_without_a_daemon_exits_3_and_says_how_to_start_one(
    clawd: Shell, state_dir: Path, command: list[str]
) -> None:
    result = await clawd(*command)
    assert (result.code, result.out) == (3, "")
    what, where, why, remedy = result.err.splitlines()
    assert what == "error[E-NOT-RUNNING]: no clawd daemon is running"
    assert where == f"where: {socket_of(state_dir)}"
    assert why.endswith("No such file or directory")
    assert remedy == "try: clawd start --detach"


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["statsu"], "Did you mean 'status'"),
        (["turns", "lits"], "Did you mean 'list'"),
        (["trace"], "Missing argument"),
        (["turns", "list", "--state", "happy"], "happy"),
        (["usage", "--by", "weather"], "weather"),
        (["usage", "--days", "0"], "--days"),
        (["--nonsense"], "--nonsense"),
    ],
)
async def test_a_wrong_command_line_exits_2_with_a_hint(clawd: Shell, args: list[str], hint: str) -> None:
    result = await clawd(*args)
    assert (result.code, result.out) == (2, "")
    assert hint in result.err
    assert "Value error" not in result.err


async def test_the_summary_without_a_daemon_is_machine_readable(clawd: Shell) -> None:
    assert (await clawd("--json")).json == {
        "schema_version": 1,
        "running": False,
        "version": __version__,
        "config_path": None,
    }


async def test_a_configuration_that_was_named_and_is_missing_exits_78(clawd: Shell) -> None:
    result = await clawd("--config", "/nonexistent.yaml", "status")
    assert result.code == 78
    assert "/nonexistent.yaml" in result.err


async def test_the_remedy_for_a_missing_configuration_can_be_run_as_it_is(
    clawd: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "named.yaml"
    refused = await clawd("--config", str(path), "status")
    remedy = next(line for line in refused.err.splitlines() if line.startswith("try: "))
    made = await clawd(*remedy.removeprefix("try: clawd ").split(), "--yes")
    assert (made.code, path.is_file()) == (0, True)


# --- reads ----------------------------------------------------------------------------------------------

READS = (
    ["status", "--json"],
    ["--json"],
    ["models", "list", "--json"],
    ["usage", "--json"],
    ["bridges", "list", "--json"],
    ["pair", "list", "--json"],
    ["conversations", "list", "--json"],
    ["conversations", "show", "default", "--json"],
    ["conversations", "export", "default", "--json"],
    ["turns", "list", "--json"],
    ["dead", "list", "--json"],
    ["trace", "turn:fake-1-1", "--json"],
    ["tail", "--no-follow", "--json"],
)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", READS, ids=" ".join)
async def test_every_read_is_one_json_object_with_its_schema(
    clawd: Shell, world: World, command: list[str]
) -> None:
    world.commit(world.ask(MINE, "hi"), "hello")
    result = await clawd(*command)
    assert (result.code, result.err) == (0, "")
    assert result.json["schema_version"] == 1
    assert result.out.count("\n") == 1


@pytest.mark.usefixtures("server")
async def test_the_status_fits_on_a_screen(clawd: Shell) -> None:
    result = await clawd("status")
    lines = result.out.splitlines()
    assert len(lines) < 24
    assert lines[0] == "clawd 0.1.0  ready  up 1 d 1 h  process 4242  44.0 MB"
    assert "hook  bad_credentials" in result.out
    assert "\x1b" not in result.out


@pytest.mark.usefixtures("server")
async def test_colours_are_forced_and_forbidden_by_the_environment(clawd: Shell) -> None:
    assert "\x1b[32mready" in (await clawd("status", FORCE_COLOR="1")).out
    assert "\x1b" not in (await clawd("status", FORCE_COLOR="1", NO_COLOR="1")).out


@pytest.mark.usefixtures("server")
async def test_tables_name_what_there_is(clawd: Shell, world: World) -> None:
    world.commit(world.ask(MINE, "你好, how are you?"), "fine")
    turns = (await clawd("turns", "list")).out
    assert "turn:fake-1-1" in turns
    assert "你好, how are you?" in turns
    assert f"terminal:{os.getuid()}:default" in (await clawd("conversations", "list")).out
    assert "built in" in (await clawd("models", "list")).out
    world.used.append(UsageRow(name="tg:1", calls=3, input_tokens=1200, cost_usd=0.5))
    used = (await clawd("usage", "--by", "user")).out.splitlines()[1]
    assert used.split()[:6] == ["tg:1", "3", "-", "1,200", "-", "0"]
    assert ("usage", "7", "user") in world.calls
    assert "today    3 calls, 1,200 tokens in, 0 out, $0.50" in (await clawd("status")).out
    assert "new key" in (await clawd("bridges", "list")).out
    paired = await clawd("pair", "list")
    assert "ABCD2345" in paired.out
    assert "clawd pair approve" in paired.err
    assert "accepted" in (await clawd("trace", "turn:fake-1-1")).out


@pytest.mark.usefixtures("server")
async def test_a_terminal_that_can_not_show_a_text_is_shown_its_escapes(clawd: Shell, world: World) -> None:
    world.entry(MINE, "user", "你好", None, "queued")
    result = await clawd("tail", "--no-follow", PYTHONIOENCODING="ascii")
    assert (result.code, result.err) == (0, "")
    assert r"\u4f60\u597d" in result.out


@pytest.mark.usefixtures("server")
async def test_text_from_a_chat_can_not_steer_the_terminal(clawd: Shell, world: World) -> None:
    world.entry(MINE, "user", "\x1b]0;owned\x07 \x9b2J hi", None, "queued")
    for command in (["tail", "--no-follow"], ["conversations", "show", "default"]):
        shown = (await clawd(*command)).out
        assert "hi" in shown
        assert not {"\x1b", "\x07", "\x9b"} & set(shown)


@pytest.mark.usefixtures("server")
async def test_a_conversation_without_a_word_is_said_to_have_none(clawd: Shell) -> None:
    result = await clawd("conversations", "show", "nosuch")
    assert (result.code, result.out) == (0, "")
    assert "nothing was said in nosuch" in result.err


@pytest.mark.usefixtures("server")
async def test_an_export_holds_every_entry(clawd: Shell, world: World) -> None:
    for number in range(1203):  # more than a page
        world.entry(MINE, "user", f"line {number}", None, "queued")
    entries = (await clawd("conversations", "export", "default", "--json")).json["entries"]
    assert [entry["text"] for entry in entries] == [f"line {number}" for number in range(1203)]


@pytest.mark.usefixtures("server")
async def test_what_is_not_there_exits_1_in_four_lines(clawd: Shell) -> None:
    result = await clawd("trace", "turn:zz-1-1")
    assert result.code == 1
    assert result.err.startswith("error[E-NOT-FOUND]: there is no turn")


# --- follow ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
async def test_tail_shows_what_was_and_what_comes_until_interrupted(clawd: Shell, world: World) -> None:
    turn = world.ask(MINE, "hi")
    process = await clawd.start("tail")
    assert process.stdout is not None
    assert b"hi" in await process.stdout.readline()
    world.fanout.publish(MINE, ToolNote(turn=turn, name="time", phase="started", summary="{}"))
    while not world.fanout._by_address:  # the stream is open once somebody watches
        await asyncio.sleep(0.01)
    world.start(turn)
    question = world.wait_for_person(turn, "ls\x1b[m\n")
    assert rb"? shell wants to run: ls\e[m\n" in await process.stdout.readline()
    world.answered(question)
    world.finish(turn, "hello")
    assert b"hello" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


async def test_tail_says_when_the_daemon_goes_away(server: ControlServer, clawd: Shell, world: World) -> None:
    world.ask(MINE, "hi")
    process = await clawd.start("tail", "--json")
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["text"] == "hi"
    while not world.fanout._by_address:
        await asyncio.sleep(0.01)
    await server.stop()
    _, err = await process.communicate()
    assert process.returncode == 69
    assert err.startswith(b"error[E-DISCONNECTED]")


@pytest.mark.usefixtures("server")
async def test_status_is_shown_again_until_interrupted(clawd: Shell) -> None:
    process = await clawd.start("status", "--watch", "--json")
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["pid"] == 4242
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130


@pytest.mark.usefixtures("server")
async def test_a_reader_that_has_seen_enough_is_no_error(clawd: Shell, world: World) -> None:
    for number in range(2000):
        world.entry(MINE, "user", f"{number} " + "x" * 200, None, "queued")
    process = await clawd.start("conversations", "export", "default")
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    await process.wait()


# --- changes ----------------------------------------------------------------------------------------------


async def test_send_brings_files_along(clawd: Shell, world: World, state_dir: Path) -> None:
    paths = [state_dir / "cat.png", state_dir / "a.pdf"]
    for path, content in zip(paths, (b"\x89PNG\r\n\x1a\n" + bytes(200_000), b"%PDF-1.7"), strict=True):
        path.write_bytes(content)
    opened = await open_journal(state_dir / "journal", JournalConfig(max_file_bytes=300_000), SystemClock())
    services = replace(world.services(), artifacts=opened.artifacts)
    async with ControlServer(socket_of(state_dir), services):
        files = [option for path in paths for option in ("--file", str(path))]
        assert (await clawd("send", "telegram:1:2", "see", *files)).out == "delivery:fake-1\n"
        image, file = world.pushes[0].files
        assert (type(image), image.name, image.size) == (Image, "cat.png", 200_008)
        assert (type(file), file.name, file.mime) == (File, "a.pdf", "application/pdf")
        assert b"".join([p async for p in opened.artifacts.read(file.ref)]) == b"%PDF-1.7"
        gone = await clawd("send", "telegram:1:2", "see", "--file", str(state_dir / "nothing"))
        assert (gone.code, "can't be read" in gone.err) == (2, True)
        paths[0].write_bytes(bytes(400_000))
        large = await clawd("send", "telegram:1:2", "see", "--file", str(paths[0]))
        assert "larger than 300,000 bytes" in large.err
        assert len(world.pushes) == 1
    await opened.close()


@pytest.mark.usefixtures("server")
async def test_send_pushes_an_argument_or_standard_input(clawd: Shell, world: World) -> None:
    assert (await clawd("send", "telegram:1:2", "hi")).out == "delivery:fake-1\n"
    assert (await clawd("send", "telegram:1:2", stdin="from a pipe\n")).code == 0
    assert [push.text for push in world.pushes] == ["hi", "from a pipe"]
    again = await clawd("send", "telegram:1:2", "x", "--id", "a")
    assert (await clawd("send", "telegram:1:2", "x", "--id", "a", "--json")).json["delivery"] is None
    assert again.out == "delivery:fake-3\n"
    assert (await clawd("send", "telegram:1:2")).code == 2


@pytest.mark.usefixtures("server")
async def test_what_would_be_lost_needs_a_word(clawd: Shell, world: World) -> None:
    world.commit(world.ask(MINE, "hi"), "hello")
    world.dead.append(
        DeadView(id="delivery:x-1", bridge="t", conversation=None, at=AT, why="403", text="x", state="dead")
    )
    for command in (["conversations", "delete", "default"], ["dead", "drop", "delivery:x-1"]):
        refused = await clawd(*command, stdin="y\n")
        assert refused.code == 2
        assert "--yes" in refused.err
    assert not world.calls
    assert (await clawd("conversations", "delete", "default", "--yes")).code == 0
    assert (await clawd("dead", "drop", "delivery:x-1", "--yes")).code == 0
    assert [call[0] for call in world.calls] == ["delete", "dropped"]


@pytest.mark.usefixtures("server")
async def test_turns_are_cancelled_and_retried(clawd: Shell, world: World) -> None:
    turn = world.ask(MINE, "hi")
    assert (await clawd("turns", "cancel", turn)).code == 0
    assert [control.turn for control in world.controls] == [turn]
    world.commit(turn, "", "cancelled")
    assert (await clawd("turns", "retry", turn)).out == "turn:fake-1-2\n"
    refused = await clawd("turns", "retry", "turn:fake-1-2")
    assert refused.code == 1
    assert "can be retried" in refused.err


@pytest.mark.usefixtures("server")
async def test_people_are_let_in_and_out(clawd: Shell, world: World) -> None:
    assert "telegram:7 (Eve)" in (await clawd("pair", "approve", "ABCD2345", "--owner")).out
    assert (await clawd("pair", "revoke", "telegram:7")).code == 0
    assert world.calls == [("approve", "ABCD2345", "owner"), ("revoke", "telegram:7")]
    assert (await clawd("pair", "approve", "WRONG")).code == 1


@pytest.mark.usefixtures("server")
async def test_models_and_bridges_answer_or_fail_with_a_code(clawd: Shell) -> None:
    assert (await clawd("models", "test")).code == 0
    assert (await clawd("models", "test", "--json")).json["models"][0]["ok"] is True
    failed = await clawd("bridges", "test", "none")
    assert failed.code == 1
    assert "fail" in failed.out
    assert "E-NOT-FOUND" in failed.err


@pytest.mark.usefixtures("server")
async def test_a_refused_reload_shows_every_problem_and_exits_78(clawd: Shell, world: World) -> None:
    world.reload_failure = ConfigError(
        [
            ConfigProblem(path="c.yaml", key="a", message="first", line=3, column=7, snippet="a: 1\n   ^"),
            ConfigProblem(path="c.yaml", key="b", message="second", line=4, column=1),
        ]
    )
    result = await clawd("reload")
    assert (result.code, result.out) == (78, "")
    assert "c.yaml:3:7: a: first" in result.err
    assert "   ^" in result.err
    assert "c.yaml:4:1: b: second" in result.err


async def test_a_bug_is_told_in_four_lines_and_shown_on_request(clawd: Shell, state_dir: Path) -> None:
    """A daemon whose answer lacks what it promised makes the command fail in its own code."""
    body = b'{"version": "0.1.0"}'
    head = f"HTTP/1.1 200 OK\r\nX-Clawd-Protocol: 1\r\nContent-Length: {len(body)}\r\n\r\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(handle, str(socket_of(state_dir))):
        result = await clawd("status")
        shown = await clawd("--debug", "status")
    assert result.code == 1
    assert result.err.startswith("error[E-BUG]")
    assert "Traceback" not in result.err
    assert "Traceback" in shown.err
