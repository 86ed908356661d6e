"""Frames that clients of a WebSocket send, read strictly. Pure; docs/websocket.md has the table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from clawd.gateway.problems import RequestRefused
from clawd.gateway.requests import FRAMES, REFERENCE
from clawd.gateway.validation import mistake_in
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from clawd.gateway.requests import Frame
    from clawd.response import JsonValue

_REFERENCE: Final = re.compile(REFERENCE)


class FrameRefused(RequestRefused):
    """A frame that makes no sense; `ref` is its id, as far as it could be read."""

    def __init__(
        self, what: str, *, ref: str | None = None, code: str = "bad_frame", remedy: str = ""
    ) -> None:
        super().__init__(400, what, code=code, remedy=remedy)
        self.ref = ref


def read_frame(text: str) -> Frame:
    """Return what a text frame says.

    Raises:
        FrameRefused: not JSON, an unknown type or field, one that is missing or of the wrong shape.
    """
    try:
        body = parse_object(text.encode("utf-8", "surrogatepass"))
    except BadJson as error:
        raise FrameRefused(str(error).replace("the body", "the frame"), code="bad_json") from error
    ref, kind = _ref(body.get("id")), body.get("type")
    model = FRAMES.get(kind) if isinstance(kind, str) else None
    if model is None:
        name = kind[:40] if isinstance(kind, str) else "of this kind"
        raise FrameRefused(
            f"there is no frame {name}", ref=ref, code="unknown_type", remedy=f"types: {', '.join(FRAMES)}"
        )
    try:
        return model.model_validate(body)
    except ValidationError as error:
        mistake = mistake_in(model, error)
        raise FrameRefused(mistake.what, ref=ref, remedy=mistake.remedy) from None


def _ref(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and _REFERENCE.fullmatch(value) else None
