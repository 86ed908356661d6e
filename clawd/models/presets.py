"""What is known of providers and model servers, read from `presets.yaml`: addresses, keys, ways, prices."""

from __future__ import annotations

import re
from datetime import date
from fnmatch import fnmatchcase
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from clawd.config.base import Section
from clawd.config.checks import is_loopback
from clawd.config.presets import Addition, Filled, Lack
from clawd.config.schema import PriceConfig

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from clawd.config.nodes import PlainValue
    from clawd.config.presets import ModelEntry, Preset, Variables

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_ADDRESS: Final = ("base_url", "endpoint")
_DATED: Final = re.compile(r"[-@]20\d\d-?\d\d-?\d\d$")  # a snapshot: gpt-5.4-mini-2026-03-17


class ProviderPreset(Section):
    """A provider that a key switches on."""

    name: str
    type: str = "chat"
    type_elsewhere: str | None = None  # behind another address than its own; None: the same
    base_url: str
    base_url_env: str | None = None  # the variable that moves the address, where people are used to one
    keys: tuple[str, ...]  # variables; the first that is set holds the key
    model: str
    model_env: str
    names: tuple[str, ...] = ()  # patterns of model names that nobody else has …
    not_names: tuple[str, ...] = ()  # … but for these
    settings: dict[str, Any] = {}  # keys of an entry that it does not say itself, as far as its type has them

    def serves(self, model: PlainValue) -> bool:
        """Whether a model of this name is surely one of this provider's."""
        if not isinstance(model, str):
            return False
        name = model.lower()
        return any(fnmatchcase(name, pattern) for pattern in self.names) and not any(
            fnmatchcase(name, pattern) for pattern in self.not_names
        )

    def type_of(self, entry: ModelEntry, variables: Variables) -> str:
        said = entry.get("type")
        if isinstance(said, str):
            return said
        moved = _address_of(entry) is not None or _read(variables, self.base_url_env) is not None
        return self.type_elsewhere if moved and self.type_elsewhere else self.type

    def fill(self, entry: ModelEntry, fields: Collection[str], variables: Variables) -> Filled:
        additions = dict(_common(self.name, self.type_of(entry, variables), self.settings, entry))
        lacks: list[Lack] = []
        moved = _read(variables, self.base_url_env)
        if _address_of(entry) is None:
            origin = f"environment {self.base_url_env}" if moved else _from(self.name)
            additions["base_url"] = Addition(value=moved or self.base_url, origin=origin)
        name = entry.get("name")
        if entry.get("model") is None and (name == self.name or not self.serves(name)):
            chosen = _read(variables, self.model_env)
            origin = f"environment {self.model_env}" if chosen else _from(self.name)
            additions["model"] = Addition(value=chosen or self.model, origin=origin)
        if "api_key" not in entry:  # `api_key: null` is a word too: none is sent
            if (variable := self.key_variable(variables)) is not None:
                additions["api_key"] = Addition(
                    value=variables(variable), origin=f"environment {variable}", secret=True
                )
            elif _address_of(entry) is None and moved is None:
                lacks.append(self._no_key())
        known = {key: addition for key, addition in additions.items() if key in fields}
        return Filled(additions=known, lacks=tuple(lacks))

    def key_variable(self, variables: Variables) -> str | None:
        """Return the variable that holds the key, None when none does."""
        return next((key for key in self.keys if variables(key)), None)

    def _no_key(self) -> Lack:
        several = len(self.keys) > 1
        state = f"none of {', '.join(self.keys)} is set" if several else f"{self.keys[0]} is not set"
        remedy = f"set {self.keys[0]}, or api_key: {{file: PATH}}"
        return Lack(key="api_key", message=f"{self.name} needs a key, and {state}", remedy=remedy)


class ServerPreset(Section):
    """A model server that may run on this host."""

    name: str
    port: int
    names_models: bool = True  # it serves several, so a request has to name one that it has
    settings: dict[str, Any] = {}  # as those of a provider

    @property
    def base_url(self) -> str:
        """Its usual address."""
        return f"http://127.0.0.1:{self.port}/v1"

    def type_of(self, entry: ModelEntry, variables: Variables) -> str:
        said = entry.get("type")
        return said if isinstance(said, str) else "chat"

    def fill(self, entry: ModelEntry, fields: Collection[str], variables: Variables) -> Filled:
        additions = dict(_common(self.name, self.type_of(entry, variables), self.settings, entry))
        if _address_of(entry) is None:
            additions["base_url"] = Addition(value=self.base_url, origin=_from(self.name))
        lacks: tuple[Lack, ...] = ()
        if self.names_models and entry.get("model") is None and entry.get("name") == self.name:
            message = f"{self.name} serves several models, and this entry does not say which"
            lacks = (Lack(key="model", message=message, remedy="set model, as the server itself calls it"),)
        known = {key: addition for key, addition in additions.items() if key in fields}
        return Filled(additions=known, lacks=lacks)


