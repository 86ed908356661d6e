from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from clawd.child import DEVNULL, PIPE, end_leftovers, launch, leftovers, start
from clawd.ids import TurnId

ENVIRON = {"PATH": os.environ["PATH"]}
TURN = TurnId(f"turn:test{os.getpid()}-1-1")  # other test runs on this host have leftovers of their own


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _gone(*pids: int, within_s: float = 30.0) -> None:
    """Return as soon as all these processes have ended, by the kernel's own word."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(within_s):
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            ended = asyncio.Event()
            loop.add_reader(fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(fd)
                os.close(fd)
    assert not any(_alive(pid) for pid in pids)


def _group(pgid: int) -> list[int]:
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == pgid and fields[0] != "Z":
            pids.append(int(stat.parent.name))
    return pids


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_child_gets_its_arguments_unread_and_a_session_of_its_own() -> None:
    script = "import os,sys; print(sys.argv[1:], os.getpid() == os.getsid(0) == os.getpgid(0))"
    arguments = ["$HOME; `id`", "a b", ""]
    async with start([sys.executable, "-c", script, *arguments], environ=ENVIRON) as child:
        assert child.stdout is not None
        line = (await child.stdout.read()).decode()
        assert await child.wait() == 0
    assert line == f"{arguments} True\n"


async def test_the_end_of_the_block_kills_the_whole_group() -> None:
    script = "sleep 100 & sleep 100 & echo ready; wait"
    async with start(["sh", "-c", script], environ=ENVIRON) as child:
        assert child.stdout is not None
        await child.stdout.readline()
        members = _group(child.pid)
        assert len(members) == 4  # the shell, two sleeps, the watcher
    assert child.returncode == -signal.SIGKILL
    await _gone(*members)


async def test_cancelling_the_owner_kills_the_group() -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def own() -> None:
        async with start(["sleep", "100"], environ=ENVIRON) as child:
            started.set_result(child.pid)
            await child.wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(own())
        pid = await started
        task.cancel()
    await _gone(pid)


async def test_what_a_finished_child_left_in_its_group_is_killed() -> None:
    async with start(["sh", "-c", "sleep 100 >/dev/null & echo $!"], environ=ENVIRON) as child:
        assert child.stdout is not None
        orphan = int(await child.stdout.readline())
        assert await child.wait() == 0
        assert _alive(orphan)
    await _gone(orphan)


async def test_a_grandchild_that_escapes_with_the_pipes_delays_nothing() -> None:
    script = "setsid sh -c 'echo $$; exec sleep 100' &"
    async with asyncio.timeout(30):
        async with start(["sh", "-c", script], environ=ENVIRON, turn=TURN) as child:
            assert child.stdout is not None
            escaped = int(await child.stdout.readline())
            assert await child.wait() == 0
    assert escaped in {leftover.pid for leftover in await asyncio.to_thread(leftovers)}
    os.kill(escaped, signal.SIGKILL)


async def test_a_child_that_waits_for_all_its_children_does_not_wait_for_the_watcher() -> None:
    script = "import os\ntry:\n    os.wait()\nexcept ChildProcessError:\n    print('no child')"
    async with asyncio.timeout(30), start([sys.executable, "-c", script], environ=ENVIRON) as child:
        assert child.stdout is not None
        assert await child.stdout.read() == b"no child\n"


async def test_the_group_dies_with_a_parent_that_was_killed(state_dir: Path) -> None:
    parent = state_dir / "parent.py"
    parent.write_text(
        "import asyncio, os, sys\n"
        "from clawd.child import launch\n"
        "async def main():\n"
        "    child = await launch(['sh', '-c', 'sleep 100 & echo $$ $!; wait'], environ=dict(os.environ))\n"
        "    print((await child.stdout.readline()).decode(), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    environ = {**ENVIRON, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(parent), stdout=asyncio.subprocess.PIPE, env=environ
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await process.stdout.readline()).split()]
    assert all(_alive(pid) for pid in pids)
    process.kill()
    await _gone(*pids)
    await process.wait()


async def test_a_program_that_does_not_exist_ends_with_127() -> None:
    async with start(["/no/such/program"], environ=ENVIRON) as child:
        assert await child.wait() == 127


async def test_standard_input_and_error_are_there_when_asked_for() -> None:
    async with start(["sh", "-c", "cat >&2"], environ=ENVIRON, stdin=PIPE, stdout=DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is None
        assert child.stderr is not None
        child.stdin.write(b"through")
        child.stdin.write_eof()
        assert await child.stderr.read() == b"through"


async def test_killing_twice_is_harmless_and_leaves_no_zombie() -> None:
    child = await launch(["sleep", "100"], environ=ENVIRON)
    await child.kill()
    await child.kill()
    assert not Path(f"/proc/{child.pid}").exists()


async def test_no_descriptor_is_left_behind() -> None:
    async def once() -> None:
        async with start(["true"], environ=ENVIRON) as child:
            await child.wait()
        for _ in range(5):  # asyncio closes pipes in its next rounds
            await asyncio.sleep(0)

    await once()
    before = _descriptors()
    for _ in range(5):
        await once()
    assert _descriptors() <= before


async def test_a_turns_processes_are_found_later_and_only_those() -> None:
    async with (
        start(["sh", "-c", "echo up; sleep 100"], environ=ENVIRON, turn=TURN) as marked,
        start(["sleep", "100"], environ=ENVIRON) as other,
    ):
        assert marked.stdout is not None
        await marked.stdout.readline()
        found = await asyncio.to_thread(leftovers)
        pids = {leftover.pid for leftover in found if leftover.turn == TURN}
        assert marked.pid in pids
        assert other.pid not in pids
        assert os.getpid() not in pids
    await _gone(*pids)
    assert all(leftover.turn != TURN for leftover in await asyncio.to_thread(leftovers))


async def test_ending_leftovers_ends_those_that_belong_and_what_they_start_meanwhile() -> None:
    breeding = "echo up; while :; do setsid sh -c 'sleep 0.3; sleep 100' & sleep 0.01; done"
    other = TurnId(f"turn:test{os.getpid()}-1-2")
    async with (
        start(["setsid", "sh", "-c", breeding], environ=ENVIRON, turn=TURN) as marked,
        start(["sh", "-c", "echo up; exec sleep 100"], environ=ENVIRON, turn=other) as stranger,
    ):
        for child in (marked, stranger):
            assert child.stdout is not None
            await child.stdout.readline()
        ended = await asyncio.to_thread(end_leftovers, lambda turn: turn == TURN)
        assert ended
        assert {left.turn for left in ended} == {TURN}
        assert await asyncio.to_thread(leftovers, lambda turn: turn == TURN) == []
        assert _alive(stranger.pid)
    assert await asyncio.to_thread(end_leftovers, lambda turn: turn == TURN) == []
