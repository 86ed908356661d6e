"""The frames of the connection: JSON objects, one in each text message. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue

# What the vendor's own client takes out before it parses: raw control characters but tab and line end.
_CONTROL: Final = dict.fromkeys((*range(9), *range(11, 32)))
_MAX_ID: Final = 256


class BadFrame(ValueError):
    """Not a frame; its text says why and quotes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame as it came. An answer has no `cmd`, a callback no `errcode`."""

    cmd: str
    req_id: str
    body: JsonObject
    errcode: int | None = None
    errmsg: str = ""

    @property
    def is_answer(self) -> bool:
        """Whether it answers a frame of ours."""
        return not self.cmd


def read_frame(text: str) -> Frame:
    """Return the frame in a message.

    Raises:
        BadFrame: not JSON, or not of a frame's shape.
    """
    try:
        raw: JsonValue = json.loads(text.translate(_CONTROL))
    except (ValueError, RecursionError) as error:
        raise BadFrame("not JSON") from error
    if not isinstance(raw, dict):
        raise BadFrame("not a JSON object")
    headers = raw.get("headers")
    req_id = headers.get("req_id") if isinstance(headers, dict) else None
    cmd, body, errcode, errmsg = (raw.get(name) for name in ("cmd", "body", "errcode", "errmsg"))
    if not isinstance(req_id, str) or not 0 < len(req_id) <= _MAX_ID:
        raise BadFrame("no req_id")
    if cmd is not None and not isinstance(cmd, str):
        raise BadFrame("cmd is no text")
    if body is not None and not isinstance(body, dict):
        raise BadFrame("body is no object")
    if errcode is not None and (not isinstance(errcode, int) or isinstance(errcode, bool)):
        raise BadFrame("errcode is no number")
    return Frame(
        cmd=cmd or "",
        req_id=req_id,
        body=body or {},
        errcode=errcode,
        errmsg=errmsg if isinstance(errmsg, str) else "",
    )


def write_frame(cmd: str, req_id: str, body: JsonObject | None = None) -> str:
    """Return a frame of ours as text."""
    frame: JsonObject = {"cmd": cmd, "headers": {"req_id": req_id}}
    if body is not None:
        frame["body"] = body
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, as a broken model may write, can't be sent.
    return text.encode(errors="replace").decode()
