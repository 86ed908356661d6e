"""The turn that a client names, if it is its business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.errors import NotFound
from clawd.gateway.messages import BRIDGE
from clawd.gateway.problems import RequestRefused
from clawd.ids import TurnId, parse_turn_id

if TYPE_CHECKING:
    from clawd.gateway.auth import Token
    from clawd.journal.reading import TurnView, Views


async def own_turn(views: Views, identifier: str, token: Token) -> TurnView:
    """Return a turn that this token began, or any for the scope `admin`; raises RequestRefused (404)."""
    nothing = RequestRefused(404, "no message of this id")
    if parse_turn_id(identifier) is None:
        raise nothing
    try:
        view = await views.turn(TurnId(identifier))
    except NotFound:
        raise nothing from None
    own = view.conversation.bridge == BRIDGE and view.conversation.account == token.name
    if not own and "admin" not in token.scopes:
        raise nothing  # that it exists is nobody else's business
    return view
