"""One daemon in the foreground, from its arguments to its exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clawd.config.loader import load_config
from clawd.crash_stacks import CrashStacks
from clawd.errors import EXIT_FAILED, EXIT_OK, ClawdError, ConfigError, four_lines
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.loop_lag import RoundSelector, loop_with
from clawd.loop_watch import LoopWatch
from clawd.observability.logging import setup_logging
from clawd.paths import config_path, own_call, socket_path, state_dir
from clawd.plugins import find_plugins
from clawd.ports import holder_of_port
from clawd.texts import LANGUAGES, catalogue

from .economy import economise
from .garbage import settle
from .last_run import RunNote, last_written
from .lifecycle import Lifecycle
from .parts import build
from .process_one import warnings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.config.loader import LoadedConfig

    from .parts import Parts

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground and return its exit code."""
    parser = argparse.ArgumentParser(prog="clawd start", description="Run the clawd daemon.")
    parser.add_argument("--config", metavar="PATH")
    parser.add_argument(
        "--standalone", action="store_true", help=argparse.SUPPRESS
    )  # clawd chat --standalone
    options = parser.parse_args(arguments)
    try:
        # Its events are counted and watched from the loop's own selector; uvloop has none that could be asked.
        selector = RoundSelector()
        with asyncio.Runner(loop_factory=lambda: loop_with(selector)) as runner:
            runner.run(serve(options.config, os.environ, selector, standalone=options.standalone))
    except ConfigError as error:
        _tell_problems(error)
        return error.exit_code
    except ClawdError as error:
        _tell(four_lines(error))
        return error.exit_code
    except OSError as error:
        # The system refuses what a daemon can't do without, such as descriptors; nothing of ours foresaw it.
        _tell(
            four_lines(
                ClawdError("the system refused what clawd needs", why=str(error), remedy="clawd doctor")
            )
        )
        return EXIT_FAILED
    return EXIT_OK


def _tell_problems(error: ConfigError) -> None:
    """Tell every mistake once: the first in the error itself, the others behind it, each with its line."""
    first, *others = error.problems
    _tell("\n".join(filter(None, (four_lines(error), first.snippet))))
    for problem in others:
        key = f"{problem.key}: " if problem.key else ""
        _tell("\n".join(filter(None, (f"{problem.place}: {key}{problem.message}", problem.snippet))))


def _tell(text: str) -> None:
    """Write to standard error; a full disk behind it must not change the exit code."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


async def serve(
    config: str | None, environ: Mapping[str, str], selector: RoundSelector, *, standalone: bool = False
) -> None:
    """Run one daemon from its configuration to its end, in a loop that waits by this selector.

    A `standalone` one serves the control socket alone, without bridges, gateway, callbacks and alerts, and ends at once when its
    standard input does: with the process that started it, however that ends.

    Raises:
        ClawdError: it could not start, or a part it can't do without failed.
    """
    plugins, clock = find_plugins(), SystemClock()
    loaded = load_config(config_path(config, environ), environ, plugins)
    if standalone:
        loaded = without_gateway(loaded)
    if loaded.config.profile == "edge":
        economise()
    state = state_dir(loaded.config.state_dir, environ)
    socket = socket_path(loaded.config.state_dir, environ)
    seen = last_written(state)
    opened = await open_journal(state, loaded.config.journal, clock)
    try:
        with setup_logging(loaded.config.logging, state, environ, loaded.secrets) as logs:
            for warning in (*loaded.notes, *opened.warnings, *warnings_of(os.getpid())):
                log.warning("start_warning", extra={"warning": warning})
            parts = build(
                loaded,
                opened,
                logs,
                environ=environ,
                plugins=plugins,
                clock=clock,
                state_dir=state,
                socket=socket,
                standalone=standalone,
            )
            for language in LANGUAGES:
                catalogue(language)  # read now, so that no turn waits for a file
            program = own_call(config, Path(sys.executable).with_name("clawd"), environ)

            def ready(parts: Parts) -> None:
                run.ready()
                announce(parts, program=program)
                settle(often=loaded.config.profile == "edge")
                selector.count_into(parts.counts)  # a start is long rounds, and held up nobody
                watch.start()

            run = RunNote(state, clock, seen=seen, counts=not standalone)
            with CrashStacks(state), run as note, LoopWatch(selector) as watch:
                parts.situation.last_end = note.last_end
                parts.situation.restarts = note.restarts
                await Lifecycle(parts, announce=ready).run()
    finally:
        await opened.close()


def without_gateway(loaded: LoadedConfig) -> LoadedConfig:
    """Return the configuration with the gateway turned off; a reload does not turn it on again."""
    gateway = loaded.config.gateway.model_copy(update={"port": False})
    return replace(loaded, config=loaded.config.model_copy(update={"gateway": gateway}))


def announce(parts: Parts, *, program: str) -> None:
    """Say on standard output what runs, and what to do next; `program` is how a person calls clawd here.

    What nobody can be told, as on a full disk that output goes to, ends no daemon.
    """
    first = next(iter(parts.minds.default_route()), None)
    default = next((info for info in parts.minds.infos() if info.name == first), None)
    words = dict.fromkeys((default.name, default.model, default.found)) if default else ("none",)
    lines = [
        "clawd is ready",
        f"  model:   {', '.join(words)}",
        f"  gateway: {parts.gateway.url or 'off'}{_moved(parts.gateway.moved_from)}",
        f"  socket:  {parts.socket}",
        f"  next:    {program} chat",
    ]
    with contextlib.suppress(OSError):
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def _moved(port: int | None) -> str:
    return "" if port is None else f" (port {port} is used by {holder_of_port(port) or 'another program'})"
