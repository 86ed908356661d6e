"""`clawd init` as people and scripts run it: a process of its own, with and without a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.cli.init import PORT
from clawd.config.loader import load_config
from clawd.plugins import find_plugins
from clawd.ports import holder_of_port
from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.control_api import FakeControlApi
from tests.fakes.forked import fork_command
from tests.fakes.openai_api import FakeOpenAI, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.config.loader import LoadedConfig

PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"  # with `clawd` in it
KEY = "sk-test-0123456789abcdef"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs `clawd` with an environment of its own."""

    home: Path
    environ: dict[str, str]

    @property
    def config(self) -> Path:
        return self.home / "clawd" / "config.yaml"

    async def run(self, *arguments: str, stdin: str | None = None, **environ: str) -> Ended:
        process = await fork_command(arguments, self.environ | environ)
        out, err = await process.communicate((stdin or "").encode())
        return Ended(await process.wait(), out.decode(), err.decode())


async def loaded(shell: Shell) -> LoadedConfig:
    return await asyncio.to_thread(lambda: load_config(shell.config, shell.environ, find_plugins()))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    environ = {"HOME": str(tmp_path), "PATH": PATH, "CLAWD_HOME": str(tmp_path / "clawd")}
    return Shell(tmp_path, environ)


@pytest.fixture
async def bot_api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as api:
        yield api


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_without_a_terminal_a_valid_default_is_written_and_told(shell: Shell) -> None:
    ended = await shell.run("init")
    assert (ended.code, ended.out) == (0, f"{shell.config}\n")
    assert "found by itself" in ended.err
    assert "clawd start" in ended.err
    assert mode(shell.config) == 0o600
    assert mode(shell.config.parent) == 0o700
    assert (await loaded(shell)).notes == ()
    assert (await shell.run("config", "check")).code == 0


async def test_existing_file_is_kept_unless_force_is_given(shell: Shell) -> None:
    shell.config.parent.mkdir()
    shell.config.write_text("agent: {max_steps: 3}\n")
    refused = await shell.run("init")
    assert refused.code == 1
    assert f"where: {shell.config}" in refused.err
    assert "--force" in refused.err
    assert shell.config.read_text() == "agent: {max_steps: 3}\n"
    assert (await shell.run("init", "--force")).code == 0
    assert shell.config.with_name("config.yaml.old").read_text() == "agent: {max_steps: 3}\n"


@pytest.mark.parametrize(
    ("config_path", "words"),
    [
        (None, "reload (process {pid} runs without a configuration yet)"),
        ("{config}", "reload (process {pid} runs with this file; what it can't change, it names)"),
        ("/else/where.yaml", "stop, then clawd start (process {pid} runs with /else/where.yaml)"),
    ],
)
async def test_next_step_with_a_daemon_that_runs_is_no_start(
    state_dir: Path, config_path: str | None, words: str
) -> None:
    shell = Shell(state_dir, {"HOME": str(state_dir), "PATH": PATH, "CLAWD_HOME": str(state_dir / "clawd")})
    (state_dir / "clawd" / "state").mkdir(parents=True)
    with FakeControlApi(state_dir / "clawd" / "state" / "clawd.sock") as api:
        path = config_path.format(config=shell.config) if config_path else None
        holder = await asyncio.to_thread(holder_of_port, PORT)  # of some daemon on this host; none is made
        pid = holder.pid if holder is not None else 7
        api.answers["/status"] = {"pid": pid, "config_path": path}
        ended = await shell.run("init")
    assert ended.code == 0
    assert ended.err.splitlines()[-1] == f"next:     clawd {words.format(pid=pid)}"
    assert "uses that port" not in ended.err, "it may be the daemon itself"


async def test_named_file_is_where_it_is_written(shell: Shell, tmp_path: Path) -> None:
    ended = await shell.run("--config", str(tmp_path / "other" / "c.yaml"), "init")
    assert ended.out == f"{tmp_path}/other/c.yaml\n"
    assert f"clawd --config {tmp_path}/other/c.yaml start" in ended.err


async def test_key_is_tested_and_kept_in_a_file_of_its_own(shell: Shell) -> None:
    async with FakeOpenAI(Reply(text="ok")) as api:
        ended = await shell.run(
            *("init", "--provider", api.base_url, "--model", "big", "--api-key-file", "-"), stdin=f"{KEY}\n"
        )
        assert ended.code == 0, ended.err
        assert "ok: big at" in ended.err
        assert len(api.requests) == 1
    key = shell.config.parent / "secrets" / "main_api_key"
    assert ended.out.splitlines() == [str(shell.config), str(key)]
    assert (key.read_text(), mode(key)) == (f"{KEY}\n", 0o600)
    assert KEY not in shell.config.read_text() + ended.err
    config = await loaded(shell)
    assert (config.secrets, config.notes) == ((KEY,), ())


async def test_refused_key_writes_nothing_and_exits_4(shell: Shell) -> None:
    async with FakeOpenAI(Reply(status=401, body='{"error": {"message": "no such key"}}')) as api:
        ended = await shell.run(
            *("init", "--provider", api.base_url, "--model", "big"), CLAWD_INIT_API_KEY=KEY
        )
    assert ended.code == 4
    assert "no such key" in ended.err
    assert KEY not in ended.err
    assert not shell.config.parent.exists()


