"""What the model is offered, and what becomes of its calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

import pytest

from clawd.config.schema import ToolConfig, ToolsConfig
from clawd.errors import ClawdError, ToolFailed, ToolRetry
from clawd.response import Effect, JsonObject
from clawd.tools import calculator
from clawd.tools import time as time_tool
from clawd.tools.base import ToolContext, ToolPlugin, ToolResult, ToolSpec
from clawd.tools.registry import MAX_TEXT, Toolbox
from clawd.tools.threads import ThreadedTool, ToolThreads
from tests.unit.tools.context import SITE, context


class Probe:
    """A tool that does what its `does` says."""

    def __init__(
        self, name: str = "probe", effect: Effect = "pure", does: Any = "fine", timeout_s: float = 5
    ) -> None:
        self.spec = ToolSpec(
            name=name,
            description="",
            parameters={
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "additionalProperties": False,
            },
            effect=effect,
            timeout_s=timeout_s,
        )
        self.does = does
        self.calls: list[JsonObject] = []
        self.called = asyncio.Event()

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        self.calls.append(arguments)
        if isinstance(self.does, BaseException):
            raise self.does
        self.called.set()
        if self.does == "hang":
            await asyncio.Event().wait()
        return ToolResult(self.does)


async def test_a_call_gets_parsed_arguments_and_gives_text() -> None:
    probe = Probe()
    assert await Toolbox([probe]).call("probe", ' {"n": 3} ', context(), "chat") == ("fine", "ok")
    assert probe.calls == [{"n": 3}]


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
async def test_no_arguments_at_all_are_none(arguments: str) -> None:
    assert (await Toolbox([Probe()]).call("probe", arguments, context(), "chat"))[1] == "ok"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "can't be read"),
        ("[1]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"n": NaN}', "can't be read"),
        ('{"n": 1, "n": 2}', "twice"),
        ('{"n": ' + "[" * 5000, "can't be read"),
        ('{"n": ' + "[" * 100 + "]" * 100 + "}", "deep"),
        ('{"n": "\ud800"}', "can't be read"),
        ('{"n": "3"}', "n must be integer, not string"),
        ('{"m": 3}', "m is not known; there is n"),
    ],
)
async def test_bad_arguments_come_back_in_words_and_the_tool_does_not_run(arguments: str, told: str) -> None:
    probe = Probe()
    text, outcome = await Toolbox([probe]).call("probe", arguments, context(), "chat")
    assert outcome == "error"
    assert told in text
    assert probe.calls == []


async def test_an_unknown_tool_is_answered_with_those_there_are() -> None:
    text, outcome = await Toolbox([Probe("a"), Probe("b", "once")]).call("c", "{}", context(), "chat")
    assert (text, outcome) == ("There is no tool 'c'. The tools are: a.", "error")


async def test_a_sender_without_the_right_has_pure_tools_only() -> None:
    effects: tuple[Effect, ...] = ("pure", "idempotent", "keyed", "once")
    box = Toolbox([Probe(effect, effect) for effect in effects])
    assert [spec.name for spec in box.specs("chat")] == ["pure"]
    assert (
        {spec.name for spec in box.specs("tools")}
        == {spec.name for spec in box.specs("owner")}
        == set(effects)
    )
    once = Probe("once", "once")
    text, outcome = await Toolbox([once]).call("once", "{}", context(), "chat")
    assert outcome == "error"
    assert "no tool" in text
    assert once.calls == []
    assert (await Toolbox([once]).call("once", "{}", context(), "tools"))[1] == "ok"


def test_the_effect_of_a_tool_that_does_not_exist_is_none() -> None:
    box = Toolbox([Probe("once", "once")])
    assert (box.effect("once"), box.effect("gone")) == ("once", "pure")


async def test_a_call_that_takes_too_long_is_stopped_and_told() -> None:
    text, outcome = await Toolbox([Probe(does="hang", timeout_s=0.01)]).call("probe", "{}", context(), "chat")
    assert (text, outcome) == ("probe took longer than 0.01 s and was stopped.", "error")


async def test_cancelling_a_call_is_no_time_out() -> None:
    probe = Probe(does="hang")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Toolbox([probe]).call("probe", "{}", context(), "chat"))
        await probe.called.wait()
        task.cancel()
    assert task.cancelled()


@pytest.mark.parametrize(
    ("error", "told"),
    [(ToolRetry("probe", "wrong", why="because"), "wrong: because"), (ToolFailed("probe", "gone"), "gone")],
)
async def test_what_a_tool_says_about_its_failure_reaches_the_model(error: Exception, told: str) -> None:
    assert await Toolbox([Probe(does=error)]).call("probe", "{}", context(), "chat") == (told, "error")


@pytest.mark.parametrize("bug", [KeyError("x"), TimeoutError("its own")])
async def test_a_bug_in_a_tool_is_not_hidden(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        await Toolbox([Probe(does=bug)]).call("probe", "{}", context(), "chat")


async def test_a_long_result_is_cut_and_says_so() -> None:
    text, _outcome = await Toolbox([Probe(does="x" * 1_000_000)]).call("probe", "{}", context(), "chat")
    assert len(text) == MAX_TEXT
    assert text.endswith("[cut: 1000000 characters in all]")


async def test_text_that_no_wire_takes_is_mended() -> None:
    text, _outcome = await Toolbox([Probe(does="a\ud800b")]).call("probe", "{}", context(), "chat")
    assert text == "a?b"


async def test_errors_are_bounded_too() -> None:
    box = Toolbox([Probe(does=ToolFailed("probe", "y" * 100_000))])
    assert len((await box.call("probe", "{}", context(), "chat"))[0]) == MAX_TEXT
    assert len((await box.call("n" * 100_000, "{}", context(), "chat"))[0]) == MAX_TEXT


# --- building ------------------------------------------------------------------------------------------


class NeedsKey(ToolConfig):
    key: str


class Installed(Mapping[str, ToolPlugin[Any]]):
    """Plugins of which one can't be loaded."""

    def __init__(self, **plugins: ToolPlugin[Any]) -> None:
        self.plugins = plugins

    def __getitem__(self, name: str) -> ToolPlugin[Any]:
        if name == "broken":
            raise ClawdError("the plugin can't be used", why="ImportError")
        return self.plugins[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.plugins, "broken"])

    def __len__(self) -> int:
        return len(self.plugins) + 1


