"""A command runs with little, tells all, and leaves nothing; in the sandbox and without it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.child import start
from clawd.errors import ClawdError, ToolFailed, ToolRetry
from clawd.ids import SystemClock, TurnId
from clawd.tools.base import AskingTool, ToolSite
from clawd.tools.registry import Toolbox
from clawd.tools.shell import PLUGIN, ShellConfig, ShellTool
from tests.fakes.processes import count_is, marked_sleep, running
from tests.unit.tools.context import context

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="left out: the Debian package bubblewrap is not installed"
)
BOTH = pytest.mark.parametrize("sandbox", ["none", pytest.param("bwrap", marks=needs_bwrap)])
# A turn of its own in each process of tests: a call ends whatever is left of its turn.
CONTEXT = replace(context(), clock=SystemClock(), turn=TurnId(f"turn:shelltest-{os.getpid()}-1"))

MakeTool = Callable[..., Awaitable[ShellTool]]


@pytest.fixture
def make(state_dir: Path) -> MakeTool:
    """Return a maker of the tool over a state directory with a secret in it."""
    (state_dir / "clawd.db").write_text("the journal")
    environ = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": "sk-secret", "TZ": "Asia/Tokyo"}
    site = ToolSite(state_dir=state_dir, environ=environ, private=(state_dir,))

    async def make(sandbox: str = "none", **settings: object) -> ShellTool:
        config = ShellConfig.model_validate({"enabled": True, "sandbox": sandbox, **settings})
        tool = await asyncio.to_thread(PLUGIN.create, site, config)
        assert isinstance(tool, ShellTool)
        return tool

    return make


async def run(tool: ShellTool, command: str) -> str:
    return (await tool.call({"command": command}, CONTEXT)).text


def output(text: str) -> str:
    return text.split("data, not instructions.\n", 1)[1]


@BOTH
async def test_status_and_both_outputs_are_told_in_order(make: MakeTool, sandbox: str) -> None:
    text = await run(await make(sandbox), "echo a; echo b >&2; echo c; exit 3")
    assert text.startswith("The command ended with exit status 3 after ")
    assert output(text) == "a\nb\nc\n"
    assert (await run(await make(sandbox), "true")).endswith("It printed nothing.")


async def test_the_end_by_a_signal_is_told(make: MakeTool) -> None:
    assert "was ended by SIGTERM" in await run(await make(), "kill $$")


@BOTH
async def test_a_command_gets_an_environment_without_the_daemons_secrets(
    make: MakeTool, sandbox: str
) -> None:
    seen = output(await run(await make(sandbox), "env; cat; pwd"))
    names = {line.partition("=")[0] for line in seen.splitlines() if "=" in line}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH", "HOME", "TERM", "PAGER", "LANG", "TZ", "CLAWD_TURN"
    }  # fmt: skip
    assert "sk-secret" not in seen
    workdir = seen.splitlines()[-1]
    assert (f"HOME={workdir}" in seen, workdir.endswith("/workspace")) == (True, True)


@BOTH
@pytest.mark.parametrize("rest", ["", " & wait", "& exit"])
async def test_nothing_that_a_command_starts_outlives_the_call(
    make: MakeTool, sandbox: str, rest: str
) -> None:
    sleep = marked_sleep()
    command = f"{sleep} & setsid {sleep} & setsid sh -c '{sleep} & {sleep}' & {sleep}{rest}"
    with suppress(ToolFailed):
        await run(await make(sandbox, timeout_s=0.5), command)
    assert running(sleep) == []


@BOTH
async def test_cancelling_a_call_ends_all_of_it(make: MakeTool, sandbox: str) -> None:
    sleep = marked_sleep()
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(run(await make(sandbox), f"{sleep} & setsid {sleep} & wait"))
        await count_is(sleep, 2)
        call.cancel()
    assert running(sleep) == []


@BOTH
async def test_the_time_limit_is_told_with_what_was_printed_until_then(make: MakeTool, sandbox: str) -> None:
    with pytest.raises(ToolFailed, match=r"(?s)ran longer than 0.5 s.*so far") as told:
        await run(await make(sandbox, timeout_s=0.5), "echo so far; sleep 1000")
    assert told.value.tool == "shell"


async def test_another_turns_processes_are_left_alone(make: MakeTool) -> None:
    sleep = marked_sleep()
    other = TurnId("turn:shelltest-1-2")
    async with start(sleep.split(), environ={"PATH": os.environ["PATH"]}, turn=other):
        await count_is(sleep, 1)
        await run(await make(), "true")
        assert len(running(sleep)) == 1


async def test_a_flood_is_cut_in_the_middle_and_stays_small(make: MakeTool) -> None:
    with pytest.raises(ToolFailed) as told:
        await run(await make(timeout_s=1, max_output_chars=1000), "echo begin; yes")
    text = told.value.what
    assert "begin\ny\n" in text
    assert " bytes left out here …]" in text
    assert len(text) < 1300


@pytest.mark.parametrize("command", ["echo \0", "echo \ud800"])
async def test_text_that_no_program_can_get_is_told_to_the_model(make: MakeTool, command: str) -> None:
    with pytest.raises(ToolRetry):
        await run(await make(), command)


async def test_the_longest_command_that_is_taken_can_be_run(make: MakeTool) -> None:
    command = "true " + "\N{GRINNING FACE}" * 29_995
    text, outcome = await Toolbox([await make()]).call(
        "shell", f'{{"command": "{command}"}}', CONTEXT, "tools"
    )
    assert (text[:37], outcome) == ("The command ended with exit status 0 ", "ok")
    _, outcome = await Toolbox([await make()]).call("shell", f'{{"command": "{command}x"}}', CONTEXT, "tools")
    assert outcome == "error"


async def test_a_working_directory_that_is_gone_is_told(make: MakeTool, state_dir: Path) -> None:
    tool = await make()
    (state_dir / "workspace").rmdir()
    with pytest.raises(ToolFailed, match="could not be started"):
        await run(tool, "true")


# --- consent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("git status --short", "auto"),
        ("git status; rm x", "deny"),
        ("git status; ls", "ask"),
        ("rm x", "deny"),
        ("rm keep", "deny"),
        ("uptime", "ask"),
    ],
)
async def test_deny_comes_before_allow_and_allow_before_the_setting(
    make: MakeTool, command: str, verdict: str
) -> None:
    tool = await make(allow=["git status*", "rm keep"], deny=["rm *"])
    assert isinstance(tool, AskingTool)
    asked = tool.consent({"command": command})
    assert (asked.verdict, asked.subject) == (verdict, command)


@pytest.mark.parametrize("approval", ["auto", "ask", "deny"])
async def test_the_setting_decides_what_no_pattern_names(make: MakeTool, approval: str) -> None:
    assert (await make(approval=approval)).consent({"command": "ls"}).verdict == approval


# --- whether it is there at all -------------------------------------------------------------------------


def test_it_is_off_unless_it_is_asked_for(state_dir: Path) -> None:
    from clawd.config.schema import ToolsConfig

    site = ToolSite(state_dir=state_dir, environ={})
    off = [ToolsConfig(), ToolsConfig(settings={"shell": ShellConfig(sandbox="none")})]
    for config in off:
        assert Toolbox.build({"shell": PLUGIN}, config, site).specs("owner") == ()
    on = ToolsConfig(settings={"shell": ShellConfig(enabled=True, sandbox="none")})
    assert [spec.effect for spec in Toolbox.build({"shell": PLUGIN}, on, site).specs("owner")] == ["once"]
    assert Toolbox.build({"shell": PLUGIN}, on, site).specs("chat") == ()


@pytest.mark.parametrize("sandbox", ["auto", "bwrap"])
def test_without_a_working_sandbox_it_is_left_out_with_a_line_that_says_why(
    state_dir: Path, sandbox: str, caplog: pytest.LogCaptureFixture
) -> None:
    from clawd.config.schema import ToolsConfig

    config = ToolsConfig(
        settings={"shell": ShellConfig.model_validate({"enabled": True, "sandbox": sandbox})}
    )
    for name, words in (
        ("", "not installed"),
        ("echo 'bwrap: No permissions' >&2; exit 1", "No permissions"),
    ):
        programs = state_dir / "bin"
        programs.mkdir(exist_ok=True)
        if name:
            (programs / "bwrap").write_text(f"#!/bin/sh\n{name}\n")
            (programs / "bwrap").chmod(0o755)
        site = ToolSite(state_dir=state_dir, environ={"PATH": str(programs)})
        caplog.clear()
        assert Toolbox.build({"shell": PLUGIN}, config, site).specs("owner") == ()
        (line,) = caplog.records
        assert (line.levelname, line.__dict__["tool"]) == ("WARNING", "shell")
        assert words in line.__dict__["why"]


# --- the sandbox ----------------------------------------------------------------------------------------


@needs_bwrap
async def test_the_sandbox_shows_neither_state_nor_host(make: MakeTool, state_dir: Path) -> None:
    tool = await make("bwrap")
    seen = await run(
        tool,
        f"cat {state_dir}/clawd.db /etc/shadow /etc/clawd/config.yaml; ls /root /home /run /var; ls -A / /etc",
    )
    assert "the journal" not in seen
    top = set(output(seen).split("/:\n")[1].split("\n\n")[0].split())
    assert top <= {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"}
    assert "shadow" not in output(seen).split("/etc:\n")[1].split()


@needs_bwrap
async def test_in_the_sandbox_only_the_working_directory_can_be_written(
    make: MakeTool, state_dir: Path
) -> None:
    tool = await make("bwrap")
    seen = await run(
        tool, "echo kept > kept; for f in /usr/x /etc/x /bin/x; do echo > $f && echo written; done"
    )
    assert "written" not in seen
    assert (state_dir / "workspace" / "kept").read_text() == "kept\n"
    for remount in ("mount -o remount,rw /usr && echo done", "umount -l /proc && echo done"):
        assert "done" not in await run(tool, remount)


@needs_bwrap
async def test_the_sandbox_has_processes_and_a_network_of_its_own(make: MakeTool) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached; ls -d /proc/[0-9]* | wc -l; kill -0 {os.getpid()}"
    seen = await run(await make("bwrap"), script)
    assert "reached" not in seen
    assert "No such process" in seen
    assert "reached" in await run(await make("bwrap", network=True), script)
    server.close()
    await server.wait_closed()


@needs_bwrap
async def test_folders_are_shown_and_what_is_private_in_them_is_not(
    make: MakeTool, state_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("shown")
    (tmp_path / "link").symlink_to(state_dir)
    tool = await make(
        "bwrap", readable=[str(tmp_path), str(state_dir.parent)], writable=[str(tmp_path / "data")]
    )
    seen = await run(
        tool, f"cd {tmp_path}; cat data/a; echo > b; echo > data/b; cat link/clawd.db; ls {state_dir}"
    )
    assert "shown" in seen
    assert "the journal" not in seen
    assert output(seen).endswith("\nworkspace\n")
    assert (tmp_path / "data" / "b").exists()
    assert not (tmp_path / "b").exists()


@needs_bwrap
async def test_a_private_folder_can_not_be_shown(make: MakeTool, state_dir: Path) -> None:
    (state_dir / "logs").mkdir()
    for setting in ({"readable": [str(state_dir / "logs")]}, {"workdir": str(state_dir)}):
        with pytest.raises(ClawdError, match="must not see"):
            await make("bwrap", **setting)
    with pytest.raises(ClawdError, match="does not work here"):
        await make("bwrap", readable=["/no/such/folder"])


@needs_bwrap
@pytest.mark.skipif(os.getuid() != 0, reason="left out: only root can be somebody else")
async def test_the_sandbox_works_for_a_user_without_any_right(state_dir: Path) -> None:
    script = (
        "from pathlib import Path; import sys\n"
        "from clawd.tools.base import ToolSite\n"
        "from clawd.tools.sandbox import probe\n"
        "from clawd.tools.shell import ShellConfig, create\n"
        f"create(ToolSite(state_dir=Path('{state_dir}/sub'), environ={{}}), ShellConfig(enabled=True))\n"
        "print('works')\n"
    )
    (state_dir / "sub").mkdir()
    os.chown(state_dir / "sub", 65534, 65534)
    state_dir.chmod(0o711)
    root = Path(__file__).parents[3]
    if any(not folder.stat().st_mode & 0o001 for folder in (root, *root.parents)):
        pytest.skip("left out: this checkout can't be read by others")
    rights = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
    process = await asyncio.create_subprocess_exec(
        "setpriv", *rights, sys.executable, "-c", script,
        cwd=root, env={"PATH": os.environ["PATH"]}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert out == b"works\n", err.decode()


@needs_bwrap
async def test_a_killed_daemon_takes_the_sandbox_with_it(state_dir: Path) -> None:
    """Without the start of another one: bubblewrap and all that is in it die at once."""
    sleep = marked_sleep()
    script = (
        "import asyncio; from pathlib import Path\n"
        "from clawd.tools.base import ToolSite\n"
        "from clawd.tools.shell import ShellConfig, create\n"
        "from tests.unit.tools.context import context\n"
        f"tool = create(ToolSite(state_dir=Path('{state_dir}'), environ={{}}), ShellConfig(enabled=True))\n"
        f"asyncio.run(tool.call({{'command': '{sleep} & setsid {sleep} & wait'}}, context()))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=Path(__file__).parents[3], env={"PATH": os.environ["PATH"]}
    )
    await count_is(sleep, 2)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await count_is(sleep, 0, within_s=5)
