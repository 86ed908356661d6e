"""What every way of signing has: a request's headers looked at, an envelope, a refusal. Pure.

The order of the checks is part of each scheme: nothing of a body is looked at before its signature.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from clawd.bridge import HttpRequest

ACCOUNT: Final = "webhook"
DEFAULT_CONVERSATION: Final = "default"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,14}")


class Rejected(Exception):
    """The request is answered with `status` and `message`; `why` is for our own log."""

    def __init__(self, status: int, code: str, message: str, *, why: str = "") -> None:
        super().__init__(why or message)
        self.status = status
        self.code = code
        self.message = message
        self.why = why or message


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What was found around a message, and its content."""

    id: str | None  # the sender's own of this delivery; None where the scheme has none
    timestamp: int | None = None  # seconds since 1970, where the scheme has one
    body: bytes = b""  # JSON: out of its form, and in the clear
    kind: str = ""  # of event, where a header says it
    signed: bool = True  # False: only its cipher speaks for it


def unsigned(why: str) -> Rejected:
    """Return the refusal of whoever did not prove to be the sender.

    One text for all: a stranger learns nothing about what was nearly right.
    """
    return Rejected(401, "unauthorized", "the signature is missing, wrong or too old", why=why)


def header(request: HttpRequest, name: str) -> str:
    """Return a header's value, empty without one; raises Rejected (400) when it comes twice."""
    if name in request.repeated:
        raise Rejected(400, "bad_request", f"the header {name} comes more than once")
    return request.headers.get(name, "").strip(" ")


def proof(request: HttpRequest, *names: str) -> tuple[str, ...]:
    """Return the values of headers that have to be there; raises Rejected, 401 when one is missing."""
    values = tuple(header(request, name) for name in names)
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise unsigned(f"without {', '.join(missing)}")
    return values


def seconds(name: str, value: str, now: datetime, tolerance_s: float, *, per_second: int = 1) -> int:
    """Return a header's time in seconds since 1970, once it is near enough to `now`.

    Args:
        name: Of the header, for errors.
        value: As it came.
        now: Our clock.
        tolerance_s: The greatest distance, both ways.
        per_second: How many of its units are a second.

    Raises:
        Rejected: 400 for what is no such number, 401 for another time.
    """
    if not _TIMESTAMP.fullmatch(value):
        unit = "seconds" if per_second == 1 else "milliseconds"
        raise Rejected(400, "bad_request", f"{name} has to be a whole number of {unit} since 1970")
    off_s = now.timestamp() - int(value) / per_second
    if abs(off_s) > tolerance_s:
        age = "old" if off_s > 0 else "new"
        raise unsigned(f"{abs(off_s):.0f} s too {age} at a tolerance of {tolerance_s:.0f} s")
    return int(value) // per_second


def delivery_id(name: str, value: str) -> str:
    """Return a header's value as an id; raises Rejected (400) for what can be none."""
    if not _ID.fullmatch(value):
        raise Rejected(400, "bad_request", f"{name} has to be 1 to 256 visible ASCII characters")
    return value


def check_any(expected: Iterable[str], given: str) -> None:
    """Let a signature pass that one key would have made; raises Rejected (401).

    All are compared, in constant time each, so that the time taken says nothing about which one fits.
    """
    mark = given.encode("utf-8", "surrogatepass")
    good = False
    for signature in expected:
        good |= hmac.compare_digest(signature.encode(), mark)
    if not good:
        raise unsigned("no signature fits")


def check_type(request: HttpRequest, allowed: Sequence[str] = (JSON,)) -> str:
    """Return the media type of the body; raises Rejected (415) for one that is not allowed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in allowed:
        raise Rejected(415, "unsupported_media_type", f"the body has to be {' or '.join(allowed)}")
    return kind
