"""The section of OpenTelemetry: where spans are sent, and what of the words is in them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from clawd.config.alerts import HeaderValue
from clawd.config.base import ConfigPath, Section
from clawd.webhooks.addresses import check_callback_url

MISSING: Final = 'traces need the extra `otel`, which is missing; run pip install "clawd-agent[otel]"'
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OWN: Final = frozenset({"content-type", "content-length", "content-encoding", "host", "user-agent"})


def is_installed() -> bool:
    """Whether the extra `otel` is there; imports next to nothing."""
    try:
        return find_spec("opentelemetry.proto") is not None
    except (ImportError, ValueError):
        return False


def check_endpoint(url: str, *, allow_http: bool) -> str:
    """Return the URL when spans may be sent there; raises ValueError that says what to set."""
    return check_callback_url(url, allow_http=allow_http, allow_private=True)


def _header(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("expected the name of a header, such as X-Api-Key")
    if name.lower() in _OWN:
        raise ValueError(f"the header {name} is set by clawd itself")
    return str(name)


class OtelConfig(Section):
    """Spans of turns for a collector; what is left out is taken from the standard variables (docs/tracing.md)."""

    allow_http: bool = False  # let the endpoint be http:// although it leaves this machine
    endpoint: str | None = None  # of OTLP over HTTP; /v1/traces is appended where it is missing
    headers: dict[Annotated[str, AfterValidator(_header)], HeaderValue] = {}
    service_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None  # None: clawd
    ca_file: ConfigPath | None = None  # PEM bundle for the collector alone; None: as `network`
    content: bool = False  # send what was said, and the arguments and results of tools, too

    @field_validator("endpoint")
    @classmethod
    def _permitted(cls, url: str | None, info: ValidationInfo) -> str | None:
        # Fields are validated in their order, so what permits the URL stands before it.
        return None if url is None else check_endpoint(url, allow_http=info.data.get("allow_http", False))

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if not is_installed():
            raise ValueError(MISSING)
        return self