async def test_endpoint_out_of_reach_is_a_warning_and_is_written(shell: Shell) -> None:
    async with FakeOpenAI() as api:
        url = api.base_url
    ended = await shell.run("init", "--provider", url, "--model", "big", CLAWD_INIT_API_KEY=KEY)
    assert ended.code == 0
    assert "not tested" in ended.err
    assert shell.config.exists()


async def test_key_in_the_environment_stays_there(shell: Shell) -> None:
    ended = await shell.run("init", "--provider", "deepseek", "--no-test", DEEPSEEK_API_KEY=KEY)
    assert ended.code == 0
    assert "env: DEEPSEEK_API_KEY" in shell.config.read_text()
    assert not (shell.config.parent / "secrets").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--provider", "opnai"), "there is no provider 'opnai'"),
        (("--provider", "openai"), "openai needs an API key"),
        (("--provider", "http://127.0.0.1:1/v1"), "needs the name of a model"),
        (("--api-key-file", "/nonexistent"), "the secret can't be read"),
        (("--telegram-token-file", "/dev/null"), "the secret is empty"),
    ],
)
async def test_choice_that_can_not_be_is_told_and_writes_nothing(
    shell: Shell, arguments: tuple[str, ...], words: str
) -> None:
    ended = await shell.run("init", *arguments)
    assert ended.code in (1, 2)
    assert words in ended.err
    assert not shell.config.parent.exists()


async def test_telegram_token_is_tested_and_kept(shell: Shell, bot_api: FakeBotApi) -> None:
    ended = await shell.run("init", CLAWD_INIT_TELEGRAM_TOKEN=TOKEN, CLAWD_INIT_TELEGRAM_API=bot_api.url)
    assert ended.code == 0, ended.err
    assert "@clawd_test_bot" in ended.err
    assert TOKEN not in ended.err + ended.out + shell.config.read_text()
    assert (shell.config.parent / "secrets/telegram_token").read_text().strip() == TOKEN
    assert (await shell.run("config", "check")).code == 0


async def test_telegram_token_that_is_refused_writes_nothing(shell: Shell, bot_api: FakeBotApi) -> None:
    bot_api.revoke()
    ended = await shell.run("init", CLAWD_INIT_TELEGRAM_TOKEN=TOKEN, CLAWD_INIT_TELEGRAM_API=bot_api.url)
    assert ended.code == 4
    assert TOKEN not in ended.err
    assert not shell.config.parent.exists()


async def test_telegram_token_of_a_wrong_form_is_told_without_showing_it(shell: Shell) -> None:
    ended = await shell.run("init", CLAWD_INIT_TELEGRAM_TOKEN="12345:notatoken")
    assert ended.code == 78
    assert "not a bot token" in ended.err
    assert "notatoken" not in ended.err


async def test_unwritable_folder_is_a_clear_error(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "clawd").write_text("a file in the way")
    ended = await shell.run("init")
    assert ended.code == 1
    assert "the configuration can't be written" in ended.err


async def test_terminal_is_asked_three_questions_and_secrets_stay_unseen(
    shell: Shell, bot_api: FakeBotApi
) -> None:
    environ = shell.environ | {
        "DEEPSEEK_API_KEY": KEY,
        "CLAWD_INIT_TELEGRAM_API": bot_api.url,
        "TERM": "dumb",
    }
    terminal = await Terminal.open("init", environ=environ)
    await terminal.says("Which model")
    await terminal.types("deepsek")
    await terminal.says("there is no provider 'deepsek'")
    await terminal.types("auto")
    await terminal.says("The token of a Telegram bot")
    await terminal.says(" > ")  # what is typed before the echo is off would be thrown away
    await terminal.types("12345:wrong")
    await terminal.says("not a bot token")
    await terminal.says(" > ")
    await terminal.types(TOKEN)
    assert await terminal.ended() == 0
    assert "@clawd_test_bot" in terminal.text
    assert TOKEN not in terminal.text
    assert (await loaded(shell)).config.bridges["telegram"].enabled


class Terminal:
    """A person at a terminal: a process on a pseudo-terminal."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, descriptor: int
    ) -> None:
        self._process = process
        self._reader = reader
        self._descriptor = descriptor
        self.text = ""
        self._read_to = 0

    @classmethod
    async def open(cls, *arguments: str, environ: dict[str, str]) -> Terminal:
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clawd.cli.main", *arguments),
            env=environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(ours), "rb", buffering=0)
        )
        return cls(process, reader, ours)

    async def says(self, words: str) -> None:
        async with asyncio.timeout(30):
            while (found := self.text.find(words, self._read_to)) < 0:
                self.text += await self._read()
        self._read_to = found + len(words)

    async def types(self, line: str) -> None:
        os.write(self._descriptor, line.encode() + b"\n")

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            while chunk := await self._read():
                self.text += chunk
            code = await self._process.wait()
        os.close(self._descriptor)
        return code

    async def _read(self) -> str:
        try:
            return (await self._reader.read(4096)).decode()
        except OSError:  # Linux tells the end of a pseudo-terminal as EIO
            return ""
