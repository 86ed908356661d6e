"""Validates the sections that plugins declare: bridges, models and tools."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from clawd.config.nodes import Entries, Items, KeyPath, Mark, Node, PlainValue, Scalar, describe, find
from clawd.config.presets import ModelPresets, Preset
from clawd.config.problems import Problems, did_you_mean
from clawd.config.schema import BridgeConfig, ModelConfig, ToolConfig, ToolsConfig
from clawd.config.values import MISSING, Values
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


class DeclaresBridge(Declares, Protocol):
    """A bridge's plugin."""

    def is_called(self, config: Any, /) -> bool:
        """Whether a bridge of this configuration waits for calls at the gateway."""
        ...


class InstalledPlugins(Protocol):
    """The plugins by type or name; taking one may raise ClawdError (it can't be used)."""

    @property
    def bridges(self) -> Mapping[str, DeclaresBridge]: ...
    @property
    def models(self) -> Mapping[str, Declares]: ...
    @property
    def tools(self) -> Mapping[str, Declares]: ...
    @property
    def presets(self) -> ModelPresets: ...


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
    if plugin is None or not _is_declared(plugin, base, part, problems):
        return None
    config: M | None = validate(plugin.config, data, part, problems)
    return config


def _is_declared(plugin: Declares, base: type[M], part: Section, problems: Problems) -> bool:
    """Whether the plugin's section is what it has to be; what is wrong is noted."""
    if isinstance(plugin.config, type) and issubclass(plugin.config, base):
        return True
    message = f"this plugin is broken: its section {plugin.config!r} is no {base.__name__}"
    problems.add(part.mark, part.path, message, remedy="update or uninstall it")
    return False


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


def called_bridges(found: Mapping[str, BridgeConfig], plugins: InstalledPlugins) -> tuple[str, ...]:
    """Return the names of the enabled bridges whose platform calls us."""
    return tuple(
        name
        for name, section in found.items()
        if section.enabled and plugins.bridges[section.type].is_called(section)
    )


def models(
    section: Section, plugins: InstalledPlugins, values: Values, problems: Problems
) -> tuple[ModelConfig, ...]:
    """Return the valid models in order, each name once; presets say what the entries leave open."""
    if not isinstance(section.node, Items) or not isinstance(section.data, list):
        problems.add(section.mark, section.path, f"expected a list, got {describe(section.node)}")
        return ()
    found: dict[str, ModelConfig] = {}
    places: dict[str, Mark] = {}
    for index, (node, data) in enumerate(zip(section.node.items, section.data, strict=True)):
        part = Section((*section.path, index), node.mark, node, data)
        config = _model(part, plugins, values, problems)
        name = data.get("name") if isinstance(data, dict) else None
        if isinstance(name, str) and name != MISSING:  # known also where the entry has other mistakes
            if place := places.get(name):
                problems.add(node.mark, part.path, f"the name {str(name)!r} is taken by the model at {place}")
                continue
            places[name] = node.mark
        if config is not None:
            found[config.name] = config
    return tuple(found.values())


def _model(
    part: Section, plugins: InstalledPlugins, values: Values, problems: Problems
) -> ModelConfig | None:
    if isinstance(part.data, str):
        remedy = f"write {{name: {part.data}}}" if part.data in plugins.presets.names else ""
        remedy = remedy or "write a section, such as {name: deepseek}"
        problems.add(part.mark, part.path, "expected a section, got text", remedy=remedy)
        return None
    data = _settings(part, problems)
    if data is None or not _preset_is_known(data, part, plugins.presets, problems):
        return None
    preset = plugins.presets.find(data)
    type_ = data.get("type")
    if "type" not in data and preset is not None:
        type_ = preset.type_of(data, values.variable)
    if type_ is None:
        types, presets = _listed(plugins.models), ", ".join(plugins.presets.names)
        if hint := did_you_mean(str(data.get("name")), plugins.presets.names):
            message = f"it says no type, and no preset is named {str(data.get('name'))!r}{hint}"
            remedy = f"otherwise set type to one of {types}"
        else:
            message = f"this key is missing; one of {types}"
            remedy = f"set it, or set preset to one of {presets}"
        problems.add(part.mark, (*part.path, "type"), message, remedy=remedy)
        return None
    if isinstance(type_, str) and type_ not in plugins.models and type_ in plugins.presets.names:
        message = f"there is no model type {str(type_)!r}; that is the name of a preset"
        remedy = f"write preset: {type_} instead; or type: chat with a base_url, for a server that speaks OpenAI's API"
        problems.add(*_at(part, "type"), message, remedy=remedy)
        return None
    plugin = _plugin(plugins.models, type_, "type", "model", part, problems)
    if plugin is None or not _is_declared(plugin, ModelConfig, part, problems):
        return None
    fields = plugin.config.model_fields
    if preset is not None and "base_url" in fields:
        _fill(data, preset, fields, part, values, problems)
    elif data.get("preset") is not None:
        message = f"a model of type {type_!r} has no address, so it takes no preset"
        problems.add(*_at(part, "preset"), message)
        return None
    if data.get("price") is None and "price" in fields and (price := plugins.presets.price(data)):
        data["price"] = values.add((*part.path, "price"), price, part.mark)
    return validate(plugin.config, data, part, problems)


def _preset_is_known(
    data: dict[str, PlainValue], part: Section, presets: ModelPresets, problems: Problems
) -> bool:
    name = data.get("preset")
    if name is None or (isinstance(name, str) and name in presets.names):
        return True
    mark, path = _at(part, "preset")
    known = ", ".join(presets.names)
    if isinstance(name, str):
        message = f"there is no preset {str(name)!r}{did_you_mean(name, presets.names)}"
    else:
        message = f"expected the name of a preset, got {describe(find(part.node, ('preset',))[1])}"
    problems.add(mark, path, message, remedy=f"known: {known}")
    return False


def _fill(
    data: dict[str, PlainValue],
    preset: Preset,
    fields: Collection[str],
    part: Section,
    values: Values,
    problems: Problems,
) -> None:
    """Add to an entry's data what it does not say; note what only the entry could say."""
    filled = preset.fill(data, fields, values.variable)
    for key, addition in filled.additions.items():
        data[key] = values.add((*part.path, key), addition, part.mark)
    for lack in filled.lacks:
        problems.add(part.mark, (*part.path, lack.key), lack.message, remedy=lack.remedy)


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
    mark, path = _at(part, key) if key else (part.mark, part.path)
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


def _at(part: Section, key: str) -> tuple[Mark, KeyPath]:
    """Return the place and the path of one key of a section, which may not be there."""
    _, node, mark = find(part.node, (key,))
    here = node.mark if isinstance(node, Scalar) else part.mark if mark == part.node.mark else mark
    return here, (*part.path, key)


def _listed(group: Mapping[str, Declares]) -> str:
    return ", ".join(sorted(group)) or "none"
