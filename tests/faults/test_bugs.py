"""A bug in what watches the daemon, or tells of it, is a line in the log; the work goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.world import world
from tests.fakes.collector import Collector
from tests.fakes.distribution import install_distribution
from tests.fakes.scraping import scrape
from tests.faults.house import events, until

# Loaded by the daemon as an installed tool is; each service then breaks as soon as it has something to do.
_BUGS = """
from clawd.alerts.numbers import Readings
from clawd.config.schema import ToolConfig
from clawd.tools.base import ToolPlugin, ToolResult, ToolSpec
from clawd.tracing.batch import Batches


def broken(*_):
    raise ValueError("surprise")


class Tool:
    spec = ToolSpec(name="none", description="-", parameters={"type": "object"}, effect="pure")

    async def call(self, arguments, context):
        return ToolResult("-")


Readings.read = Batches.after = broken
PLUGIN = ToolPlugin(name="none", config=ToolConfig, create=lambda site, config: Tool())
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_bug_in_an_alerts_rule_or_in_a_trace_does_not_end_the_daemon(state_dir: Path) -> None:
    site = state_dir / "site"
    site.mkdir()
    install_distribution(site, "bugs", {"clawd.tools": {"none": "clawd_bugs:PLUGIN"}}, {"clawd_bugs": _BUGS})
    async with Collector() as collector, world(state_dir) as here:
        here.configure(gateway={"port": 0}, logging={"otel": {"endpoint": collector.url}})
        await here.start(environ={"PYTHONPATH": str(site)})
        here.say(11, "one")
        await here.all_answered()
        services = {"alerts", "traces"}
        await until(lambda: {each["service"] for each in events(here, "service_broke")} == services)
        here.say(11, "two")
        await here.all_answered()
        page = await scrape((await here.control("status"))["gateway"])
        assert all(page.value("clawd_service_errors_total", service=each) for each in services)
        assert await here.stop() == 0
