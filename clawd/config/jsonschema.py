"""The configuration's JSON Schema, with the sections of every installed plugin, for editors."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from clawd.config.schema import Config
from clawd.config.sections import TOOL_RULES
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.presets import ModelPresets
    from clawd.config.sections import Declares, InstalledPlugins

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FREE: Schema = {"^x-": {}}  # keys for notes and anchors


def config_schema(plugins: InstalledPlugins) -> tuple[Schema, list[ClawdError]]:
    """Return the schema, and the plugins that had to be left out."""
    broken: list[ClawdError] = []
    groups = [_declared(group, broken) for group in (plugins.bridges, plugins.models, plugins.tools)]
    wanted = [(Config, "validation")]
    wanted += [(model, "validation") for group in groups for model in group.values()]
    _build_defaults(Config)
    placed, shared = models_json_schema(wanted, ref_template="#/$defs/{model}")  # type: ignore[arg-type]  # its type is invariant
    definitions: Schema = shared["$defs"]

    def section(model: type[Any]) -> Schema:
        reference = placed[(model, "validation")]["$ref"]
        return deepcopy(definitions[str(reference).removeprefix("#/$defs/")])

    bridges, models, tools = ({name: section(model) for name, model in group.items()} for group in groups)
    root = section(Config)
    properties = root["properties"]
    properties["include"] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    properties["models"] = {"type": "array", "items": {"anyOf": _model_entries(models, plugins.presets)}}
    properties["bridges"] = {
        "type": "object",
        "properties": {name: _optional(section, "type") for name, section in bridges.items()},
        "patternProperties": _FREE,
        "additionalProperties": {"anyOf": [_typed(s, t) for t, s in bridges.items()]},
    }
    rules = definitions["ToolsConfig"]["properties"]
    tool_keys = {**{key: rules[key] for key in sorted(TOOL_RULES)}, **tools}
    properties["tools"] = {
        "type": "object",
        "properties": tool_keys,
        "patternProperties": _FREE,
        "additionalProperties": False,
    }
    for definition in (root, *definitions.values(), *models.values(), *bridges.values(), *tools.values()):
        if definition.get("additionalProperties") is False:
            definition["patternProperties"] = _FREE
    return {
        "$schema": DIALECT,
        **root,
        "title": "clawd configuration",
        "$defs": _used(root, definitions),
    }, broken


def _build_defaults(model: type[BaseModel]) -> None:
    """Build the models of a section's defaults: they are shown, and nothing may have used them so far."""
    for field in model.model_fields.values():
        if isinstance(field.default, BaseModel):
            field.default.model_rebuild()
            _build_defaults(type(field.default))


def _declared(group: Mapping[str, Declares], broken: list[ClawdError]) -> dict[str, type[Any]]:
    found: dict[str, type[Any]] = {}
    for name in group:
        try:
            found[name] = group[name].config
        except ClawdError as error:
            broken.append(error)
    return found


def _model_entries(models: Mapping[str, Schema], presets: ModelPresets) -> list[Schema]:
    """Return what an entry of `models:` may be: one of a type, or one that a preset gives its type."""
    preset = {"anyOf": [{"enum": sorted(presets.names)}, {"type": "null"}], "default": None}
    entries: list[Schema] = []
    open_keys: Schema = {}
    for name, section in models.items():
        if "preset" in section.get("properties", {}):
            section["properties"]["preset"] = preset
            open_keys = {**section["properties"], **open_keys}
        entries.append(_typed(section, name))
    if open_keys:
        del open_keys["type"]
        entries.append(
            {
                "type": "object",
                "properties": open_keys,
                "patternProperties": _FREE,
                "required": ["name"],
                "additionalProperties": False,
                "anyOf": [
                    {"properties": {"preset": {"type": "string"}}, "required": ["preset"]},
                    {"properties": {"name": {"pattern": presets.pattern}}},
                    {"properties": {"model": {"pattern": presets.pattern}}, "required": ["model"]},
                ],
            }
        )
    return entries


def _typed(section: Schema, name: str) -> Schema:
    return _with_type(section, name, sorted({*section.get("required", []), "type"}))


def _optional(section: Schema, key: str) -> Schema:
    return {**section, "required": [name for name in section.get("required", []) if name != key]}


def _with_type(section: Schema, name: str, required: list[str]) -> Schema:
    properties = {**section.get("properties", {}), "type": {"const": name}}
    return {**section, "properties": properties, "required": required}


def _used(root: Schema, definitions: Schema) -> Schema:
    """Return the definitions that something refers to."""
    used: Schema = {}
    waiting: list[Any] = [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in used:
                used[name] = definitions[name]
                waiting.append(definitions[name])
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return dict(sorted(used.items()))
