"""What crosses a bridge: addresses, parts, inbound events, outbound messages. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NewType
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.ids import DeliveryId, QuestionId, TurnId

MessageId = NewType("MessageId", str)
"""A bridge's dedup key, such as `tg:<bot>:<update_id>`; a redelivery carries the same one."""

PULL_BRIDGES: Final = frozenset({"terminal", "api"})
"""Where the client fetches its answer: the committed end of the turn is the delivery, no outbox row."""

COMMAND_NAMES: Final = (
    "new",
    "stop",
    "retry",
    "undo",
    "compact",
    "approve",
    "deny",
    "model",
    "lang",
    "status",
    "usage",
    "alerts",
    "help",
    "start",
)
"""Slash commands; no prefix of a route can be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a conversation lives; equal addresses are one conversation, hence one order."""

    bridge: str
    account: str
    chat: str
    thread: str | None = None

    def __str__(self) -> str:
        """`bridge:account:chat[:thread]`, each field percent-quoted; the form of `clawd send`."""
        fields = (self.bridge, self.account, self.chat, self.thread)
        return ":".join(quote(f, safe="@+-_.~=") for f in fields if f is not None)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what `str` wrote.

        Raises:
            ValueError: fewer than three or more than four fields, or an empty one.
        """
        fields = [unquote(f) for f in text.split(":")]
        if not 3 <= len(fields) <= 4 or not all(fields):
            raise ValueError(f"{text!r} is not bridge:account:chat[:thread]")
        return cls(
            bridge=fields[0],
            account=fields[1],
            chat=fields[2],
            thread=fields[3] if len(fields) == 4 else None,
        )

    @property
    def pulls(self) -> bool:
        """Whether the other side fetches answers instead of having them pushed."""
        return self.bridge in PULL_BRIDGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who wrote a message. `id` is the platform's constant id, never a name that can be taken over."""

    id: str
    name: str | None = None
    language: str | None = None  # BCP 47 tag as the platform gave it


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text or Markdown."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture. `ref` is that of a stored file (`artifact:…`), a URL, or the platform's own."""

    ref: str
    mime: str | None = None
    size: int | None = None  # bytes
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """A voice note or a sound file; `ref` as in `Image`."""

    ref: str
    mime: str | None = None
    size: int | None = None  # bytes
    duration_s: float | None = None
    name: str | None = None
    transcript: str | None = None  # the platform's own, where it makes one


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Any other file; `ref` as in `Image`."""

    ref: str
    name: str | None = None
    mime: str | None = None
    size: int | None = None  # bytes


Media = Image | Audio | File
Part = Text | Media


def text_of(parts: tuple[Part, ...]) -> str:
    """Return the text parts, joined by line ends."""
    return "\n".join(part.text for part in parts if isinstance(part, Text))


# --- inbound ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Something that was said before a message somewhere else, as its client tells it."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMessage:
    """One message as the platform delivered it; a redelivery carries the same id."""

    id: MessageId
    address: Address
    sender: Sender
    parts: tuple[Part, ...]
    sent_at: datetime  # aware, the platform's clock
    group: bool = False  # more people than the sender read this chat
    addressed: bool = True  # private chat, mention, reply to us or command to us
    digest: str | None = None  # sha256 of the raw body where "same id, other body" must be told apart
    reference: str | None = None  # the platform's own message id, given back with replies
    # Equal for pieces of one message that the platform cut: an album's id, or SPLIT_TEXT for a text that
    # fills a message to the limit, so that the next one may be its rest.
    piece_of: str | None = None
    model: str | None = None  # the model or route that its sender asks for, for this message alone
    # Shown to models in front of it, oldest first; of a `system` one only while this message is answered.
    context: tuple[Earlier, ...] | None = None
    callback_url: str | None = None  # told of the end of its turn

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return text_of(self.parts)

    @property
    def user(self) -> str:
        """BRIDGE:SENDER, as use is counted, budgets are kept and routes are chosen by.

        Half a surrogate pair, as broken clients send, is a `?`: databases take UTF-8 only.
        """
        user = f"{self.address.bridge}:{self.sender.id}"
        return user if user.isascii() else user.encode(errors="replace").decode()


# --- callbacks --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackQuestion:
    """What a turn waits for a person to say, as a callback tells it."""

    id: QuestionId
    about: Literal["approval", "unknown"]
    tool: str
    subject: str
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """An event that is told to a URL; of `url` and `app` one says whose."""

    event: Literal["message.received", "message.reply", "message.failed", "approval.requested"]
    status: Literal["queued", "waiting", "answered", "failed", "cancelled", "dead"]  # the turn's
    at: datetime  # when it happened; never changes
    url: str | None = None  # that came with the message
    app: str | None = None  # the app that has one of its own
    sender: str | None = None  # message.received
    question: CallbackQuestion | None = None  # approval.requested


SPLIT_TEXT: Final = "text"
"""`InboundMessage.piece_of` of a text that a client may have cut; its last piece carries no mark."""

ControlKind = Literal["stop", "approve", "deny", "fetch"]
"""`fetch`: the sender asks for what is kept or being made for them, where a platform lets us answer only then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundControl:
    """Something that acts on open work at once and takes no place in the queue."""

    id: MessageId
    address: Address
    sender: Sender
    kind: ControlKind
    turn: TurnId | None = None  # None: the open turn of the conversation
    draft: int | None = None  # stop: of a draft's own button; it ends the turn of that draft and no other
    question: QuestionId | None = None  # approve, deny: None means the open question of the conversation
    # approve: also let later calls like this pass in this conversation; "" stands for exactly this call.
    always: str | None = None
    sent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An update we could not parse: stored raw as dead, so that the cursor can move past it."""

    id: MessageId
    bridge: str
    raw: str  # at most 64 kB are kept
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A chat has another address from now on; its threads have the same names there. May come twice."""

    id: MessageId
    old: Address
    new: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A newer version of a message, whose `reference` says of which; it counts until the turn has begun.

    `message.sent_at` is when it was edited: an older version that comes later changes nothing.
    """

    id: MessageId
    message: InboundMessage


Inbound = InboundMessage | InboundControl | Edited | Moved | Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a bridge has read; committed together with what it read."""

    key: str  # for example "telegram:<bot id>:offset"
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Committed. `position` counts the turns before this one in its conversation: 0 runs next."""

    turn: TurnId
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Seen before; nothing was written. `turn` is the first one's, None when it made no turn."""

    turn: TurnId | None
    same_body: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """Done without a turn (`/status`, `/help`, a stop); `text` went out, or is for the caller to show."""

    text: str
    nothing: bool = False  # a control found nothing that it could be for


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not let in; nothing of the message is kept."""

    reason: Literal["stranger", "rate", "not_addressed", "unreadable", "not_yours"]
    text: str = ""  # what the sender is told, empty for silence


AcceptResult = Accepted | Duplicate | Replied | Refused


# --- outbound ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer that a question offers; platforms with buttons show `label`."""

    word: Literal["approve", "always", "deny"]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMessage:
    """One delivery, as a bridge sends it; equal for every attempt but for `repeated`.

    `text` is Markdown within the bridge's text limit, or above its `document_over`, with the repeat mark
    already in front where the bridge wants one.
    """

    id: DeliveryId
    address: Address
    text: str
    created_at: datetime
    kind: Literal["reply", "failed", "push", "question", "alert"] = "reply"
    turn: TurnId | None = None
    seq: int | None = None  # the answered message's place in its conversation
    part: int = 0
    parts: int = 1
    in_reply_to: MessageId | None = None
    reference: str | None = None  # the platform's own id of the answered message
    edit_of: str | None = None  # the remote id of a preview to replace
    repeated: bool = False  # an earlier attempt may have arrived
    # Of an edit that may have arrived: the line to put in front where it has to go out as a new message.
    repeat_mark: str = ""
    question: QuestionId | None = None  # of a `question`: what a button's press names
    choices: tuple[Choice, ...] = ()
    callback: Callback | None = None  # an event for a program, not a text for a chat
    insist: bool = False  # an operator asked for it after it was given up
    files: tuple[Media, ...] = ()  # stored ones, to be sent behind the text; kinds as in `capabilities.files`


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Text shown while it is being made. `remote_id` None asks for a new message, else an edit."""

    address: Address
    text: str
    remote_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Text of a reply while it is being made, on platforms where it vanishes by itself; empty: still thinking."""

    address: Address
    id: int  # 1 to 2^31 - 1; equal for all drafts of one reply, also after a restart
    text: str
    turn: TurnId  # what a stop button ends


Mark = Literal["working", "done", "failed"]
"""A sign beside a person's message: it is being worked on, or how that ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The platform took it. `remote_id` is its id there, where it has one."""

    remote_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeCapabilities:
    """What a platform can do, as data."""

    text_limit: int  # greatest text of one message, in `text_unit`
    text_unit: Literal["utf16", "utf8", "chars"] = "chars"
    # A reply of more characters is cut into a short head and the whole of it, which exceeds this limit and
    # which the bridge sends as a file; 0: never. Nothing else exceeds it, and it is above `text_limit`.
    document_over: int = 0
    edits: bool = False
    typing: bool = False
    files: frozenset[Literal["image", "audio", "file"]] = frozenset()  # what can be sent beside text
    file_limit: int = 0  # bytes of one such file
    marks_repeats: bool = True  # False: the platform drops repeats by our id
    preview_interval_s: float = 1.2  # least time between two edits of a preview
    group_preview_interval_s: float = 4.0
    retry_schedule_s: tuple[float, ...] = field(default=(1, 2, 4, 8, 16, 32, 60))  # last one repeats
    retry_jitter: float = 0.0  # share by which each of these pauses is stretched or cut at random
