"""What the bridge receives: connected, kept alive, and every callback committed before anything else.

The platform sends a message once and never again, so callbacks are read off the connection at once and wait
here until they are committed, also through a full disk and a new connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from bridges.wecom.cards import answered_card
from bridges.wecom.errors import ApiError, NoAnswer, NotSent, kicked_error
from bridges.wecom.events import Entered, Feedback, Kicked, Press, is_kick, read_event
from bridges.wecom.inbound import read_message, unreadable
from bridges.wecom.outbound import update_card, welcome
from clawd.errors import InboxFull, JournalBroken, JournalUnavailable
from clawd.messages import Accepted, Duplicate, InboundControl, InboundMessage, Replied, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridges.wecom.account import Account
    from bridges.wecom.config import WecomConfig
    from bridges.wecom.connection import Connection
    from bridges.wecom.frames import Frame
    from bridges.wecom.line import Line
    from bridges.wecom.streams import Streams
    from clawd.bridge import Inbox
    from clawd.ids import Clock
    from clawd.messages import AcceptResult, Inbound
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

BACKLOG: Final = 1000  # callbacks that wait for a commit; beyond them the connection is not read
_BATCH: Final = 50
_LAST_COMMIT_S: Final = 3.0  # for what came while the bridge ended
_LAST_READ_S: Final = 0.05

Heard = InboundMessage | Unreadable | Press | Entered


class Receiving:
    """The way in."""

    def __init__(
        self, account: Account, config: WecomConfig, line: Line, streams: Streams, clock: Clock
    ) -> None:
        self._account = account
        self._config = config
        self._line = line
        self._streams = streams
        self._clock = clock
        self._inbox: Inbox | None = None
        self._backlog: deque[Heard] = deque()
        self._came = asyncio.Event()
        self._left = asyncio.Event()
        self._kicked = False

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive until cancelled; as `Bridge.run`."""
        self._inbox = inbox
        self._kicked = False
        connection = await self._line.open(
            on_callback=self._take, on_bad=self._take_bad, room=self._room, on_pong=ready
        )
        ready()
        try:
            await self._work(connection, inbox)
        except* JournalBroken as group:
            broken: BaseException | None = group.exceptions[0]
        else:
            broken = None
        if broken is not None:
            raise broken
        if self._kicked:
            log.error("bridge_kicked", extra={"bridge": self._account.bridge})
            raise kicked_error(self._account.bridge, self._config.reconnect_after_kick_s)
        raise self._line.lost(connection.ended)

    async def _work(self, connection: Connection, inbox: Inbox) -> None:
        """Do all that a connection is for until it ends."""
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._heartbeat(connection), name="wecom:heartbeat"),
                tasks.create_task(self._streams.keep(), name="wecom:streams"),
                tasks.create_task(self._commit_all(inbox, tasks), name="wecom:commit"),
            ]
            await connection.follow()
            await connection.end(connection.ended)
            for task in beside:
                task.cancel()

    async def settle(self) -> None:
        """Commit what has come and waits; for the end. What can't be committed in time is lost, and told."""
        await self._line.read_buffered(_LAST_READ_S)
        inbox = self._inbox
        if inbox is None or not self._backlog:
            return
        try:
            async with asyncio.timeout(_LAST_COMMIT_S):
                while self._backlog:
                    await self._commit(inbox)
        except (TimeoutError, InboxFull, JournalUnavailable, JournalBroken) as error:
            log.error(  # noqa: TRY400 - the kind of error says it all
                "messages_lost",
                extra={
                    "bridge": self._account.bridge,
                    "count": len(self._backlog),
                    "reason": type(error).__name__,
                },
            )

    # --- from the connection, at once ---------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        now = self._clock.now()
        if frame.cmd == "aibot_msg_callback":
            self._keep(read_message(frame, self._account, now))
            return
        if is_kick(frame):
            self._kicked = True
            return
        match read_event(frame, self._account, now):
            case Feedback():
                log.info("answer_rated", extra={"bridge": self._account.bridge})
            case None | Kicked():
                pass
            case heard:
                self._keep(heard)

    def _take_bad(self, text: str, why: str) -> None:
        log.warning("frame_unreadable", extra={"bridge": self._account.bridge, "reason": why})
        self._keep(unreadable(text, self._account, why))

    def _keep(self, heard: Heard) -> None:
        self._backlog.append(heard)
        self._came.set()

    async def _room(self) -> None:
        while len(self._backlog) >= BACKLOG:
            self._left.clear()
            await self._left.wait()

    # --- beside it ----------------------------------------------------------------------------------------

    async def _heartbeat(self, connection: Connection) -> None:
        while not connection.ended:
            await self._clock.sleep(self._config.heartbeat_s)
            await connection.ping()

    async def _commit_all(self, inbox: Inbox, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._came.clear()
            while self._backlog:
                try:
                    done = await self._commit(inbox)
                except (InboxFull, JournalUnavailable) as error:
                    log.warning("messages_wait", extra={"bridge": self._account.bridge, "reason": error.what})
                    await self._clock.sleep(error.retry_after_s)
                    continue
                for heard, result in done:
                    self._after(heard, result, tasks)
            await self._came.wait()

    async def _commit(self, inbox: Inbox) -> Sequence[tuple[Heard, AcceptResult | None]]:
        """Commit the oldest callbacks; they leave the backlog only then."""
        batch = [self._backlog[n] for n in range(min(_BATCH, len(self._backlog)))]
        events: list[Inbound] = []
        for heard in batch:
            match heard:
                case Press(control=control):
                    events.append(control)
                case InboundMessage() | Unreadable():
                    events.append(heard)
                case Entered():
                    pass
        results = iter(await inbox.accept(events) if events else ())
        for _ in batch:
            self._backlog.popleft()
        self._left.set()
        return [(heard, None if isinstance(heard, Entered) else next(results)) for heard in batch]

    # --- after the commit ---------------------------------------------------------------------------------

    def _after(self, heard: Heard, result: AcceptResult | None, tasks: asyncio.TaskGroup) -> None:
        match heard:
            case InboundMessage() if isinstance(result, Accepted):
                self._streams.accepted(heard.reference, heard.address)
            case Entered(req_id=req_id) if self._config.welcome is not None:
                body = welcome(self._config.welcome)
                tasks.create_task(self._try("aibot_respond_welcome_msg", req_id, body), name="wecom:welcome")
            case Press(req_id=req_id, task_id=task_id, control=control):
                told = _told(control, result)
                if told:
                    body = update_card(control.sender.id, answered_card(task_id, told))
                    tasks.create_task(self._try("aibot_respond_update_msg", req_id, body), name="wecom:card")
            case _:
                pass

    async def _try(self, cmd: str, req_id: str, body: JsonObject) -> None:
        """Send what is only nice to have: the platform takes it for five seconds."""
        try:
            await self._line.request(cmd, body, req_id=req_id)
        except (ApiError, NotSent, NoAnswer) as error:
            log.info(
                "event_not_answered",
                extra={"bridge": self._account.bridge, "cmd": cmd, "reason": str(error)},
            )


def _told(control: InboundControl, result: AcceptResult | None) -> str:
    """Return what a card says once nobody can answer its question any more, "" while somebody can."""
    match result:
        case Replied(text=text):
            return text
        case Duplicate():
            return "✓"
        case _:
            return ""  # somebody who may not answer leaves it as it was
