"""Plugins are found by entry points, imported one by one, and a broken one costs only itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clawd.bridge import BridgePlugin
from clawd.plugins import PluginBroken, Plugins, find_plugins
from tests.fakes.distribution import install_distribution


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the path where packages can be installed by writing files."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(folder: Path, package: str, source: str, entry: str, group: str = "clawd.bridges") -> None:
    points = {group: {entry: f"{package}_code:PLUGIN"}}
    install_distribution(folder, package, points, {f"{package}_code": source})


GOOD = """
from clawd.bridge import BridgePlugin
from clawd.config.schema import BridgeConfig
PLUGIN = BridgePlugin(type="pigeon", config=BridgeConfig, create=lambda context, config: None)
"""


def test_builtin_plugins_come_by_the_same_door() -> None:
    plugins = find_plugins()
    assert {"telegram", "webhook", "wechat"} <= set(plugins.bridges)
    assert {"chat", "completion", "demo", "local"} <= set(plugins.models)
    assert {"time", "calculator"} <= set(plugins.tools)
    for group in (plugins.bridges, plugins.models, plugins.tools):
        for name in group:
            assert group[name] is group[name]


def test_plugin_of_another_package_is_found(installed: Path) -> None:
    install(installed, "pigeon", GOOD, "pigeon")
    plugin = find_plugins().bridges["pigeon"]
    assert isinstance(plugin, BridgePlugin)
    assert plugin.type == "pigeon"


def test_listing_plugins_imports_none(installed: Path) -> None:
    install(installed, "loud", "raise SystemExit('imported')", "loud")
    plugins = find_plugins()
    assert "loud" in plugins.bridges
    assert "loud" in list(plugins.bridges)
    assert "nobody" not in plugins.bridges
    assert plugins.bridges["telegram"].type == "telegram"
    assert "loud_code" not in sys.modules


def test_unknown_plugin_is_a_key_error() -> None:
    plugins: Plugins = find_plugins()
    with pytest.raises(KeyError):
        plugins.models["nobody"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import not_there_at_all", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("PLUGGIN = 1", "AttributeError"),
        ("PLUGIN = 'text'", "expected a BridgePlugin, found str"),
    ],
)
def test_broken_plugin_is_a_named_error_and_the_others_work(installed: Path, source: str, why: str) -> None:
    package = f"broken{abs(hash(source))}"
    install(installed, package, source, "broken")
    plugins = find_plugins()
    with pytest.raises(PluginBroken) as raised:
        plugins.bridges["broken"]
    assert why in raised.value.why
    assert f"package {package} 1.0" in raised.value.where
    assert plugins.bridges["telegram"].type == "telegram"


def test_two_packages_that_offer_one_name_are_told_and_neither_wins(installed: Path) -> None:
    install(installed, "impostor", GOOD, "telegram")
    with pytest.raises(PluginBroken, match="can't be used") as raised:
        find_plugins().bridges["telegram"]
    assert "impostor" in raised.value.where
    assert "clawd-agent" in raised.value.where