class Plain:
    """A tool whose call is no coroutine."""

    spec = ToolSpec(name="plain", description="", parameters={"type": "object"}, effect="pure")

    def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        return ToolResult("")


def test_tools_come_from_plugins_and_one_that_fails_costs_itself_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keyed = ToolPlugin(name="keyed", config=NeedsKey, create=lambda _site, config: Probe(f"got_{config.key}"))
    named = ToolPlugin(name="named", config=ToolConfig, create=lambda _site, _config: Probe("Bad-Name"))
    plain: Any = ToolPlugin(name="plain", config=ToolConfig, create=lambda _site, _config: Plain())  # type: ignore[arg-type, return-value]  # what somebody may write
    unset = ToolPlugin(name="unset", config=NeedsKey, create=lambda _site, _config: Probe("unset"))
    older: Any = ToolPlugin(name="older", config=ToolConfig, create=lambda _config: Probe())  # type: ignore[misc, arg-type]  # as an earlier contract had it
    plugins = Installed(
        older=older,
        time=time_tool.PLUGIN,
        calculator=calculator.PLUGIN,
        keyed=keyed,
        named=named,
        plain=plain,
        unset=unset,
    )
    settings: dict[str, ToolConfig] = {
        "keyed": NeedsKey(key="x"),
        "time": time_tool.TimeConfig(enabled=False),
    }
    with caplog.at_level("INFO"):
        box = Toolbox.build(plugins, ToolsConfig(settings=settings), SITE)
    assert [spec.name for spec in box.specs("chat")] == ["calculator", "got_x"]
    left_out = {record.__dict__["tool"]: record.__dict__["why"] for record in caplog.records}
    assert left_out == {
        "broken": "the plugin can't be used (ImportError)",
        "older": left_out["older"],
        "named": "no model takes the name 'Bad-Name'",
        "plain": "its call is no coroutine and would hold up everybody; derive it from ThreadedTool",
        "unset": "it needs settings: tools.unset",
    }
    assert "does not fit this clawd" in left_out["older"]


