"""The one way from a configuration file to a `Config`: every mistake at once, each with its place."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clawd import paths
from clawd.config import sections
from clawd.config.base import Secret
from clawd.config.checks import check_whole, notes_on
from clawd.config.nodes import Entries, Entry, PlainValue, Scalar
from clawd.config.problems import Problems
from clawd.config.profiles import with_profile
from clawd.config.reading import Reader
from clawd.config.schema import Config
from clawd.config.secrecy import secret_values, secrets_in
from clawd.config.sections import InstalledPlugins, Section
from clawd.config.stamps import Stamp
from clawd.config.values import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A valid configuration and what was learned on the way."""

    config: Config
    path: Path | None  # None: no file, the defaults
    files: tuple[Path, ...] = ()  # all that were read: the file, its includes, secret files; a watcher's list
    stamps: Mapping[Path, Stamp] = field(
        default_factory=dict
    )  # of `files` as they were read, for the watcher
    secrets: tuple[str, ...] = ()  # values that must never be printed, for the redaction filter
    notes: tuple[str, ...] = ()  # allowed, but worth a word
    origins: Mapping[str, str] = field(default_factory=dict)  # key -> "FILE:LINE", "environment NAME" …


def load_config(path: Path | None, environ: Mapping[str, str], plugins: InstalledPlugins) -> LoadedConfig:
    """Return the configuration of a file, or the defaults when `path` is None.

    It reads files and is quick (some 20 ms), but does block: within the event loop call it in a thread.

    Raises:
        ConfigError: with every problem found, in the order of the files.
    """
    if path is None:
        return LoadedConfig(config=Config(), path=None)
    problems = Problems()
    home = paths.home_dir(environ)
    reader = Reader(problems, lambda name, folder: paths.resolve_in(name, folder, environ))
    path = path.absolute()
    root = reader.read(path)
    if root is None:
        problems.raise_all(reader.stamps)
        raise AssertionError("a file without a tree has a problem")
    values = Values(environ, home, problems)
    written, data = _build(root, values, plugins, problems)
    config, chosen = with_profile(written)
    check_whole(config, data, root, problems, called=sections.called_bridges(config.bridges, plugins))
    stamps = {**reader.stamps, **values.stamps}
    problems.raise_all(stamps)
    return LoadedConfig(
        config=config,
        path=path,
        files=tuple(stamps),
        stamps=stamps,
        secrets=tuple(dict.fromkeys((*values.secrets, *secrets_in(config)))),
        notes=(
            *values.notes,
            *_readable_by_others(reader.stamps, secret_values(config)),
            *notes_on(config, root),
        ),
        origins={**values.origins, **chosen},
    )


def _build(
    root: Entries, values: Values, plugins: InstalledPlugins, problems: Problems
) -> tuple[Config, dict[str, PlainValue]]:
    """Return the configuration, for sections with a mistake, which is noted, their defaults; and all as written."""
    # `bridges:` with everything below it commented out is the section's default, not a mistake.
    root = Entries(root.mark, {key: entry for key, entry in root.entries.items() if not _is_nothing(entry)})
    data = values.plain(root)
    if not isinstance(data, dict):
        raise TypeError("the root of a configuration is a section")
    rest: dict[str, Any] = {
        key: value for key, value in data.items() if key not in ("bridges", "models", "tools")
    }
    if part := _section("bridges", root, data):
        rest["bridges"] = sections.bridges(part, plugins, problems)
    if part := _section("models", root, data):
        rest["models"] = sections.models(part, plugins, values, problems)
    if part := _section("tools", root, data):
        own = part.data.items() if isinstance(part.data, dict) else ()
        rest["tools"] = {
            **{key: value for key, value in own if key in sections.TOOL_RULES},
            "settings": sections.tools(part, plugins, problems),
        }
    config = sections.validate(Config, rest, Section((), root.mark, root, data), problems)
    config = config or Config.model_validate({key: rest[key] for key in rest if not problems.touch((key,))})
    return config, data


def _section(name: str, root: Entries, data: dict[str, PlainValue]) -> Section | None:
    entry = root.entries.get(name)
    return Section((name,), entry.mark, entry.node, data[name]) if entry else None


def _is_nothing(entry: Entry) -> bool:
    return isinstance(entry.node, Scalar) and entry.node.value is None


def _readable_by_others(files: Iterable[Path], secrets: Iterable[Secret]) -> list[str]:
    holders = {secret.origin.rpartition(":")[0] for secret in secrets}
    return [
        f"{file} holds a secret and others may read it; chmod 600 {file}"
        for file in files
        if str(file) in holders and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
    ]
