"""The bridge contract: what a chat platform's connection must offer. No I/O here.

A bridge turns platform updates into `Inbound` events for the inbox, and `OutboundMessage`s into
platform calls. It keeps no queue and no state of its own: what must survive is in the journal.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, runtime_checkable

from clawd.config.base import PluginConfig, Secret
from clawd.config.schema import BridgeConfig, NetworkConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from clawd.ids import Clock
    from clawd.media import Artifacts
    from clawd.messages import (
        AcceptResult,
        Address,
        BridgeCapabilities,
        Cursor,
        Draft,
        Inbound,
        Mark,
        Media,
        OutboundMessage,
        Preview,
        Receipt,
    )

__all__ = [
    "ActivityBridge",
    "Bridge",
    "BridgeConfig",
    "BridgeContext",
    "BridgePlugin",
    "BridgeState",
    "BridgeStatus",
    "ClosableBridge",
    "CodeExpired",
    "CodeScanned",
    "CodeToScan",
    "DraftBridge",
    "HttpBridge",
    "HttpReply",
    "HttpRequest",
    "Inbox",
    "LoggedIn",
    "LoginBridge",
    "LoginStep",
    "MarkBridge",
    "MediaBridge",
    "NetworkConfig",
    "NumberNeeded",
    "PluginConfig",
    "PreviewBridge",
    "ProbeBridge",
    "Sample",
    "SampleBridge",
    "Secret",
]


BridgeState = Literal[
    "starting", "connecting", "connected", "transient_disconnect", "bad_credentials", "stopped"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeStatus:
    """One bridge's connection, as `clawd bridges list` shows it."""

    name: str
    type: str
    state: BridgeState
    since: datetime
    error: str = ""  # why it is not connected
    remedy: str = ""


class Inbox(Protocol):
    """The only door in, as a bridge sees it."""

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        """Return once batch and cursor are committed together; only then may a bridge acknowledge.

        Returns:
            One result per event, in order.

        Raises:
            InboxFull: too much work waits; nothing was written, the cursor did not move.
            JournalUnavailable: nothing can be committed now; nothing was written.
        """
        ...

    async def cursor(self, key: str) -> str | None:
        """Return the last committed value of this cursor, None when there is none."""
        ...


class Bridge(Protocol):
    """One connection to one chat platform account."""

    name: str

    @property
    def capabilities(self) -> BridgeCapabilities:
        """What the platform can do; constant once connected."""
        ...

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive until cancelled; call `ready` each time the platform has answered well.

        Raises:
            BridgeNotReady: out of reach; the supervisor waits and calls `run` again.
            BridgeAuthError: credentials refused.
        """
        ...

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message, or replace the preview named by `message.edit_of`.

        Raises:
            DeliveryError: one of its kinds; anything else counts as `DeliveryUnknown`.
        """
        ...


@runtime_checkable
class PreviewBridge(Protocol):
    """A bridge that can show text while it is being made, by editing a message."""

    def previews(self, address: Address) -> bool:
        """Whether previews are wanted at this address."""
        ...

    async def preview(self, preview: Preview) -> Receipt:
        """Show or replace the preview; raises DeliveryError like `send`. The receipt names its id."""
        ...


@runtime_checkable
class DraftBridge(Protocol):
    """A bridge whose platform shows text while it is made, apart from messages: it vanishes by itself."""

    draft_life_s: float  # how long a draft stays on show unless it is shown again

    def drafts(self, address: Address) -> bool:
        """Whether drafts are wanted, and possible, at this address; previews take their place where not."""
        ...

    async def draft(self, draft: Draft) -> None:
        """Show or replace the draft; raises DeliveryError like `send`."""
        ...


@runtime_checkable
class MarkBridge(Protocol):
    """A bridge that can put a sign beside a person's message."""

    def marks(self, address: Address) -> bool:
        """Whether signs are wanted at this address."""
        ...

    async def mark(self, address: Address, reference: str, mark: Mark) -> None:
        """Put this sign in the place of the last. Failures are the bridge's own business: never raises."""
        ...


@runtime_checkable
class ActivityBridge(Protocol):
    """A bridge that can show that work is going on ("typing")."""

    async def working(self, address: Address) -> None:
        """Show it once, for some 5 seconds. Failures are the bridge's own business: never raises."""
        ...


@runtime_checkable
class ChatBridge(Protocol):
    """A bridge that knows the address of a chat from its id alone; for what clawd says of its own accord."""

    def chat_address(self, chat: str) -> Address:
        """Return where a chat's conversation lives, whether there is one yet or not."""
        ...


