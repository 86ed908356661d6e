"""The agent asked by OpenAI's clients: a turn in the journal, and its answer while it is being made."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from clawd.errors import ClawdError
from clawd.fanout import Asked, Delta, Ended, GrowingText, Reset, Started
from clawd.gateway.messages import BRIDGE, check_key
from clawd.gateway.openai_agent_request import check_conversation, to_inbound
from clawd.gateway.openai_answers import Anew, Piece, Waiting, Whole
from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_parts import place_of
from clawd.gateway.problems import RequestRefused
from clawd.gateway.turns import own_turn
from clawd.gateway.waits import is_over
from clawd.ids import TurnId
from clawd.messages import Accepted, Duplicate, InboundControl, MessageId, Refused, Replied
from clawd.response import Usage
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from multidict import MultiMapping

    from clawd.bridge import Inbox
    from clawd.fanout import Event as FanoutEvent
    from clawd.fanout import Fanout, Subscription
    from clawd.gateway.attachments import Attachments
    from clawd.gateway.openai_answers import Answer, Event
    from clawd.gateway.openai_question import Question
    from clawd.gateway.token import Token
    from clawd.ids import Clock
    from clawd.journal.base import OpenQuestion
    from clawd.journal.reading import TurnView, Views
    from clawd.messages import AcceptResult, InboundMessage

log = logging.getLogger(__name__)

CONVERSATION_HEADER: Final = "X-Conversation-Id"

QUESTION_S: Final = 20.0

_RATE_RETRY_S: Final = 30.0
_TURN: Final = "turn:"


class AgentDoor:
    """Takes questions to the agent.

    Args:
        question_s: How long an answer may wait for a person's word before it ends without one.
    """

    def __init__(
        self,
        inbox: Inbox,
        views: Views,
        fanout: Fanout,
        clock: Clock,
        attachments: Attachments,
        *,
        question_s: float = QUESTION_S,
    ) -> None:
        self._attachments = attachments
        self.inbox = inbox
        self.views = views
        self.fanout = fanout
        self.clock = clock
        self.question_s = question_s

    async def ask(self, question: Question, raw: bytes, headers: MultiMapping[str], token: Token) -> Answer:
        """Return the answer under way, once the question is committed.

        Raises:
            RequestRefused: 400 for what the agent does not take, 403 and 429 for who is not let in, 404 for an
                unknown `previous_response_id`, 409 for a key with another body.
            JournalError: nothing can be stored now.
        """
        key = check_key(headers.getall("Idempotency-Key", []))
        conversation = await self._conversation(question, headers, token)
        now = self.clock.now()
        message = to_inbound(question, raw, token=token, conversation=conversation, key=key, now=now)
        parts = await self._attachments.stored(
            message.parts, token, lambda index, part: place_of(part, index, question.last)
        )
        message = replace(message, parts=parts)
        (result,) = await self.inbox.accept([message])
        turn = _turn(result)
        if isinstance(turn, str):
            stop = conversation is None and key is None
            return AgentAnswer(self, message, TurnId(turn), operator="admin" in token.scopes, stop=stop)
        return Said(turn.text)

    async def turn(self, identifier: str, token: Token, *, to_change: bool = False) -> TurnView:
        """Return the turn behind the id of a response, if the token may read it, with `to_change` end or delete it.

        Raises:
            RequestRefused: 404 where it may not, or there is none.
        """
        turn = f"{_TURN}{identifier.removeprefix('resp_')}"
        try:
            return await own_turn(self.views, turn, token, to_read=not to_change)
        except RequestRefused as refused:
            raise OpenAIRefused(404, "no response of this id", code="not_found") from refused

    async def _conversation(self, question: Question, headers: MultiMapping[str], token: Token) -> str | None:
        """Return which conversation the question belongs to, None for one of its own."""
        if question.previous is not None:
            view = await self.turn(question.previous, token)
            address = view.conversation
            if (address.bridge, address.account) != (BRIDGE, token.name):
                raise OpenAIRefused(404, "no response of this id", param="previous_response_id")
            return address.chat
        return conversation_named(question, headers, token)


class AgentAnswer:
    """One turn of the agent; see `clawd.gateway.openai_answers.Answer`.

    Args:
        door: Where it was asked.
        message: The question.
        turn: That answers it.
        operator: Whether the client may read why a turn failed.
        stop: End the turn when the client goes away: nobody else could ever read its answer.
    """

    def __init__(
        self, door: AgentDoor, message: InboundMessage, turn: TurnId, *, operator: bool, stop: bool
    ) -> None:
        self.id = turn.removeprefix(_TURN)
        self._door = door
        self._message = message
        self._turn = turn
        self._operator = operator
        self._stop = stop
        self._shown = 0  # characters of the turn's visible text
        self._said = GrowingText()  # that text

    async def events(self) -> AsyncGenerator[Event, None]:
        with self._door.fanout.subscribe(self._message.address) as events:
            for event in self._whole_text():
                yield event
            view = await self._door.views.turn(self._turn)
            question = await self._open_question() if view.state == "waiting" else None
            if question is not None:
                yield Waiting(question)
            since = _now()
            while not is_over(view):
                left_s = None if question is None else self._door.question_s - (_now() - since)
                happened = await _next(events, left_s)
                if question is not None and happened is None:
                    yield self._asks(question)
                    return
                if events.lost:
                    events.lost = False
                    for event in self._anew("events were lost"):
                        yield event
                    view = await self._door.views.turn(self._turn)
                    question = await self._open_question() if view.state == "waiting" else None
                    continue
                if isinstance(
                    happened, Ended
                ):  # perhaps that of the turn that the question has become part of
                    view = await self._door.views.turn(self._turn)
                    continue
                if isinstance(happened, Asked) and happened.turn == self._turn:
                    question, since = happened.question, _now()
                    yield Waiting(question)
                elif isinstance(happened, Started) and happened.lease.turn == self._turn:
                    question = None
                for event in self._told(happened):
                    yield event
        yield self._end(view)

    async def abandon(self) -> None:
        """Stop the turn where nobody else could read its answer."""
        if not self._stop:
            return
        control = InboundControl(
            id=MessageId(f"{self._message.id}:gone"),
            address=self._message.address,
            sender=self._message.sender,
            kind="stop",
            turn=self._turn,
            sent_at=self._door.clock.now(),
        )
        try:
            await self._door.inbox.accept([control])
        except ClawdError as error:
            log.warning("stop_lost", extra={"turn": self._turn, "error": str(error)})

    def _told(self, happened: object) -> list[Event]:
        """Return what an event of the conversation adds to what the client has."""
        match happened:
            case Delta(turn=self._turn, offset=offset, text=text):
                new = text[
                    max(0, self._shown - offset) :
                ]  # the rest was in the text that it was taken up with
                self._shown += len(new)
                self._said.add(new)
                return [Piece(new)] if new else []
            case Reset(turn=self._turn, reason=reason):
                self._shown = 0
                self._said.clear()
                return [Anew(reason)]
            case Started(lease=lease) if lease.turn == self._turn and self._shown:
                # Taken up again: what was not committed is void, what was is published once more.
                self._shown = 0
                self._said.clear()
                return [Anew("taken up again")]
            case _:
                return []

    def _anew(self, why: str) -> list[Event]:
        self._shown = 0
        self._said.clear()
        return [Anew(why), *self._whole_text()]

    def _whole_text(self) -> list[Event]:
        live = self._door.fanout.live(self._message.address)
        if live is None or live.turn != self._turn or not live.text:
            return []
        self._shown = len(live.text)
        self._said.add(live.text)
        return [Piece(live.text)]

    async def _open_question(self) -> OpenQuestion | None:
        found = await self._door.views.questions(address=self._message.address)
        return next((question for question in found if question.turn == self._turn), None)

    def _asks(self, question: OpenQuestion) -> Whole:
        """Return the end of an answer that nobody's word came for: the question, and what to do about it."""
        asked = say(f"ask_{question.about}", tool=question.tool)
        how = say("openai_waits", question=question.id, turn=self._turn)
        said = str(self._said)
        return Whole(
            text="\n\n".join(text for text in (said, f"{asked}\n{question.subject}", how) if text),
            model="",
            question=question,
        )

    def _end(self, view: TurnView) -> Whole:
        if view.state in ("failed", "dead"):
            text = view.answer or "the turn failed"
            if self._operator and view.error:
                text = f"{text} ({view.error})"
            raise OpenAIRefused(502, text, code=f"turn_{view.state}", again=False)
        return whole_of(view)


