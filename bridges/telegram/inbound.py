"""From updates to inbound events: pure, and tested with recorded payloads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from bridges.telegram.account import GROUPS
from bridges.telegram.content import READ, parts_of, words_of
from bridges.telegram.drafts import STOPPED, read_stop
from bridges.telegram.joining import Joined, read_joined
from bridges.telegram.lean import Update
from bridges.telegram.presses import Press, answers_ours, read_answer, read_press
from bridges.telegram.quotes import answered_files, as_forwarded, quoted
from bridges.telegram.units import utf16_len, utf16_slice
from clawd.messages import (
    SPLIT_TEXT,
    Edited,
    InboundControl,
    InboundMessage,
    MessageId,
    Moved,
    Sender,
    Unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.telegram.account import Account
    from bridges.telegram.lean import Chat, Message
    from clawd.messages import Inbound

ALLOWED_UPDATES: Final = ("message", "edited_message", "callback_query", "my_chat_member", STOPPED)
"""The kinds we ask for. Stated in each request, because the server remembers the last statement."""

SPLIT_FROM: Final = 2000
"""UTF-16 units of a text that may be a piece of a longer one.

A text above 4,096 units is cut by the sender's own app, and nothing tells the pieces from messages of their
own. They are not all full: Telegram Desktop cuts at the best paragraph, line or sentence in the second half
(`TextUtilities::CutPart` begins to look behind limit / 2), iOS behind the last full stop or line end
(`breakChatInputText`), Android at the limit (`processSendingText`); all of them trim white space off. A
long text that was whole waits a second for nothing, which its answer takes anyway.
"""

_READ_OF_ANSWERED: Final = frozenset({"message_id", "date", "chat", "from", "forum_topic_created"})
_YEAR_10000: Final = 253_402_300_800  # in Unix time: no datetime goes so far
_MAX_RAW = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one getUpdates gave."""

    events: tuple[Inbound, ...]
    presses: tuple[Press, ...]  # pressed buttons that wait for an answer
    joined: tuple[Joined, ...]  # groups that we are new in
    next_offset: int | None  # one above the greatest update id, None when no update had one


def read_batch(updates: Sequence[Any], account: Account, now: datetime) -> Batch:
    """Return the events of a batch in the order of their ids, each update read on its own.

    An update that is nothing to us only moves the offset; one that can't be read is kept raw. `now` is the
    time of what carries none.
    """
    numbered = sorted(updates, key=lambda update: _number(update) or 0)
    numbers = [number for number in map(_number, numbered) if number is not None]
    events: list[Inbound] = []
    presses: list[Press] = []
    joined: list[Joined] = []
    for update in numbered:
        event = read_update(update, account, now)
        if event is not None:
            events.append(event)
        answer = event if isinstance(event, InboundControl) else None
        if not isinstance(update, dict):
            continue
        if press := read_press(update.get("callback_query"), answer):
            presses.append(press)
        if group := read_joined(update.get("my_chat_member"), account):
            joined.append(group)
    return Batch(
        events=tuple(events),
        presses=tuple(presses),
        joined=tuple(joined),
        next_offset=max(numbers) + 1 if numbers else None,
    )


def read_update(raw: Any, account: Account, now: datetime) -> Inbound | None:
    """Return the event of one update as JSON gave it, None when it is nothing to us."""
    number = _number(raw)
    if number is None:
        digest = hashlib.sha256(_dump(raw).encode()).hexdigest()[:16]
        return _unreadable(raw, account, digest, "no update_id")
    pressed = raw.get("callback_query")
    stopped = raw.get(STOPPED)
    kind = "edited_message" if raw.get("message") is None else "message"
    said = raw.get(kind)
    if said is None and stopped is None and not answers_ours(pressed):
        return None
    event_id = f"tg:{account.id}:{number}"
    try:
        json.dumps(raw, ensure_ascii=False).encode()  # half characters could be stored nowhere
        if stopped is not None:
            return read_stop(stopped, event_id, account, now)
        if said is None:
            return read_answer(pressed, event_id, account, now)
        if moved := _moved(said, event_id, account):
            return moved
        message = Update.model_validate({"update_id": number, "message": _pruned(said)}).message
    except UnicodeEncodeError:
        return _unreadable(raw, account, str(number), "not valid Unicode")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return _unreadable(raw, account, str(number), f"{place}: {first['msg']}")
    except RecursionError:
        return _unreadable(raw, account, str(number), "nested too deeply")
    if message is None or (read := _read_message(message, event_id, account)) is None:
        return None
    read = _with_others_words(read, said, account)
    if kind == "message":
        return read
    edited_at = said.get("edit_date")
    if not isinstance(edited_at, int) or not 0 <= edited_at < _YEAR_10000:
        return None  # nobody could say which version is the newer one
    return Edited(id=read.id, message=replace(read, sent_at=datetime.fromtimestamp(edited_at, UTC)))


