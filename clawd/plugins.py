"""Bridges, model providers and tools, found through entry points and imported one by one when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, TypeVar

from clawd.bridge import BridgePlugin
from clawd.errors import EXIT_CONFIG, ClawdError
from clawd.models.base import ModelPlugin
from clawd.models.presets import Presets, load_presets
from clawd.tools.base import ToolPlugin

P = TypeVar("P")

BRIDGES = "clawd.bridges"
MODELS = "clawd.models"
TOOLS = "clawd.tools"

# What importing a stranger's module can raise, short of leaving the process.
_IMPORT_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class PluginBroken(ClawdError):
    """An installed plugin can't be used; `group` and `name` are its entry point's."""

    code = "E-PLUGIN"
    exit_code = EXIT_CONFIG

    def __init__(self, group: str, name: str, *, where: str, why: str, remedy: str = "") -> None:
        super().__init__(f"the plugin {name!r} of {group} can't be used", where=where, why=why, remedy=remedy)
        self.group = group
        self.name = name


class PluginGroup(Mapping[str, P]):
    """The plugins of one entry-point group by name; listing them imports nothing, taking one imports it.

    Taking one raises KeyError when there is none of that name and `PluginBroken` when it can't be used.
    """

    def __init__(self, group: str, kind: type[P], found: Mapping[str, tuple[EntryPoint, ...]]) -> None:
        self._group = group
        self._kind = kind
        self._found = found
        self._loaded: dict[str, P] = {}

    def __getitem__(self, name: str) -> P:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self._found[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found  # the inherited one would import it

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _load(self, name: str, candidates: tuple[EntryPoint, ...]) -> P:
        if len(candidates) > 1:
            raise PluginBroken(
                self._group,
                name,
                where=", ".join(_origin(point) for point in candidates),
                why="several installed packages offer it",
                remedy="uninstall all but one of them",
            )
        (point,) = candidates
        try:
            plugin = point.load()
        except _IMPORT_FAILURES as error:
            raise PluginBroken(
                self._group,
                name,
                where=_origin(point),
                why=f"{type(error).__name__}: {error}",
                remedy="update or uninstall that package",
            ) from error
        if not isinstance(plugin, self._kind):
            raise PluginBroken(
                self._group,
                name,
                where=_origin(point),
                why=f"expected a {self._kind.__name__}, found {type(plugin).__name__}",
                remedy="update or uninstall that package",
            )
        return plugin


@dataclass(frozen=True, slots=True)
class Plugins:
    """What is installed, by the `type` (bridges, models) or name (tools) that the configuration uses."""

    bridges: Mapping[str, BridgePlugin[Any]]
    models: Mapping[str, ModelPlugin[Any]]
    tools: Mapping[str, ToolPlugin[Any]]

    @property
    def presets(self) -> Presets:
        """What is known of model providers; read when first asked for."""
        return load_presets()


def find_plugins() -> Plugins:
    """Return the installed plugins; none is imported yet."""
    installed = entry_points()  # reads a file of every installed package, whichever group is asked for
    return Plugins(
        bridges=PluginGroup(BRIDGES, BridgePlugin, _points(installed.select(group=BRIDGES))),
        models=PluginGroup(MODELS, ModelPlugin, _points(installed.select(group=MODELS))),
        tools=PluginGroup(TOOLS, ToolPlugin, _points(installed.select(group=TOOLS))),
    )


def _points(installed: EntryPoints) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in installed:
        # A package that is installed twice (a checkout over a release) is one offer.
        found.setdefault(point.name, {})[point.value] = point
    return {name: tuple(points.values()) for name, points in sorted(found.items())}


def _origin(point: EntryPoint) -> str:
    package = f"package {point.dist.name} {point.dist.version}" if point.dist else "unknown package"
    return f"{package}, {point.value}"
