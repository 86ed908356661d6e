"""A test alert on its way: what became of it at each target."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from clawd.cli.printing import one_line, out, paint
from clawd.client import segment
from clawd.errors import EXIT_FAILED, EXIT_TRY_LATER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.client import Client

    Delivery = Mapping[str, Any]  # a `clawd.journal.reading.DeliveryView`

WAIT_S: Final = 15.0
_PAUSE_S: Final = 0.1

_OPEN: Final = ("pending", "sending", "open")
_UNSENT: Final = "unsent"
_STATES: Final = {
    "sent": "delivered",
    "open": "not yet delivered",
    "sending": "not yet delivered",
    "pending": "not yet delivered",
    "parked": "kept until that person writes again",
    "unknown": "perhaps delivered",
    "dead": "not delivered",
    _UNSENT: "not sent",
}
"""What is said of a delivery; the later ones are worse."""

_NO_WAY: Final = "the way to this chat is not known before that person has written"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How things stood at a target when the waiting was over; a URL gets two deliveries, the alert and its end."""

    target: str
    state: str  # of the worse delivery; `unsent` without one
    why: str = ""
    deliveries: tuple[str, ...] = ()

    @property
    def arrived(self) -> bool:
        """Whether the other side took it."""
        return self.state == "sent"


def send(client: Client, wait_s: float) -> list[End]:
    """Let the daemon send a test to every target; return what became of it at each."""
    targets = client.get("/alerts")["targets"]
    ids = client.post("/alerts/test")["deliveries"]
    deadline = time.monotonic() + wait_s
    seen: dict[str, Delivery] = {each: _look(client, each) for each in ids}
    while any(_is_open(each) for each in seen.values()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        seen = {each: _look(client, each) if _is_open(was) else was for each, was in seen.items()}
    return _by_target(targets, list(seen.values()))


def show(end: End) -> None:
    """Print one line about a target, with the way to more of it where it failed."""
    colour = "green" if end.arrived else "yellow" if end.state in _OPEN else "red"
    why = f": {one_line(end.why, 200)}" if end.why else ""
    more = "" if end.arrived or not end.deliveries else f"  (clawd trace {end.deliveries[0]})"
    out(f"{one_line(end.target, 80)}  {paint(_STATES.get(end.state, end.state), colour)}{why}{more}")


def exit_code(ends: Sequence[End]) -> int:
    """Return 0 if each arrived, 75 if some are merely late, else 1."""
    if all(end.arrived for end in ends):
        return 0
    return EXIT_TRY_LATER if all(end.arrived or end.state in _OPEN for end in ends) else EXIT_FAILED


def _look(client: Client, delivery: str) -> Delivery:
    found: Sequence[Delivery] = client.get(f"/trace/{segment(delivery)}")["deliveries"]
    return next(each for each in found if each["id"] == delivery)


def _is_open(delivery: Delivery) -> bool:
    return delivery["state"] in _OPEN


def _by_target(targets: Sequence[str], deliveries: Sequence[Delivery]) -> list[End]:
    """Return one end for each target: a chat is known by its address, and URLs come in the order of theirs."""
    places: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        places.setdefault(str(delivery["conversation"]), []).append(delivery)
    chats = {_chat(place): found for place, found in places.items() if not place.startswith("_")}
    urls = iter([found for place, found in places.items() if place.startswith("_")])
    return [_end(target, next(urls, []) if "://" in target else chats.get(target, [])) for target in targets]


def _chat(address: str) -> str:
    """Return an address as the list of targets has it, such as `telegram 12345`."""
    bridge, _, chat = (unquote(part) for part in address.split(":")[:3])
    return f"{bridge} {chat}"


def _end(target: str, deliveries: Sequence[Delivery]) -> End:
    if not deliveries:
        return End(target=target, state=_UNSENT, why=_NO_WAY)
    order = list(_STATES)
    worst = max(
        deliveries, key=lambda each: order.index(each["state"]) if each["state"] in order else len(order)
    )
    names = [worst["id"], *(each["id"] for each in deliveries if each is not worst)]
    return End(target=target, state=worst["state"], why=worst.get("why") or "", deliveries=tuple(names))