class Said:
    """An answer that needed no turn: that to a command such as /status."""

    def __init__(self, text: str) -> None:
        self.id = secrets.token_hex(12)
        self._text = text

    async def events(self) -> AsyncGenerator[Event, None]:
        yield Whole(text=self._text, model="")

    async def abandon(self) -> None:
        """It is over."""


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _next(events: Subscription, within_s: float | None) -> FanoutEvent | None:
    """Return what happens next; None when nothing did for so long."""
    try:
        async with asyncio.timeout(within_s):
            return (await events.get())[1]
    except TimeoutError:
        return None


def conversation_named(question: Question, headers: MultiMapping[str], token: Token) -> str | None:
    """Return the conversation that a request names, None without one; raises RequestRefused (400, 403)."""
    named, param = question.conversation, "metadata.conversation_id"
    if named is not None:
        check_conversation(named, param)
    if (header := headers.get(CONVERSATION_HEADER)) is not None:
        named, param = check_conversation(header, CONVERSATION_HEADER), CONVERSATION_HEADER
    if named is None:
        return None
    if not token.may_name(named):
        raise OpenAIRefused(
            403,
            f"the token {token.name} may not use this conversation",
            param=param,
            code="foreign_conversation",
            remedy=f"names of its conversations begin with {token.conversations}",
        )
    return named


def whole_of(view: TurnView) -> Whole:
    """Return the answer of a turn that is over."""
    usage = Usage(input_tokens=view.input_tokens, output_tokens=view.output_tokens)
    return Whole(text=view.answer, model=view.model or "", usage=usage)


def _turn(result: AcceptResult) -> TurnId | Replied:
    match result:
        case Accepted(turn=turn):
            return turn
        case Duplicate(same_body=False) | Duplicate(turn=None):
            raise OpenAIRefused(
                409, "this Idempotency-Key was used with another body", code="conflict", again=False
            )
        case Duplicate(turn=turn):
            assert turn is not None  # noqa: S101 - the case above
            return turn
        case Replied():
            return result
        case Refused(reason="rate", text=text):
            raise OpenAIRefused(
                429, text or "too many messages", code="rate_limit_exceeded", retry_after_s=_RATE_RETRY_S
            )
        case Refused(text=text):
            raise OpenAIRefused(403, text or "this sender is not let in", code="insufficient_permissions")
        case _:
            assert_never(result)