def test_the_built_in_tools_are_found_through_their_entry_points() -> None:
    found = {point.name: point.load() for point in entry_points(group="clawd.tools")}
    assert found["time"] is time_tool.PLUGIN
    assert found["calculator"] is calculator.PLUGIN
    assert not found["shell"].config().enabled
    on = {name: plugin for name, plugin in found.items() if plugin.config().enabled}
    assert all(plugin.create(SITE, plugin.config()).spec.name == name for name, plugin in on.items())


class Blocks(ThreadedTool):
    """A tool that does not let go."""

    def __init__(self, does: Callable[[], ToolResult], timeout_s: float = 5, effect: Effect = "pure") -> None:
        self.spec = ToolSpec(
            name="blocks", description="", parameters={"type": "object"}, effect=effect, timeout_s=timeout_s
        )
        self._does = does

    def work(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        return self._does()


async def test_a_tool_that_blocks_runs_in_a_thread_while_the_loop_goes_on() -> None:
    let_go = threading.Event()

    def waits() -> ToolResult:
        return ToolResult("done" if let_go.wait(20) else "nobody else ran")

    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(Toolbox([Blocks(waits)]).call("blocks", "", context(), "chat"))
        await asyncio.sleep(0)
        let_go.set()  # the loop is here while the tool waits
    assert call.result() == ("done", "ok")


async def test_what_a_tool_that_blocks_raises_is_told_as_of_any_other() -> None:
    def fails() -> ToolResult:
        raise ToolFailed("blocks", "no such city")

    assert await Toolbox([Blocks(fails)]).call("blocks", "", context(), "chat") == ("no such city", "error")

    def breaks() -> ToolResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Toolbox([Blocks(breaks)]).call("blocks", "", context(), "chat")

    def runs_out() -> ToolResult:
        return next(iter([]))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await Toolbox([Blocks(runs_out)]).call("blocks", "", context(), "chat")


async def test_what_becomes_of_a_tool_that_goes_on_behind_its_time_is_unknown() -> None:
    let_go = threading.Event()

    def hangs() -> ToolResult:
        let_go.wait(20)
        return ToolResult("")

    box = Toolbox([Blocks(hangs, timeout_s=0.01, effect="once")])
    text, outcome = await box.call("blocks", "", context(), "owner")
    let_go.set()
    assert outcome == "unknown"
    assert text == (
        "blocks took longer than 0.01 s and goes on: whether it does what it was asked to is unknown."
    )


async def test_a_tool_that_never_ends_is_left_alone_and_so_many_are_the_most() -> None:
    let_go, threads = threading.Event(), ToolThreads(most=2)

    def hangs() -> ToolResult:
        let_go.wait(20)
        return ToolResult("")

    text, outcome = await Toolbox([Blocks(hangs, timeout_s=0.01)]).call("blocks", "", context(), "chat")
    assert (text, outcome) == ("blocks took longer than 0.01 s and nobody waits for it any more.", "error")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await threads.run("blocks", hangs)
    with pytest.raises(ToolFailed, match="too many calls"):
        await threads.run("blocks", hangs)
    let_go.set()
    while threads.busy:
        await asyncio.sleep(0.001)
    assert (await threads.run("blocks", lambda: ToolResult("again"))).text == "again"
