"""Who writes in the endurance run: chats of three doors, each with one message under way at a time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from tests.fakes.webhook_sender import event, signed
from tests.soak.words import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import aiohttp

    from tests.fakes.bot_api import FakeBotApi
    from tests.fakes.bot_api_http import Call as BotCall

KEPT: Final = 4  # messages that a chat of the fake remembers


class Ledger:
    """Which messages were answered, and how often; everything else is a broken promise."""

    def __init__(self) -> None:
        self.answers = Counter[int]()
        self.strange: list[str] = []
        self.said = 0

    def number(self) -> int:
        """Return the number of a new message."""
        self.said += 1
        return self.said

    @property
    def broken(self) -> dict[str, str]:
        """What is wrong, in a sentence each."""
        lost = [number for number in range(1, self.said + 1) if not self.answers[number]]
        twice = [number for number, count in self.answers.items() if count > 1]
        lists: dict[str, Sequence[object]] = {"lost": lost, "twice": twice, "strange": self.strange}
        return {name: f"{len(found)}: {found[:10]}" for name, found in lists.items() if found}


class Chat(Protocol):
    """One conversation, as the person in it sees it."""

    can_approve: bool

    async def ask(self, number: int, text: str) -> None:
        """Say this and return once it is answered."""
        ...

    async def begin_anew(self) -> None:
        """Say `/new` and return once that is answered."""
        ...


class _Pushed:
    """A chat that is answered by a push: somebody hands every text in that comes."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
        self.ledger = ledger
        self.waits_for = 0  # the number of a message; 0: any other text
        self.waiter: asyncio.Future[None] | None = None

    def came(self, text: str) -> None:
        """Take a text in that stands there as a whole."""
        number = answered(text)
        if number is not None:
            self.ledger.answers[number] += 1
        if number is not None and number != self.waits_for and self.ledger.answers[number] == 1:
            self.ledger.strange.append(f"{self.name} got an answer to {number}")
        if self.waiter is not None and not self.waiter.done() and (number or 0) == self.waits_for:
            self.waiter.set_result(None)

    def expect(self, number: int) -> asyncio.Future[None]:
        """Return what is done once that came; to be called before it is said."""
        self.waits_for, self.waiter = number, asyncio.get_running_loop().create_future()
        return self.waiter


class TelegramChat(_Pushed):
    """A private chat with the bot."""

    can_approve = True

    def __init__(self, number: int, ledger: Ledger, api: FakeBotApi) -> None:
        super().__init__(f"telegram {number}", ledger)
        self._chat = number
        self._api = api
        self._shown = 0  # the message that holds the last whole answer

    async def ask(self, number: int, text: str) -> None:
        answer = self.expect(number)
        self._api.user_says(self._chat, text)
        await answer

    async def begin_anew(self) -> None:
        answer = self.expect(0)
        self._api.user_says(self._chat, "/new")
        await answer

    def saw(self, call: BotCall, result: Any) -> None:
        """Take in what the bot did in this chat: an answer may grow by edits, and counts once."""
        if call.method not in ("sendMessage", "editMessageText"):
            return
        keyboard = result.get("reply_markup", {}).get("inline_keyboard")
        if keyboard and call.method == "sendMessage":  # a question; the first button is yes
            self._api.press(self._chat, result["message_id"], keyboard[0][0]["text"])
            return
        whole = answered(result["text"]) is not None
        if whole and result["message_id"] != self._shown:
            self._shown = result["message_id"]
            self.came(result["text"])
        elif not whole and call.method == "sendMessage" and self.waits_for == 0:
            self.came(result["text"])
        self._forget()

    def _forget(self) -> None:
        """Keep the fake small."""
        chat = self._api.world.chats[self._chat]
        for old in list(chat.messages)[:-KEPT]:
            del chat.messages[old]
        chat.others = {number for number in chat.others if number > chat.next_message - 2 * KEPT}
        chat.actions.clear()
        chat.reactions.clear()
        del chat.drafts[:-1]


