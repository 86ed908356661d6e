"""Profiles change defaults and nothing that somebody wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.config.profiles import EDGE, PROFILES
from clawd.config.schema import Config
from clawd.config.view import leaves, view
from tests.unit.config.conftest import FakePlugin, FakePlugins, PhoneConfig

if TYPE_CHECKING:
    from tests.unit.config.conftest import Files

PAGE = Path(__file__).parents[3] / "docs" / "edge.md"


def test_edge_changes_what_its_table_says_and_tells_that_the_profile_did(files: Files) -> None:
    loaded = files.load("profile: edge\n")
    values = dict(leaves(view(loaded.config)))
    defaults = dict(leaves(view(Config())))
    wanted = {f"{name}.{key}": value for name, keys in EDGE.items() for key, value in keys.items()}
    changed = {key: value for key, value in values.items() if defaults[key] != value}
    assert changed == {"profile": "edge", **wanted}
    assert {loaded.origins[key] for key in wanted} == {"profile edge"}


def test_what_the_file_says_wins_over_the_profile(files: Files) -> None:
    loaded = files.load(
        """
        profile: edge
        gateway: {port: 8080}
        agent: {max_steps: 7, concurrency: 32}
        breaker: {hedge: true}
        """
    )
    assert loaded.config.gateway.port == 8080
    assert (loaded.config.agent.max_steps, loaded.config.agent.concurrency) == (7, 32)
    assert loaded.config.agent.offline_wait_s == EDGE["agent"]["offline_wait_s"]
    assert loaded.config.breaker.hedge is True
    assert loaded.origins["agent.concurrency"].endswith(":4")
    assert loaded.origins["agent.offline_wait_s"] == "profile edge"


def test_the_default_profile_changes_nothing(files: Files) -> None:
    loaded = files.load("profile: default\n")
    assert dict(leaves(view(loaded.config))) == dict(leaves(view(Config())))


def test_a_profile_that_does_not_exist_is_a_mistake_with_its_place(files: Files) -> None:
    problem = files.problem("profile: tiny\n")
    assert (problem.line, problem.key) == (1, "profile")


def test_a_bridge_that_is_called_asks_for_a_port_where_the_profile_left_the_gateway_off(files: Files) -> None:
    files.plugins = FakePlugins(bridges={"phone": FakePlugin(PhoneConfig, called=True)})
    problem = files.problem("profile: edge\nbridges: {phone: {token: long enough}}\n")
    assert problem.key == "gateway.port"
    assert problem.message.startswith("profile edge leaves the gateway off")
    assert problem.remedy.startswith("set gateway.port such as 8080")


def test_a_gateway_that_is_set_up_and_not_asked_for_is_told(files: Files) -> None:
    loaded = files.load("profile: edge\ngateway: {hosts: [box.example]}\n")
    (note,) = loaded.notes
    assert "profile edge leaves the gateway off (hosts: no effect)" in note
    assert files.load("profile: edge\ngateway: {port: 0, hosts: [box.example]}\n").notes == ()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_each_value_of_a_profile_is_one_that_a_file_might_say(files: Files, name: str) -> None:
    lines = [
        f"{section}: {{{', '.join(f'{key}: {str(value).lower()}' for key, value in keys.items())}}}"
        for section, keys in PROFILES[name].items()
    ]
    files.load("\n".join([f"profile: {name}", *lines]) + "\n")


def test_the_page_shows_the_table_as_the_code_has_it() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    defaults = dict(leaves(view(Config())))
    wanted = [
        (f"{name}.{key}", str(defaults[f"{name}.{key}"]).lower(), str(value).lower())
        for name, keys in EDGE.items()
        for key, value in keys.items()
    ]
    assert [tuple(cell.strip() for cell in row) for row in rows] == wanted