class PriceList(Section):
    """What the models behind some hosts cost."""

    provider: str  # the preset's name
    hosts: tuple[str, ...]
    as_of: date
    models: dict[str, PriceConfig]  # by the provider's own name; a snapshot with a date costs the same

    def price(self, model: str) -> PriceConfig | None:
        """Return the model's price, None when it is not known."""
        name = model.lower()
        return self.models.get(name) or self.models.get(_DATED.sub("", name))


class Presets(Section):
    """The whole table; order is preference."""

    providers: tuple[ProviderPreset, ...]
    servers: tuple[ServerPreset, ...]
    not_chat: tuple[str, ...]
    free_types: tuple[str, ...]
    prices: tuple[PriceList, ...]

    @cached_property
    def _by_name(self) -> dict[str, ProviderPreset | ServerPreset]:
        known: tuple[ProviderPreset | ServerPreset, ...] = (*self.providers, *self.servers)
        return {preset.name: preset for preset in known}

    @property
    def names(self) -> Collection[str]:
        return self._by_name.keys()

    @property
    def pattern(self) -> str:
        patterns = [pattern for provider in self.providers for pattern in provider.names]
        words = [word.replace(".", r"\.").replace("*", ".*") for word in (*self.names, *patterns)]
        return f"^(?:{'|'.join(words)})$"

    def find(self, entry: ModelEntry) -> Preset | None:
        named = entry.get("preset")
        if named is not None:
            return self._by_name.get(str(named))
        if _address_of(entry) is not None:
            return None
        name, model = entry.get("name"), entry.get("model")
        if isinstance(name, str) and name in self._by_name:
            return self._by_name[name]
        wanted = name if model is None else model
        return next((provider for provider in self.providers if provider.serves(wanted)), None)

    def price(self, entry: ModelEntry) -> Addition | None:
        type_, preset = entry.get("type"), str(entry.get("preset"))
        if type_ in self.free_types:
            return Addition(value={"input": 0.0, "output": 0.0}, origin=f"type {type_}")
        address, model = _address_of(entry), entry.get("model") or entry.get("name")
        host = _host(address) if address is not None else None
        if host is None or not isinstance(model, str):
            return None
        if isinstance(self._by_name.get(preset), ServerPreset):
            free = Addition(value={"input": 0.0, "output": 0.0}, origin=_from(preset))
            return free if is_loopback(host) else None
        for prices in self.prices:
            if host in prices.hosts and (found := prices.price(model)) is not None:
                return Addition(value=_written(found, prices.as_of), origin=_from(prices.provider))
        return None

    def chats(self, model: str) -> bool:
        """Whether a model's name gives no reason to think that it can't chat."""
        name = model.lower()
        return not any(part in name for part in self.not_chat)


@cache
def load_presets() -> Presets:
    """Return the table; read from the package once."""
    text = resources.files("clawd.models").joinpath("presets.yaml").read_text(encoding="utf-8")
    return Presets.model_validate(yaml.load(text, Loader=_LOADER))  # noqa: S506 -- a safe loader


def _common(
    name: str, type_: str, settings: dict[str, Any], entry: ModelEntry
) -> Iterator[tuple[str, Addition]]:
    for key, value in {"preset": name, "type": type_, **settings}.items():
        if key not in entry:
            yield key, Addition(value=value, origin=_from(name))


def _from(name: str) -> str:
    return f"preset {name}"


def _read(variables: Variables, name: str | None) -> str | None:
    return variables(name) if name is not None else None


def _address_of(entry: ModelEntry) -> str | None:
    """Return the address that an entry says; None when it says none."""
    return next((str(entry[key]) for key in _ADDRESS if entry.get(key) is not None), None)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _written(price: PriceConfig, as_of: date) -> PlainValue:
    """Return a price as a configuration would say it."""
    numbers: dict[str, PlainValue] = {
        key: value
        for key in ("input", "output", "cached", "cache_write")
        if (value := getattr(price, key)) is not None
    }
    return {**numbers, "as_of": (price.as_of or as_of).isoformat()}
