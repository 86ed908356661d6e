"""Questions that turns wait with: the list of them, and the word of the person at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from aiohttp import web

from clawd.control.answers import NotAllowed, answer, body_of, word_field
from clawd.control.naming import DEFAULT_CONVERSATION, TERMINAL, address_named, terminal_address
from clawd.control.reads import ACCOUNT, limit_of
from clawd.errors import NotFound, NotPossible
from clawd.ids import parse_question_id
from clawd.messages import InboundControl, MessageId, Refused, Replied, Sender

if TYPE_CHECKING:
    from clawd.control.services import ControlServices
    from clawd.journal.base import OpenQuestion

_MAX_PATTERN = 1000
"""Characters of a pattern; the longest command line that somebody writes one for."""


class Questions:
    """Shows what is asked, and passes answers on to the inbox."""

    def __init__(self, services: ControlServices) -> None:
        self._services = services

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is answered here."""
        return [
            web.get(f"{prefix}/questions", self.list),
            web.post(f"{prefix}/questions/{{id}}/approve", self.approve),
            web.post(f"{prefix}/questions/{{id}}/deny", self.deny),
        ]

    async def list(self, request: web.Request) -> web.Response:
        name = request.query.get("conversation")
        questions = await self._services.views.questions(
            address=None if not name else address_named(name, request[ACCOUNT]),
            limit=limit_of(request, 100),
        )
        return answer({"questions": questions})

    async def approve(self, request: web.Request) -> web.Response:
        always = word_field(await body_of(request), "always", longest=_MAX_PATTERN)
        return await self._say(request, "approve", always)

    async def deny(self, request: web.Request) -> web.Response:
        await body_of(request)
        return await self._say(request, "deny", None)

    async def _say(
        self, request: web.Request, kind: Literal["approve", "deny"], always: str | None
    ) -> web.Response:
        question = await self._open(request.match_info["id"])
        account = request[ACCOUNT]
        control = InboundControl(
            id=MessageId(f"{TERMINAL}:{account}:{uuid4().hex}"),
            # Where the word comes from, not where the turn is: rights are those of the person who answers.
            address=terminal_address(account, DEFAULT_CONVERSATION),
            sender=Sender(id=account),
            kind=kind,
            question=question.id,
            always=always,
            sent_at=self._services.clock.now(),
        )
        [result] = await self._services.inbox.accept([control])
        match result:
            case Replied(nothing=True):
                raise _closed(question.id)  # somebody, or the deadline, was quicker
            case Replied(text=text):
                return answer({"text": text})
            case Refused(reason=reason, text=text):
                raise NotAllowed(text or "the answer was refused", where=question.id, why=reason)
            case _:
                return answer({"text": ""})

    async def _open(self, text: str) -> OpenQuestion:
        """Return the question of this id.

        Raises:
            NotFound: no such question.
            NotPossible: it waits for nobody any more.
        """
        named = parse_question_id(text)
        if named is None:
            raise NotFound(f"there is no question {text!r:.80}", remedy="clawd approvals list")
        try:
            turn = await self._services.views.turn(named[0])
        except NotFound:
            raise NotFound(f"there is no question {text}", remedy="clawd approvals list") from None
        for question in await self._services.views.questions(address=turn.conversation):
            if question.id == text:
                return question
        raise _closed(text, f"{turn.id} is {turn.state}")


def _closed(question: str, why: str = "another answer, or the deadline, was quicker") -> NotPossible:
    return NotPossible(
        "this question is no longer open", where=question, why=why, remedy="clawd approvals list"
    )
