"""What the section of a model behind HTTP has, whatever format it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from clawd.config.base import Secret
from clawd.config.schema import ModelConfig, NetworkConfig, PositiveSeconds
from clawd.models.limits import StreamLimits

if TYPE_CHECKING:
    from clawd.config.schema import BreakerConfig


class WireConfig(ModelConfig):
    """One model behind an HTTP endpoint; exactly one of `base_url` and `endpoint` is set."""

    path: ClassVar[str]  # what the format appends to `base_url`

    preset: str | None = (
        None  # the provider or model server whose address, key and ways this entry takes over
    )
    base_url: str | None = None
    endpoint: str | None = None  # posted to as it is
    api_key: Secret | None = None
    model: str | None = None  # the provider's own name for it; `name` when not set
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    tools: bool = True  # false: this model is never offered tools
    vision: bool = True  # false: pictures are never sent to this model
    network: NetworkConfig | None = None  # instead of the global section
    # Time-outs that are not set here are those of the section `breaker`.
    connect_s: PositiveSeconds | None = None
    first_token_timeout_s: PositiveSeconds | None = None
    idle_s: PositiveSeconds | None = None
    total_s: PositiveSeconds | None = None
    min_bytes_per_s: Annotated[float, Field(ge=0)] = 20
    rate_window_s: PositiveSeconds = 30  # slower than that for so long is a broken stream
    max_response_bytes: Annotated[int, Field(ge=1000)] = 32_000_000  # on the wire: some 250 for each token

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.base_url is None) == (self.endpoint is None):
            raise ValueError("set exactly one of base_url and endpoint")
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("base_url and endpoint begin with https://HOST or http://HOST")
        return self

    def size(self) -> tuple[int | None, int | None, Literal["large", "small"]]:
        return self.context_tokens, self.max_tokens, "large"

    @property
    def url(self) -> str:
        """Where requests are posted to."""
        return self.endpoint or f"{(self.base_url or '').rstrip('/')}{self.path}"

    @property
    def model_id(self) -> str:
        """The provider's own name for the model."""
        return self.model or self.name

    def limits(self, defaults: BreakerConfig) -> StreamLimits:
        """Return the limits of one request: the model's own, and the general ones where it sets none."""
        return StreamLimits(
            connect_s=self.connect_s or defaults.connect_s,
            first_token_s=self.first_token_timeout_s or defaults.first_token_timeout_s,
            idle_s=self.idle_s or defaults.idle_s,
            total_s=self.total_s or defaults.total_s,
            min_bytes_per_s=self.min_bytes_per_s,
            rate_window_s=self.rate_window_s,
            max_bytes=self.max_response_bytes,
        )
