"""A start that can't work ends at once, in words, with the right exit code, and leaves every file as it was."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from clawd.store.opening import open_database
from tests.crash.nursery import can_fork
from tests.fakes.doors import TOKEN, doors
from tests.fakes.forked import Forked, fork_daemon
from tests.fakes.openai_api import Reply
from tests.fakes.shell import Shell
from tests.fakes.webhook_sender import event
from tests.seeds import dice

ROOT = Path(__file__).parents[2]
GOOD = "gateway: {port: 0}\nmodels: [{name: m, type: demo}]\n"
SECRET = "recognisable-secret-value"


async def start(home: Path, *, wrapper: tuple[str, ...] = ()) -> tuple[int, str]:
    """Start the daemon, which must end by itself; return its exit code and what it said."""
    with TemporaryFile() as told:
        process = await _begin(home, wrapper, told.fileno())
        assert process.stdout is not None
        try:
            async with asyncio.timeout(30):
                out, code = await process.stdout.read(), await process.wait()
        except TimeoutError:
            process.kill()
            raise AssertionError("it runs, although it must not") from None
        assert out == b""
        told.seek(0)
        return code, told.read().decode()


async def _begin(home: Path, wrapper: tuple[str, ...], stderr: int) -> asyncio.subprocess.Process | Forked:
    environ = Shell(home).environ
    if not wrapper and can_fork(environ):
        return await fork_daemon(environ, ROOT, stderr)
    return await asyncio.create_subprocess_exec(
        *(*wrapper, sys.executable, "-m", "clawd.daemon"),
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )


def four_lines(told: str) -> dict[str, str]:
    """Return the last error of an output by its labels, `what` first; fails on a traceback."""
    assert "Traceback" not in told, told
    error = told[told.rindex("error[") :].splitlines()
    return {"what": error[0]} | {line.partition(": ")[0]: line.partition(": ")[2] for line in error[1:]}


def files_of(folder: Path) -> dict[str, str]:
    """Return a digest of every file below a folder but those that each start writes."""
    written = {"lock", "clawd.log", "clawd.db-shm"}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in written
    }


# --- configuration --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        (b"agent: {max_steps: 4\nmodels: []\n", ":2:", "did not find expected ',' or '}'"),
        (b"gatway: {port: 0}\nagent: {max_step: 3}\n", ":1:1", "did you mean 'gateway'? (and 1 more)"),
        (b'agent: {instructions: "a\xff"}\n', ":1:25", "not UTF-8: byte 0xFF"),
        (b'agent: {instructions: "a\0"}\n', ":1:25", "U+0000 is not allowed"),
        (b'agent: {instructions: "\\ud800"}\n', ":1:26", "invalid Unicode character"),
        (b"[" * 500, ":1:33", "nested deeper than 32 levels"),
        (b"bridges: {telegram: {token: {env: CLAWD_NO_SUCH}}}", ":1:35", "CLAWD_NO_SUCH is not set"),
        (f"bridges: {{telegram: {{token: {SECRET}}}}}".encode(), ":1:29", "not a bot token"),
        (b"bridges: {hook: {type: webhook}}", ":1:11", "bridges.hook.secret: this key is missing"),
        (
            b"gateway: {host: 0.0.0.0}",
            ":1:17",
            "can be reached from other hosts, and gateway.tokens is empty",
        ),
        (
            f"bridges: {{hook: {{type: webhook, secret: whsec_{SECRET}, callback_url: 'http://me:{SECRET}@h'}}}}",
            ":1:",
            "bridges.hook",
        ),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
async def test_a_bad_configuration_is_told_by_line_and_column(
    state_dir: Path, text: bytes | str, place: str, why: str
) -> None:
    path = state_dir / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, told = await start(state_dir)
    error = four_lines(told)
    assert (code, error["what"].startswith("error[E-CONFIG]: the configuration has ")) == (78, True)
    assert error["where"].startswith(f"{path}{place}"), error
    assert (why in error["why"], bool(error["try"])) == (True, True), error
    assert (SECRET in told, (state_dir / "state").exists()) == (False, False), told


@pytest.mark.parametrize("text", ["agent: {max_stepz: 1}\n", "agent: {max_stepz: 1}\ngateway: {prot: 1}\n"])
async def test_a_refused_start_tells_each_problem_once(state_dir: Path, text: str) -> None:
    (state_dir / "config.yaml").write_text(text)
    code, told = await start(state_dir)
    assert code == 78
    assert (told.count("unknown key 'max_stepz'"), told.count("{max_stepz: 1}")) == (1, 1), told
    assert told.count("error[") == 1


# --- state directory ------------------------------------------------------------------------------------


def _database(folder: Path) -> sqlite3.Connection:
    """Return a good database, as a daemon leaves it."""
    opened = open_database(folder, lambda _: 0, lock_timeout_s=1)
    opened.lock.release()
    return opened.db


def _newer(folder: Path) -> None:
    db = _database(folder)
    db.execute("PRAGMA user_version = 9999")
    db.close()


def _damaged(folder: Path) -> None:
    _database(folder).close()
    with (folder / "clawd.db").open("r+b") as file:
        file.seek(4096)
        file.write(dice(7).randbytes(8192))


def _squatted(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).mkdir(parents=True)


def _garbage(folder: Path) -> None:
    folder.mkdir()
    (folder / "clawd.db").write_bytes(b"this is no database " * 500)


@pytest.mark.parametrize(
    ("make", "code", "what"),
    [
        (lambda folder: folder.write_text("a file"), 74, "the state directory can't be used"),
        (_squatted("clawd.db"), 74, "the state directory can't be used"),
        (_squatted("clawd.sock"), 1, "something else stands where the control socket belongs"),
        (_squatted("gateway.token"), 78, "the configuration has 1 problem"),
        (_garbage, 74, "this is not a database"),
        (_damaged, 74, "the database is damaged"),
        (_newer, 74, "this database was written by a newer clawd"),
    ],
    ids=["a file", "clawd.db", "clawd.sock", "gateway.token", "garbage", "damaged", "newer"],
)
async def test_a_state_directory_that_cannot_be_used_is_left_as_it_was(
    state_dir: Path, make: Callable[[Path], None], code: int, what: str
) -> None:
    (state_dir / "config.yaml").write_text(GOOD)
    await asyncio.to_thread(make, state_dir / "state")
    before = files_of(state_dir)
    ended, told = await start(state_dir)
    error = four_lines(told)
    assert (ended, error["what"].partition("]: ")[2]) == (code, what), told
    assert error.keys() == {"what", "where", "why", "try"}
    after = files_of(state_dir)
    assert {name: after.get(name) for name in before} == before


async def test_a_read_only_state_directory_ends_the_start_with_74(state_dir: Path) -> None:
    (state_dir / "config.yaml").write_text(GOOD)
    state = state_dir / "state"
    state.mkdir()
    mount = f'mount --bind {state} {state} && mount -o remount,ro,bind {state} && exec "$@"'
    code, told = await start(state_dir, wrapper=("unshare", "-rm", "sh", "-c", mount, "sh"))
    assert (code, four_lines(told)["why"]) == (74, "Read-only file system"), told


async def test_a_disk_without_room_ends_the_start_with_74(state_dir: Path) -> None:
    (state_dir / "config.yaml").write_text(GOOD)
    code, told = await start(state_dir, wrapper=("sh", "-c", 'ulimit -f 8; exec "$@"', "sh"))
    assert (code, four_lines(told)["where"]) == (74, str(state_dir / "state" / "clawd.db")), told


# --- through the command --------------------------------------------------------------------------------


async def test_commands_without_a_daemon_exit_3_in_four_lines(state_dir: Path) -> None:
    clawd = Shell(state_dir)
    for words in (("status",), ("chat", "hi"), ("stop",)):
        result = await clawd(*words)
        assert (words, result.code, result.out) == (words, 3, "")
        assert four_lines(result.err)["what"] == "error[E-NOT-RUNNING]: no clawd daemon is running"
        assert four_lines(result.err).keys() >= {"what", "where", "try"}


async def test_a_start_in_the_background_passes_the_daemons_exit_code_on(state_dir: Path) -> None:
    clawd = Shell(state_dir)
    (state_dir / "config.yaml").write_text("gatway: {}\n")
    config = await clawd("start", "--detach")
    (state_dir / "config.yaml").write_text(GOOD)
    (state_dir / "state").mkdir(exist_ok=True)
    (state_dir / "state" / "clawd.db").write_bytes(b"no database at all")
    journal = await clawd("start", "--detach")
    assert (config.code, "did you mean 'gateway'" in config.err) == (78, True), config
    assert (journal.code, "this is not a database" in journal.err) == (74, True), journal
    assert [ended.err.count("error[") for ended in (config, journal)] == [1, 1], "the cause is told once"


async def test_a_second_daemon_is_refused_with_73_and_harms_nothing() -> None:
    async with doors() as here:
        code, told = await start(here.world.state_dir)
        assert (code, four_lines(told)["what"].partition("]: ")[2]) == (
            73,
            "another clawd already uses this state directory",
        )
        assert here.world.daemon is not None
        assert f"locked by process {here.world.daemon.pid}" in told
        assert await here.reply({"text": "still there?"}) == "you said: still there?"


async def test_what_cannot_be_stored_now_is_put_off_at_every_door_and_nothing_is_lost() -> None:
    async with doors(journal={"max_queue": 1, "lock_timeout_s": 0.1}) as here:
        here.model.default = Reply(hang="headers")
        first = await here.rest({"text": "first"})
        await here.model.arrived()
        rest, hook = await here.rest({"text": "second"}), await here.hook(event("third"))
        chat = await here.clawd("chat", "fourth")
        here.telegram.user_says(73, "fifth")
        assert (first.status, rest.status, hook.status, chat.code) == (202, 503, 503, 75), (rest, hook, chat)
        assert (rest.headers["Retry-After"], hook.headers["Retry-After"]) == ("5", "5")
        assert four_lines(chat.err)["what"] == "error[E-BUSY]: too many messages are waiting"
        here.model.default = Reply()
        here.model.release.set()
        await here.telegram.wait_until(
            lambda: any("fifth" in message.text for message in here.telegram.sent(73)), 20
        )
        other = sqlite3.connect(here.world.state_dir / "state" / "clawd.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        rest, hook = await here.rest({"text": "sixth"}), await here.hook(event("seventh"))
        chat = await here.clawd("chat", "eighth")
        other.execute("ROLLBACK")
        other.close()
        assert (rest.status, hook.status, chat.code) == (503, 503, 75), (rest, hook, chat)
        assert await here.reply({"text": "ninth"}) == "you said: ninth"
        head = {"Authorization": f"Bearer {TOKEN}"}
        turn = await here.request("GET", f"/v1/messages/{first.json['id']}?wait=9", headers=head)
        assert turn.json["status"] == "answered"
