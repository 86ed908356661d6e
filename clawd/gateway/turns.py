"""The turn that a client names, if it is its business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.errors import NotFound
from clawd.gateway.problems import RequestRefused
from clawd.ids import TurnId, parse_turn_id

if TYPE_CHECKING:
    from clawd.gateway.token import Token
    from clawd.journal.reading import TurnView, Views


async def own_turn(views: Views, identifier: str, token: Token, *, to_read: bool = False) -> TurnView:
    """Return a turn that this token may change, or with `to_read` see; raises RequestRefused (404).

    It may change those that it began, and with the scope `admin` all; with `read` it sees all.
    """
    nothing = RequestRefused(404, "no message of this id")
    if parse_turn_id(identifier) is None:
        raise nothing
    try:
        view = await views.turn(TurnId(identifier))
    except NotFound:
        raise nothing from None
    at = view.conversation
    allowed = token.may_read if to_read else token.may_change
    if not allowed(at.bridge, at.account, at.chat):
        raise nothing  # that it exists is nobody else's business
    return view
