"""Where spans go: the configuration's section, and behind it the standard variables. Pure.

Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from clawd import __version__
from clawd.config.otel import MISSING, OtelConfig, check_endpoint, is_installed
from clawd.tracing import conventions as names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.schema import NetworkConfig

_PATH: Final = "/v1/traces"
_BASE: Final = "OTEL_EXPORTER_OTLP_"
_PROTOBUF: Final = "http/protobuf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where spans go, and what they say of where they come from."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    resource: Mapping[str, str]
    network: NetworkConfig
    content: bool

    @property
    def place(self) -> str:
        """Host and port of the collector, for the log: a path may hold a key."""
        return urlsplit(self.url).netloc


def read_settings(
    config: OtelConfig | None, environ: Mapping[str, str], network: NetworkConfig, *, instance: str
) -> tuple[Settings | None, str]:
    """Return what is in force, None where spans are not sent, and a sentence about what hinders them.

    What the configuration says wins; only `OTEL_SDK_DISABLED=true` turns all of it off.
    """
    own = config or OtelConfig.model_construct()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None, "OTEL_SDK_DISABLED turns the traces of logging.otel off" if config is not None else ""
    url, source = _endpoint(own, environ)
    if not url:
        return None, "" if config is None else "logging.otel has no endpoint: no traces are sent"
    if not own.endpoint:
        hindrance = _hindrance(environ)
        if hindrance is None:
            return None, ""
        try:
            check_endpoint(url, allow_http=own.allow_http)
        except ValueError as error:
            hindrance = hindrance or f"{error} (in logging.otel)"
        if hindrance:
            return None, f"{source}: {hindrance}; no traces are sent"
    parts = urlsplit(url)
    if not parts.path.endswith(_PATH) and not source.endswith("TRACES_ENDPOINT"):
        parts = parts._replace(path=f"{parts.path.rstrip('/')}{_PATH}")
    given = {
        **_pairs(environ.get(f"{_BASE}HEADERS", "")),
        **_pairs(environ.get(f"{_BASE}TRACES_HEADERS", "")),
    }
    headers = {name.lower(): value for name, value in given.items() if _is_header(name, value)}
    headers |= {name.lower(): value.reveal() for name, value in own.headers.items()}
    ca_file = (
        own.ca_file or environ.get(f"{_BASE}TRACES_CERTIFICATE") or environ.get(f"{_BASE}CERTIFICATE") or None
    )
    return Settings(
        url=urlunsplit(parts),
        headers=headers,
        resource=_resource(own, environ, instance),
        network=network.model_copy(update={"ca_file": ca_file}) if ca_file else network,
        content=own.content,
    ), ""


def _endpoint(own: OtelConfig, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the endpoint and who says so; empty where nobody does."""
    if own.endpoint:
        return own.endpoint, "logging.otel.endpoint"
    for name in (f"{_BASE}TRACES_ENDPOINT", f"{_BASE}ENDPOINT"):
        if environ.get(name, "").strip():
            return environ[name].strip(), name
    return "", ""


def _hindrance(environ: Mapping[str, str]) -> str | None:
    """Return why what the environment alone wants can't be done, None where it wants no traces."""
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in {"otlp", ""}:
        return None
    protocol = environ.get(f"{_BASE}TRACES_PROTOCOL") or environ.get(f"{_BASE}PROTOCOL") or _PROTOBUF
    if protocol.strip() != _PROTOBUF:
        return f"clawd speaks {_PROTOBUF}, not {protocol.strip()[:40]}"
    return "" if is_installed() else MISSING


def _resource(own: OtelConfig, environ: Mapping[str, str], instance: str) -> Mapping[str, str]:
    given = _pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    service = (
        own.service_name
        or environ.get("OTEL_SERVICE_NAME", "").strip()
        or given.get(names.SERVICE_NAME)
        or names.AGENT
    )
    return {
        **given,
        names.SERVICE_NAME: service,
        names.SERVICE_VERSION: __version__,
        names.SERVICE_INSTANCE: instance,
    }


def _pairs(text: str) -> dict[str, str]:
    """Return `key=value,key=value`, percent-encoded, as in W3C Baggage; what is no pair is passed over."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {
        unquote(key.strip()): unquote(value.strip()) for key, equals, value in pairs if equals and key.strip()
    }


def _is_header(name: str, value: str) -> bool:
    plain = name.replace("-", "").replace("_", "")
    return plain.isascii() and plain.isalnum() and value.isascii() and value.isprintable()
