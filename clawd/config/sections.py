"""Validates the sections that plugins declare: bridges, models and tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from clawd.config.nodes import Entries, Items, KeyPath, Mark, Node, Scalar, describe, find
from clawd.config.problems import Problems, did_you_mean
from clawd.config.schema import BridgeConfig, ModelConfig, ToolConfig, ToolsConfig
from clawd.config.values import PlainValue
from clawd.config.wording import add_bool_numbers, add_errors
from clawd.errors import ClawdError

M = TypeVar("M", bound=BaseModel)

TOOL_RULES = frozenset(ToolsConfig.model_fields) - {"settings"}
"""Keys of `tools:` that name no tool."""


class Declares(Protocol):
    """A plugin, as far as the configuration is concerned."""

    @property
    def config(self) -> Any:
        """The model of its section; a stranger's plugin may give anything."""
        ...


class InstalledPlugins(Protocol):
    """The plugins by type or name; taking one may raise ClawdError (it can't be used)."""

    @property
    def bridges(self) -> Mapping[str, Declares]: ...
    @property
    def models(self) -> Mapping[str, Declares]: ...
    @property
    def tools(self) -> Mapping[str, Declares]: ...


@dataclass(frozen=True, slots=True)
class Section:
    """One section as it stands in the file, and its plain values."""

    path: KeyPath
    mark: Mark  # of its key
    node: Node
    data: PlainValue


def _validate_declared(
    plugin: Declares | None, base: type[M], data: dict[str, PlainValue], part: Section, problems: Problems
) -> M | None:
    if plugin is None:
        return None
    if not (isinstance(plugin.config, type) and issubclass(plugin.config, base)):
        message = f"this plugin is broken: its section {plugin.config!r} is no {base.__name__}"
        problems.add(part.mark, part.path, message, remedy="update or uninstall it")
        return None
    return validate(plugin.config, data, part, problems)


def validate(model: type[M], data: object, section: Section, problems: Problems) -> M | None:
    """Return the section as the model, None after noting what is wrong with it."""
    add_bool_numbers(model, section.node, section.path, problems)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        add_errors(error, model, section.node, section.path, section.mark, problems)
        return None


def bridges(section: Section, plugins: InstalledPlugins, problems: Problems) -> dict[str, BridgeConfig]:
    """Return the valid bridges by name; `type` defaults to the name."""
    found: dict[str, BridgeConfig] = {}
    for name, part in _named(section, problems):
        data = _settings(part, problems)
        if data is None:
            continue
        data.setdefault("type", name)
        plugin = _plugin(plugins.bridges, data["type"], "type", "bridge", part, problems)
        config = _validate_declared(plugin, BridgeConfig, data, part, problems)
        if config is not None:
            found[name] = config
    return found


def models(section: Section, plugins: InstalledPlugins, problems: Problems) -> tuple[ModelConfig, ...]:
    """Return the valid models in order, each name once."""
    if not isinstance(section.node, Items) or not isinstance(section.data, list):
        problems.add(section.mark, section.path, f"expected a list, got {describe(section.node)}")
        return ()
    found: dict[str, ModelConfig] = {}
    places: dict[str, Mark] = {}
    for index, (node, data) in enumerate(zip(section.node.items, section.data, strict=True)):
        part = Section((*section.path, index), node.mark, node, data)
        config = _model(part, plugins, problems)
        if config is None:
            continue
        if config.name in found:
            place = places[config.name]
            problems.add(node.mark, part.path, f"the name {config.name!r} is taken by the model at {place}")
            continue
        found[config.name], places[config.name] = config, node.mark
    return tuple(found.values())


def _model(part: Section, plugins: InstalledPlugins, problems: Problems) -> ModelConfig | None:
    data = _settings(part, problems)
    if data is None:
        return None
    if "type" not in data:
        problems.add(
            part.mark, (*part.path, "type"), f"this key is missing; one of {_listed(plugins.models)}"
        )
        return None
    plugin = _plugin(plugins.models, data["type"], "type", "model", part, problems)
    return _validate_declared(plugin, ModelConfig, data, part, problems)


def tools(section: Section, plugins: InstalledPlugins, problems: Problems) -> dict[str, ToolConfig]:
    """Return the valid tool sections by the tool's name."""
    found: dict[str, ToolConfig] = {}
    for name, part in _named(section, problems):
        if name in TOOL_RULES:
            continue
        data = _settings(part, problems)
        plugin = _plugin(plugins.tools, name, None, "tool", part, problems)
        config = _validate_declared(plugin, ToolConfig, data or {}, part, problems)
        if data is not None and config is not None:
            found[name] = config
    return found


def _named(section: Section, problems: Problems) -> list[tuple[str, Section]]:
    if not isinstance(section.node, Entries) or not isinstance(section.data, dict):
        problems.add(section.mark, section.path, f"expected a section, got {describe(section.node)}")
        return []
    data = section.data
    return [
        (name, Section((*section.path, name), entry.mark, entry.node, data[name]))
        for name, entry in section.node.entries.items()
    ]


def _settings(part: Section, problems: Problems) -> dict[str, PlainValue] | None:
    if part.data is None:
        return {}
    if not isinstance(part.data, dict):
        problems.add(part.mark, part.path, f"expected a section, got {describe(part.node)}")
        return None
    return dict(part.data)


def _plugin(
    group: Mapping[str, Declares],
    name: PlainValue,
    key: str | None,
    what: str,
    part: Section,
    problems: Problems,
) -> Declares | None:
    path = (*part.path, key) if key else part.path
    _, node, mark = find(part.node, (key,)) if key else ((), part.node, part.mark)
    mark = node.mark if key and isinstance(node, Scalar) else part.mark if mark == part.node.mark else mark
    if not isinstance(name, str) or name not in group:
        shown = repr(str(name)) if isinstance(name, str) else "this type"
        message = f"there is no {what} {'type ' if key else ''}{shown}; installed: {_listed(group)}"
        problems.add(mark, path, message + did_you_mean(str(name), group))
        return None
    try:
        return group[str(name)]
    except ClawdError as error:
        problems.add(mark, path, str(error), remedy=error.remedy)
        return None


def _listed(group: Mapping[str, Declares]) -> str:
    return ", ".join(sorted(group)) or "none"
