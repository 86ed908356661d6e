"""What a client does in its conversations by frames: send, cancel, approve, and where it begins to read."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.errors import NotFound
from clawd.gateway.approvals import Word
from clawd.gateway.messages import BRIDGE, sender_of, submission_of, to_inbound, told_of
from clawd.gateway.problems import RequestRefused, try_later
from clawd.gateway.turns import own_turn
from clawd.gateway.waits import is_over
from clawd.journal.reading import BEGINNING
from clawd.messages import Accepted, Address, InboundControl, MessageId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from clawd.bridge import Inbox
    from clawd.gateway.approvals import Approvals
    from clawd.gateway.attachments import Attachments
    from clawd.gateway.limits import Limits
    from clawd.gateway.requests import ApproveFrame, CancelFrame, SendFrame
    from clawd.gateway.token import Token
    from clawd.ids import Clock
    from clawd.journal.reading import Views
    from clawd.response import JsonObject


class Actions:
    """Does what frames ask for, on the same ways as the REST door.

    Args:
        attachments: Keep what is sent along.
        limits: Count what a token sends.
        models: The names of models and routes that a message may ask for.
        draining: Whether clawd stops: nothing new is taken then.
    """

    def __init__(
        self,
        inbox: Inbox,
        views: Views,
        approvals: Approvals,
        clock: Clock,
        *,
        attachments: Attachments,
        limits: Limits,
        models: Callable[[], Collection[str]],
        draining: Callable[[], bool],
    ) -> None:
        self._inbox = inbox
        self._views = views
        self._approvals = approvals
        self._clock = clock
        self._attachments = attachments
        self._limits = limits
        self._models = models
        self._draining = draining

    async def send(self, token: Token, frame: SendFrame) -> JsonObject:
        """Return what became of a message once it is committed; the same id and content again are a duplicate.

        Raises:
            RequestRefused: it is not taken.
            JournalError: nothing can be stored.
        """
        self._check_open()
        submission = submission_of(frame, frame.conversation, self._models())
        # Of the content, not of the bytes: a client that makes the frame anew may order it otherwise.
        content = json.dumps(frame.model_dump(exclude={"type", "id"}, exclude_unset=True), sort_keys=True)
        self._limits.request(token)
        self._limits.message(token)  # before its files are kept: they take room
        new = False
        try:
            submission = replace(submission, parts=await self._attachments.stored(submission.parts, token))
            message = to_inbound(
                submission, content.encode(), token=token, key=frame.id, now=self._clock.now()
            )
            (result,) = await self._inbox.accept([message])
            new = isinstance(result, Accepted)
        finally:
            if not new:
                self._limits.give_back(token)
        told = told_of(message, result)
        return {"turn": told.pop("id"), **told}

    async def cancel(self, token: Token, frame: CancelFrame) -> JsonObject:
        """Return the turn once the wish that it ends is committed.

        Raises:
            RequestRefused: 404 for what is none of the conversation's turns, 409 for one that is over.
        """
        self._check_open()
        view = await own_turn(self._views, frame.turn, token)
        if view.conversation.chat != frame.conversation:
            raise RequestRefused(404, "no message of this id")
        if is_over(view):
            raise RequestRefused(409, f"this turn is over: it is {view.state}", code="turn_over")
        control = InboundControl(
            id=MessageId(f"{BRIDGE}:{token.name}:stop:{secrets.token_hex(16)}"),
            # Where the word comes from, not where the turn is: rights are those of the one who asks.
            address=self.address(token, frame.conversation),
            sender=sender_of(token, None),
            kind="stop",
            turn=view.id,
            sent_at=self._clock.now(),
        )
        await self._inbox.accept([control])
        return {"turn": view.id}

    async def approve(self, token: Token, frame: ApproveFrame) -> JsonObject:
        """Return the approval once the word on it is committed; raises as `Approvals.say`."""
        self._check_open()
        word = Word(kind=frame.decision, always=frame.always, sender=frame.sender)
        await self._approvals.say(token, frame.approval, word, conversation=frame.conversation)
        return {"approval": frame.approval, "decision": word.kind}

    def address(self, token: Token, conversation: str) -> Address:
        """Return where a conversation of this token lives; raises RequestRefused (403) for one beyond its prefix."""
        if not token.may_name(conversation):
            raise RequestRefused(
                403,
                f"the token {token.name} may not use this conversation",
                code="foreign_conversation",
                remedy=f"names of its conversations begin with {token.conversations}",
            )
        return Address(bridge=BRIDGE, account=token.name, chat=conversation)

    async def beginning(self, address: Address, after: str | None) -> str:
        """Return the cursor to read on from: the given one, else that of the newest entry.

        Raises:
            RequestRefused: 400 for what is no cursor.
        """
        try:
            page = await self._views.entries(address, after=after or "", limit=1)
        except NotFound as error:
            raise RequestRefused(400, error.what, code="bad_cursor", remedy=error.remedy) from error
        return after or page.cursor or BEGINNING

    def _check_open(self) -> None:
        if self._draining():
            raise try_later("clawd is stopping", 5, code="draining")