class HookChat(_Pushed):
    """A conversation that a program brings; the answers are callbacks."""

    can_approve = False

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        session: aiohttp.ClientSession,
        url: str,
        secret: str,
        *,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(f"webhook {name}", ledger)
        self._now = now
        self.conversation = name
        self._session = session
        self._url = url
        self._secret = secret
        self._posts = 0

    async def ask(self, number: int, text: str) -> None:
        answer = self.expect(number)
        await self._post(text)
        await answer

    async def begin_anew(self) -> None:
        answer = self.expect(0)
        await self._post("/new")
        await answer

    async def _post(self, text: str) -> None:
        self._posts += 1
        body = event(text, conversation=self.conversation, user={"id": "u1"})
        name = f"msg_{self.conversation}_{self._posts}"
        headers = signed(body, self._now(), message_id=name, secret=self._secret)
        # The answer may come before the end of this request.
        async with self._session.post(self._url, data=body, headers=headers) as reply:
            if reply.status not in (200, 202):
                self.ledger.strange.append(f"{self.name} was answered {reply.status}")


class ApiChat:
    """A conversation over REST: a message, then a wait for its end."""

    can_approve = True

    def __init__(self, name: str, ledger: Ledger, session: aiohttp.ClientSession, url: str) -> None:
        self.ledger = ledger
        self._name = name
        self._session = session
        self._url = url

    async def ask(self, number: int, text: str) -> None:
        view = await self._say(text)
        if question := view.get("question"):
            await self._json("POST", f"/v1/approvals/{question['id']}", {"answer": "approve"})
            view = await self._json("GET", f"/v1/messages/{view['id']}?wait=60")
        replies = [reply["text"] for reply in view["replies"]]
        if [answered(reply) for reply in replies] == [number]:
            self.ledger.answers[number] += 1
        else:
            self.ledger.strange.append(f"api {self._name} got {replies} for {number}, {view['status']}")

    async def begin_anew(self) -> None:
        view = await self._say("/new")
        if len(view["replies"]) != 1:
            self.ledger.strange.append(f"api {self._name} got {view['replies']} for /new")

    async def _say(self, text: str) -> dict[str, Any]:
        told = await self._json("POST", "/v1/messages", {"text": text, "conversation": self._name})
        return await self._json("GET", f"/v1/messages/{told['id']}?wait=60&wait_for=question")

    async def _json(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        async with self._session.request(method, f"{self._url}{path}", json=body) as reply:
            value: dict[str, Any] = await reply.json()
            if reply.status not in (200, 202):
                self.ledger.strange.append(f"{method} {path} was answered {reply.status}: {value}")
            return value


class OpenAIChat:
    """A conversation over the OpenAI-compatible API, streamed."""

    can_approve = False

    def __init__(self, name: str, ledger: Ledger, session: aiohttp.ClientSession, url: str) -> None:
        self.ledger = ledger
        self._name = name
        self._session = session
        self._url = url

    async def ask(self, number: int, text: str) -> None:
        came = await self._stream(text)
        if answered(came) == number:
            self.ledger.answers[number] += 1
        else:
            self.ledger.strange.append(f"{self._name} got {came!r} for {number}")

    async def begin_anew(self) -> None:
        if not await self._stream("/new"):
            self.ledger.strange.append(f"{self._name} got nothing for /new")

    async def _stream(self, text: str) -> str:
        body = {"model": "clawd", "stream": True, "messages": [{"role": "user", "content": text}]}
        headers = {"X-Conversation-Id": self._name}
        url = f"{self._url}/v1/chat/completions"
        async with self._session.post(url, json=body, headers=headers) as reply:
            raw = (await reply.read()).decode()
        lines = [line[6:] for line in raw.splitlines() if line.startswith("data: {")]
        choices = [choice for line in lines for choice in json.loads(line).get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