def _moved(message: Any, event_id: str, account: Account) -> Moved | None:
    """Return where a group went when it became a supergroup; each of its two ids has a message that says so."""
    match message:
        case {"chat": {"id": int(old)}, "migrate_to_chat_id": int(new)} if new < 0:
            pass
        case {"chat": {"id": int(new)}, "migrate_from_chat_id": int(old)} if old < 0:
            pass
        case _:
            return None
    if old == new:
        return None
    return Moved(id=MessageId(event_id), old=account.address(str(old)), new=account.address(str(new)))


def _with_others_words(message: InboundMessage, raw: dict[str, Any], account: Account) -> InboundMessage:
    """Add what a message answers, and mark what it passes on. Of an album only a piece with words answers."""
    language = message.sender.language
    parts = as_forwarded(message.parts, raw, language)
    if message.piece_of not in (None, SPLIT_TEXT) and not message.text:
        return replace(message, parts=parts)
    files = answered_files(raw, account)
    return replace(message, parts=(*parts, *files), context=quoted(raw, account, language) or None)


def _pruned(message: Any) -> Any:
    """Return what is read of a Message object.

    The rest must not cost us a message: which fields of it are required changes with each Bot API.
    """
    if not isinstance(message, dict):
        return message
    kept = {name: value for name, value in message.items() if name in READ}
    answered = message.get("reply_to_message")
    if isinstance(answered, dict):
        kept["reply_to_message"] = {n: v for n, v in answered.items() if n in _READ_OF_ANSWERED}
    return kept


def _read_message(message: Message, event_id: str, account: Account) -> InboundMessage | None:
    sender = _sender(message, account)
    if sender is None or message.chat.type not in {"private", *GROUPS}:
        return None
    group = message.chat.type in GROUPS
    if group and not account.groups.admit(message.chat.id):
        return None
    parts = tuple(parts_of(message, account))
    if not parts:  # somebody joined, a title changed …
        return None
    return InboundMessage(
        id=MessageId(event_id),
        address=account.address_of(message, sender),
        sender=sender,
        parts=parts,
        sent_at=message.date,
        group=group,
        addressed=not group or _addressed(message, account),
        reference=str(message.message_id),
        piece_of=_piece_of(message),
    )


def _piece_of(message: Message) -> str | None:
    """Return what a message is a piece of: an album, or perhaps a text that was too long for one message."""
    if message.media_group_id is not None:
        return message.media_group_id
    if message.text is not None and utf16_len(message.text) >= SPLIT_FROM:
        return SPLIT_TEXT
    return None


def _sender(message: Message, account: Account) -> Sender | None:
    """Return who wrote it; None for bots, ourselves and posts that a channel copied into its group."""
    if message.sender_chat is not None:
        if message.is_automatic_forward:
            return None
        return Sender(id=str(message.sender_chat.id), name=_title(message.sender_chat))
    user = message.from_user
    if user is None or user.is_bot or user.id == account.id:
        return None
    return Sender(id=str(user.id), name=user.full_name, language=user.language_code)


def _title(chat: Chat) -> str | None:
    return chat.title or chat.first_name


def _addressed(message: Message, account: Account) -> bool:
    """Whether a message in a group is meant for us: a mention, a reply to us, `/command@us`.

    Where everything is, a command to another bot is not.
    """
    text, entities = words_of(message)
    handle = f"@{account.username}".lower()
    elsewhere = False
    for entity in entities:
        words = utf16_slice(text, entity.offset, entity.length).lower()
        if entity.type == "mention" and words == handle:
            return True
        if entity.type == "bot_command" and words.endswith(handle):
            return True
        if entity.type == "text_mention" and entity.user is not None and entity.user.id == account.id:
            return True
        elsewhere = elsewhere or (entity.type == "bot_command" and entity.offset == 0 and "@" in words)
    if account.groups.hear_all(message.chat.id) and not elsewhere:
        return True
    answered = message.reply_to_message
    # In a topic every message "replies" to the one that opened the topic.
    if answered is None or answered.forum_topic_created is not None:
        return False
    return answered.from_user is not None and answered.from_user.id == account.id


def _number(raw: Any) -> int | None:
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _unreadable(raw: Any, account: Account, key: str, why: str) -> Unreadable:
    return Unreadable(
        id=MessageId(f"tg:{account.id}:{key}"), bridge=account.bridge, raw=_dump(raw)[:_MAX_RAW], why=why
    )


def _dump(raw: Any) -> str:
    try:
        return json.dumps(raw)
    except RecursionError:
        return repr(type(raw))