@runtime_checkable
class ClosableBridge(Protocol):
    """A bridge that keeps connections open for `send`, which goes on after `run` was cancelled."""

    async def close(self) -> None:
        """Free what it holds; called once, after its last `send`."""
        ...


@runtime_checkable
class ProbeBridge(Protocol):
    """A bridge that can be tested without receiving: `clawd bridges test`."""

    async def probe(self) -> str:
        """Return one line that says who we are there; raises BridgeError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """Something at a platform that lets the bridge work, but not as its configuration wants it."""

    what: str
    remedy: str


@runtime_checkable
class OddBridge(Protocol):
    """A `ProbeBridge` that can look closer: `clawd doctor`."""

    async def oddities(self) -> Sequence[Oddity]:
        """Return what is odd, nothing when all is well; changes nothing. Raises BridgeError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeToScan:
    """Show this link as a QR code, and as text; it takes the place of an earlier one."""

    link: str
    number: int  # of `of`, counted from 1
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeScanned:
    """The code was scanned; the person has to confirm on the phone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeExpired:
    """The code counts no more. Another one follows unless it was the last."""

    number: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """The end of a login: the credentials are kept. `kept`: they were good already, and stay."""

    account: str  # ours at the platform
    user: str  # who logged in
    kept: bool = False


LoginStep = CodeToScan | CodeScanned | CodeExpired | LoggedIn


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberNeeded:
    """The platform wants the number that the phone shows. `wrong`: the one before was not it."""

    wrong: bool


@runtime_checkable
class LoginBridge(Protocol):
    """A bridge whose credentials come of a login by a person: `clawd bridges login`.

    It runs in the command's process, on the host of the daemon and as its user. The bridge keeps what comes
    of it in `context.state_dir`; the daemon's own object of the same bridge notices by itself.
    """

    def login(self, ask: Callable[[NumberNeeded], Awaitable[str]]) -> AsyncIterator[LoginStep]:
        """Yield the steps as they come, `LoggedIn` last; no terminal is touched here.

        Raises:
            BridgeNotReady: the platform is out of reach.
            BridgeAuthError: nobody confirmed, or what came can't be kept.
        """
        ...


@runtime_checkable
class MediaBridge(Protocol):
    """A bridge whose messages name files by the platform's reference.

    They are accepted unread and fetched when their turn begins: an acknowledgement must not wait for a
    download. A bridge that can't fetch later puts the bytes into `context.artifacts` before `accept`.
    """

    def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of an inbound part of this bridge, in pieces.

        Raises:
            BridgeNotReady: out of reach; asked again for a while.
            FileGone: the platform has it no more, or never gives it out.
            FileTooLarge: the platform gives out no file of this size.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP request as the gateway hands it to a bridge: bytes in."""

    method: str
    headers: Mapping[str, str]  # lower-case names; of a repeated header the values joined by ", "
    repeated: frozenset[str]  # lower-case names that came more than once
    query: Mapping[str, str]
    body: bytes
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What the bridge answers: bytes out."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@runtime_checkable
class HttpBridge(Protocol):
    """A bridge whose platform calls us: the gateway mounts it at `/bridges/NAME`."""

    max_body_bytes: int

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer one request. InboxFull and JournalUnavailable may pass through: they become 503."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request that a bridge is to be tried with, and what it answers when all is well."""

    what: str  # that this shows, such as "signature accepted"
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes = b""  # is in the answer's body


@runtime_checkable
class SampleBridge(Protocol):
    """An `HttpBridge` that can be sent samples through the gateway: `clawd bridges test`."""

    def samples(self) -> Sequence[Sample]:
        """Return new requests, in the order to send them; they start no turn and leave no message."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeContext:
    """What the daemon hands to a bridge when it creates it."""

    name: str  # the key in `bridges:`
    network: NetworkConfig
    clock: Clock
    version: str  # of clawd, for User-Agent
    artifacts: Artifacts  # where files are kept, in and out
    state_dir: Path  # the bridge's own, for credentials it is given; made when first used, 0700


C = TypeVar("C", bound=BridgeConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgePlugin(Generic[C]):
    """The object behind an entry point of the group `clawd.bridges`.

    Importing it must be cheap: heavy libraries are imported inside `create`.

    `called` says whether the platform calls us, so that nothing arrives without a gateway: what it makes is then an
    `HttpBridge`. A function says it of one configuration.
    """

    type: str
    config: builtins.type[C]
    create: Callable[[BridgeContext, C], Bridge]
    called: bool | Callable[[C], bool] = False

    def is_called(self, config: C) -> bool:
        """Whether a bridge of this configuration waits for calls."""
        return self.called(config) if callable(self.called) else self.called
