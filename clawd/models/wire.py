"""What a wire format is: a request as JSON, the stream's events as ours. The contract; no I/O.

`WireProvider` (wire_client.py) does the rest for every format: connection, limits, errors, keep-alives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.config.base import Secret
    from clawd.models.base import ModelEvent, ModelRequest, ModelResponse
    from clawd.models.wire_config import WireConfig
    from clawd.response import JsonObject, JsonValue

DONE: Final = "[DONE]"
"""The data of OpenAI's last event; formats without it end by their own event, or by the end of the stream."""


class ProviderFault(Exception):
    """The provider sent an error object where an answer was due; `error` is that object."""

    def __init__(self, error: JsonValue) -> None:
        super().__init__("the provider sent an error object")
        self.error = error


class MalformedAnswer(Exception):
    """What came is nothing of the format; `str()` says in what way."""


class AnswerFold(Protocol):
    """Collects the events of one answer."""

    @property
    def finished(self) -> bool:
        """Whether the provider has marked the answer as complete; only the usage may still come."""
        ...

    def add(self, event: str, data: JsonValue) -> Sequence[ModelEvent]:
        """Take one event of the stream, or a whole answer, and return what it stands for.

        Args:
            event: The name that the stream gave it; "" where it gave none, and for a whole answer.
            data: Its parsed JSON.

        Raises:
            ProviderFault: it is an error object.
            MalformedAnswer: it is nothing of the format.
        """
        ...

    def response(self) -> ModelResponse:
        """Return what has come so far as a response.

        Raises:
            MalformedAnswer: it was cut in the middle of a call, so that nobody may act on it.
        """
        ...


C = TypeVar("C", bound="WireConfig", contravariant=True)


class WireFormat(Protocol[C]):
    """One of the formats that model servers speak."""

    path: str  # appended to `base_url`
    accepts: str  # what an answer is called in errors, such as "chat completion"

    def headers(self, key: Secret | None) -> Mapping[str, str]:
        """Return the headers that carry the key, and those that the format asks for."""
        ...

    def body(self, config: C, request: ModelRequest) -> JsonObject:
        """Return the body of one streaming request; `extra_body` and `omit` are seen to by the client."""
        ...

    def fold(self, config: C) -> AnswerFold:
        """Return the collector for one answer."""
        ...


def bearer(key: Secret | None) -> Mapping[str, str]:
    """Return the header that most providers want the key in."""
    return {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
