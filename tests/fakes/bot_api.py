"""A strict Bot API server on loopback: it refuses what the real one refuses, remembers all, fails on request.

In a test's own loop:

    async with FakeBotApi() as api:
        api.user_says(7, "hello")
        await api.wait_for_messages(7, 1)

As a process of its own, which outlives the daemon under test: `python -m tests.fakes.bot_api --port 0`
prints its address; `bot_api_remote.RemoteBotApi` scripts it through `POST /_control/NAME`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tests.fakes.bot_api_faults import Fault, FaultPlan
from tests.fakes.bot_api_files import FileShelf, cut_off
from tests.fakes.bot_api_http import Call, answer_of, error_answer, known_case, plain, raw_params
from tests.fakes.bot_api_media import ShownDraft
from tests.fakes.bot_api_menu import CommandMenu
from tests.fakes.bot_api_rules import ApiError, bad, read_params
from tests.fakes.bot_api_webhook import WebhookCalls
from tests.fakes.bot_api_world import SentMessage, World, natural_entities, photo_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

TOKEN = "123456789:AAFakeFakeFakeFakeFakeFakeFakeFake0"
CONTROL = frozenset(
    {
        "allow_reactions",
        "answers",
        "block",
        "calls",
        "clear_faults",
        "drafts",
        "expire_queries",
        "fault",
        "forget_method",
        "forum",
        "migrate",
        "pending",
        "press",
        "press_raw",
        "push_update",
        "reactions",
        "revoke",
        "sent",
        "set_webhook",
        "stop_draft",
        "typing",
        "user_says",
        "user_sends_album",
        "wait_for_calls",
        "wait_for_messages",
    }
)


@dataclass(slots=True)
class _Poll:
    """A getUpdates that waits, and the request that ended it."""

    ended_by: str = ""


class FakeBotApi:
    """The server and its script. Times are wall times, so that processes can compare them."""

    def __init__(
        self,
        *,
        token: str = TOKEN,
        username: str = "clawd_test_bot",
        port: int = 0,
        on_effect: Callable[[Call, Any], None] | None = None,
    ) -> None:
        """Create the server; `on_effect` is told each call that did what it asked for, and its result."""
        self.token = token
        self.username = username
        self.bot_id = int(token.partition(":")[0])
        self.world = World(self.bot_id, username)
        self.faults = FaultPlan()
        self.files = FileShelf(self.world, self.push_update)
        self.port = port
        self.log: list[Call] = []
        self._on_effect = on_effect
        self.menu = CommandMenu()
        self.webhook = WebhookCalls(self.world)
        self.long_polls = True  # False: answer every getUpdates at once, as a broken proxy might
        self._revoked = False
        self._unknown: set[str] = set()
        self._allowed: list[str] | None = None  # sticky, as on the real server
        self._poll: _Poll | None = None
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # --- life -------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """What goes into `api_base`."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; after `stop` again on the same port, with everything remembered."""
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._api)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        app.router.add_post("/_control/{name}", self._control)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections from now on; open ones break."""
        self._closing.set()
        self._wake()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- script -----------------------------------------------------------------------------------------

    def user_says(
        self, chat: int, text: str, *, sender: int | None = None, thread: int | None = None, **fields: Any
    ) -> int:
        """Queue a text message; return its update id. `fields` are added to the Message object."""
        message = {**self.world.typed(chat, text, sender=sender, thread=thread), **fields}
        return self.push_update({"message": message})

    def push_update(self, update: Any) -> int:
        """Queue any update, also one that no Bot API would send."""
        number = self.world.push(update)
        self._wake()
        return number

    def user_sends_album(
        self,
        chat: int,
        count: int,
        *,
        caption: str = "",
        sender: int | None = None,
        thread: int | None = None,
    ) -> list[int]:
        """Queue an album of photos, the caption on the first; return the update ids."""
        album = str(13_000_000_000_000_000 + self.world.next_update)
        ids = []
        for number in range(count):
            message = self.world.posted(chat, sender=sender, thread=thread)
            message |= {"media_group_id": album, "photo": photo_of(f"{album}-{number}")}
            if caption and number == 0:
                message |= {"caption": caption, "caption_entities": natural_entities(caption)}
            ids.append(self.push_update({"message": message}))
        return ids

    def press(
        self, chat: int, message_id: int, label: str, *, sender: int | None = None, stale: bool = False
    ) -> str:
        """Queue a press on a button of the bot's message; return the id of its callback query.

        Raises:
            LookupError: nobody sees such a button there; `stale` is a client that still shows the last ones.
        """
        event = self.world.pressed(chat, message_id, label, stale=stale)
        return self._query(sender if sender is not None else abs(chat), event)

    def press_raw(self, sender: int, data: str, *, message: dict[str, Any] | None = None) -> str:
        """Queue a press as a lying client or an old message gives it; return its callback query's id."""
        return self._query(sender, {"data": data, **({"message": message} if message else {})})

    def _query(self, sender: int, event: dict[str, Any]) -> str:
        query = self.world.query(sender, event)
        self.push_update({"callback_query": query})
        return str(query["id"])

    def stop_draft(self, chat: int) -> int:
        """Queue a press on the stop button of the draft on show; return the update id. Raises LookupError."""
        return self.push_update({"stopped_message_generation": self.world.stopped(chat)})

    def forget_method(self, *methods: str) -> None:
        """Know these methods no more, as a Bot API server that is older than they are."""
        self._unknown |= set(methods)

    def expire_queries(self) -> None:
        """Let all callback queries be too old to be answered."""
        self.world.queries.clear()

    def fault(self, method: str, kind: Any, **options: Any) -> None:
        """Plan a fault, see `Fault`; method "*" means every one."""
        self.faults.add(Fault(method=method, kind=kind, **options))

    def clear_faults(self) -> None:
        """Plan no faults from now on."""
        self.faults.clear()

    def block(self, chat: int, description: str = "bot was blocked by the user") -> None:
        """Answer 403 to whatever is sent to this chat."""
        self.world.chat(chat).refusal = ApiError(403, f"Forbidden: {description}")

    def migrate(self, chat: int, to: int) -> None:
        """Make a group a supergroup: the old id only names the new one from now on."""
        error = bad("group chat was upgraded to a supergroup chat")
        self.world.chat(chat).refusal = ApiError(400, error.description, {"migrate_to_chat_id": to})
        self.world.chat(to)

    def forum(self, chat: int, *threads: int) -> None:
        """Give a chat exactly these topics."""
        self.world.chat(chat).threads = set(threads)

    def revoke(self, revoked: bool = True) -> None:
        """Make the token invalid, or valid again."""
        self._revoked = revoked

    def set_webhook(self, url: str) -> None:
        """Set a webhook as somebody else would."""
        self.webhook.url = url
        self._end_poll("setWebhook")

    # --- what happened ------------------------------------------------------------------------------------

    def sent(self, chat: int) -> list[SentMessage]:
        """Return the bot's messages in this chat as they stand now, in order."""
        known = self.world.chats.get(chat)
        return list(known.messages.values()) if known else []

    def typing(self, chat: int) -> list[tuple[float, str]]:
        """Return the chat actions shown, with their times."""
        known = self.world.chats.get(chat)
        return list(known.actions) if known else []

    def drafts(self, chat: int) -> list[ShownDraft]:
        """Return every showing of a draft in this chat."""
        known = self.world.chats.get(chat)
        return list(known.drafts) if known else []

    def reactions(self, chat: int) -> dict[int, list[str]]:
        """Return the reactions that the bot put on each message, the last one stands."""
        known = self.world.chats.get(chat)
        return dict(known.reactions) if known else {}

    def allow_reactions(self, chat: int, emoji: str) -> None:
        """Let the chat take no other reactions than these, one character each."""
        self.world.chat(chat).reactions_allowed = frozenset(emoji)

    def answers(self) -> dict[str, str]:
        """Return the answered callback queries, in order, with the texts that were shown."""
        return dict(self.world.answered)

    def calls(self, method: str | None = None, chat: int | None = None) -> list[Call]:
        """Return the requests, in order, of one method and one chat if given."""
        return [c for c in self.log if method in {None, c.method} and chat in {None, c.chat}]

    def pending(self) -> int:
        """Return how many updates are not confirmed yet."""
        return len(self.world.queue)

    async def wait_for_messages(self, chat: int, count: int, timeout_s: float = 30) -> list[SentMessage]:
        """Return the bot's messages there once there are `count`; raises TimeoutError."""
        await self.wait_until(lambda: len(self.sent(chat)) >= count, timeout_s)
        return self.sent(chat)

    async def wait_for_calls(self, method: str, count: int, timeout_s: float = 30) -> list[Call]:
        """Return the ended calls of a method once there are `count`; raises TimeoutError."""

        def ended() -> list[Call]:
            return [call for call in self.calls(method) if call.outcome != "open"]

        await self.wait_until(lambda: len(ended()) >= count, timeout_s)
        return ended()

    async def wait_until(self, condition: Callable[[], object], timeout_s: float = 30) -> None:
        """Return as soon as the condition is true; it is asked after each change."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self._changed.wait()

    # --- the Bot API ----------------------------------------------------------------------------------------

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = known_case(request.match_info["method"])
        call = Call(method=method, params={}, at=time.time())
        self.log.append(call)
        try:
            self._check_token(request.match_info["token"])
            self._check_known(method)
            call.params = read_params(method, await raw_params(request))
        except ApiError as error:
            return self._finish(call, error_answer(error), f"{error.status} {error.description}")
        self._wake()  # who waits for a call sees it from now on, even if it takes long
        fault = self.faults.take(method, call.chat)
        if fault is not None and fault.when == "before" and fault.kind != "delay":
            return await self._commit(fault, call, request)
        if fault is not None:
            await self._pause(fault.delay_s if fault.kind == "delay" else 0)
        try:
            result = await self._perform(call)
        except ApiError as error:
            return self._finish(call, error_answer(error), f"{error.status} {error.description}")
        call.effect = True
        if self._on_effect is not None:
            self._on_effect(call, result)
        if fault is not None and fault.when == "after" and fault.kind != "delay":
            self._wake()
            return await self._commit(fault, call, request)
        return self._finish(call, web.json_response({"ok": True, "result": result}), "ok")

    async def _perform(self, call: Call) -> Any:
        match call.method:
            case "getMe":
                return {
                    **self.world.bot_json(),
                    "can_join_groups": True,
                    "can_read_all_group_messages": False,
                }
            case "getUpdates":
                return await self._updates(call.params)
            case "setWebhook":
                self.set_webhook(self.webhook.set(call.params))
                return True
            case "deleteWebhook":
                self.webhook.url = ""
                if call.params.get("drop_pending_updates"):
                    self.world.queue.clear()
                return True
            case "getWebhookInfo":
                return self.webhook.info()
            case "setMyCommands":
                return self.menu.set(call.params)
            case "getFile":
                return self.files.find(call.params)
            case "sendMessage":
                return self.world.send(call.params)
            case "editMessageText":
                return self.world.edit(call.params)
            case "editMessageReplyMarkup":
                return self.world.edit_keyboard(call.params)
            case "deleteMessage":
                return self.world.delete(call.params)
            case "sendRichMessage":
                return self.world.send_rich(call.params)
            case "sendMessageDraft":
                return self.world.draft(call.params)
            case "sendPhoto" | "sendVoice" | "sendAudio" | "sendDocument":
                return self.world.send_file(call.method, call.params)
            case "setMessageReaction":
                return self.world.react(call.params)
            case "sendChatAction":
                return self.world.act(call.params)
            case _:
                return self.world.answer_query(call.params)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request.match_info["token"])
            content = self.files.content(request.match_info["path"])
        except ApiError as error:
            return error_answer(error)
        fault = self.faults.take("download", None)
        if fault is None:
            return web.Response(body=content)
        return await cut_off(request, content) if fault.kind == "cut" else answer_of(fault, request)

    async def _updates(self, params: dict[str, Any]) -> list[Any]:
        if self.webhook.url:
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        limit, wait_s = params.get("limit", 100), params.get("timeout", 0) * self.long_polls
        if not 1 <= limit <= 100:
            raise bad("limit must be between 1 and 100")
        if "allowed_updates" in params:
            self._allowed = params["allowed_updates"] or None
        self._end_poll("other getUpdates")
        poll = self._poll = _Poll()
        deadline = time.monotonic() + wait_s
        offset = params.get("offset", 0)
        while True:
            updates = self.world.take_updates(offset, limit, self._allowed)
            left = deadline - time.monotonic()
            if updates or left <= 0:
                if self._poll is poll:
                    self._poll = None
                return updates
            await self._wait_poll(poll, left)
            offset = max(offset, 0)  # a negative one counts once, not from each later end

    async def _wait_poll(self, poll: _Poll, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
        if self._closing.is_set():
            raise ApiError(502, "Bad Gateway")
        if poll.ended_by:
            only_one = "make sure that only one bot instance is running"
            raise ApiError(409, f"Conflict: terminated by {poll.ended_by} request; {only_one}")

    def _end_poll(self, by: str) -> None:
        if self._poll is not None:
            self._poll.ended_by = by
            self._poll = None
            self._wake()

    def _check_known(self, method: str) -> None:
        if method in self._unknown:
            raise ApiError(404, "Not Found")

    def _check_token(self, token: str) -> None:
        if ":" not in token:
            raise ApiError(404, "Not Found")
        if self._revoked or token != self.token:
            raise ApiError(401, "Unauthorized")

    # --- faults ---------------------------------------------------------------------------------------------

    async def _commit(self, fault: Fault, call: Call, request: web.Request) -> web.StreamResponse:
        if fault.kind == "hang":
            await self._closing.wait()
        return self._finish(call, answer_of(fault, request), fault.kind)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    def _finish(self, call: Call, answer: web.StreamResponse, outcome: str) -> web.StreamResponse:
        call.outcome, call.ended_at = outcome, time.time()
        self._wake()
        return answer

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- control from another process ---------------------------------------------------------------------

    async def _control(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in CONTROL:
            raise web.HTTPNotFound
        body = await request.json()
        try:
            result = getattr(self, name)(*body.get("args", []), **body.get("kwargs", {}))
            if asyncio.iscoroutine(result):
                result = await result
        except TimeoutError:
            return web.json_response({"timeout": True}, status=504)
        return web.json_response({"result": plain(result)})


async def _serve(port: int, token: str) -> None:
    async with FakeBotApi(port=port, token=token) as api:
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed; the first line of output is the address."""
    parser = argparse.ArgumentParser(description="A strict fake Bot API on loopback")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default=TOKEN)
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.token))


if __name__ == "__main__":
    main()
