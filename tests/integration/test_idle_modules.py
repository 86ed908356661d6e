"""What a daemon that nobody has spoken to has in memory: each module that is not needed yet costs all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# With what aiohttp and pydantic stand on; whoever adds to these has measured what it costs (docs/edge.md).
FOREIGN = frozenset(
    [
        "aiohappyeyeballs",
        "aiohttp",
        "aiosignal",
        "aiosqlite",
        "annotated_types",
        "attr",
        "frozenlist",
        "idna",
        "multidict",
        "propcache",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "typing_inspection",
        "yaml",
        "yarl",
    ]
)
# Of what is ours: other programs' doors, what only a question brings in, and what no configuration here asks for.
LATER = (
    "bridges",
    "clawd.artifacts.check",
    "clawd.cli",
    "clawd.config.jsonschema",
    "clawd.config.view",
    "clawd.conformance",
    "clawd.embedded",
    "clawd.gateway.answers",
    "clawd.gateway.api_operations",
    "clawd.gateway.openai",
    "clawd.gateway.openai_agent",
    "clawd.gateway.openai_bodies",
    "clawd.gateway.openai_streams",
    "clawd.gateway.openapi_document",
    "clawd.gateway.openapi_page",
    "clawd.journal.check",
    "clawd.journal.checking",
    "clawd.models.anthropic",
    "clawd.models.chat",
    "clawd.models.completion",
    "clawd.models.local",
    "clawd.models.responses",
    "clawd.observability.metrics_page",
    "clawd.store.salvage",
    "clawd.testing",
    "clawd.tracing.encoding",
    "clawd.tracing.telling",
)
# Of the standard library: large, and for what is rare.
RARE = ("difflib", "multiprocessing", "statistics", "unittest", "xml")
WITHOUT_GATEWAY = (
    "clawd.daemon.front",
    "clawd.gateway.app",
    "clawd.gateway.openai",
    "clawd.gateway.requests",
)
# The daemon itself; what it has imported is told as its last word.
PROGRAM = """
import atexit, runpy, sys
atexit.register(lambda: print("loaded:", *sys.modules))
runpy.run_module("clawd.daemon", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("profile", "gateway", "later"),
    [("default", "{port: 0}", (*LATER, *RARE)), ("edge", "{}", (*LATER, *RARE, *WITHOUT_GATEWAY))],
)
def test_an_idle_daemon_has_nothing_in_memory_that_it_does_not_need(
    profile: str, gateway: str, later: tuple[str, ...], state_dir: Path
) -> None:
    config = state_dir / "config.yaml"
    text = f"profile: {profile}\nmodels: [{{name: demo, type: demo}}]\ngateway: {gateway}\n"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    environ = {**os.environ, "CLAWD_HOME": str(state_dir)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "clawd is ready\n"
        daemon.terminate()
        said, _ = daemon.communicate(timeout=30)
    loaded = set(said.rpartition("loaded: ")[2].split())
    assert "clawd.daemon.lifecycle" in loaded
    assert {name for name in loaded if any(f"{name}.".startswith(f"{each}.") for each in later)} == set()
    ours_and_pythons = {"clawd", "cython_runtime", "sitecustomize", *sys.stdlib_module_names}
    foreign = {name.partition(".")[0] for name in loaded} - ours_and_pythons
    assert {name for name in foreign if not name.startswith("_")} - FOREIGN == set()
