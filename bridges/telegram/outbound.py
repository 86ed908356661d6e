"""From outbound messages to requests, and the rungs below each: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bridges.telegram.account import topic_of
from bridges.telegram.format import Entity, Formatted, format_markdown
from bridges.telegram.keyboard import Button, buttons_of
from bridges.telegram.lean import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from bridges.telegram.session import PostText, ReplaceText
from bridges.telegram.units import TEXT_LIMIT, utf16_cut, utf16_len

if TYPE_CHECKING:
    from bridges.telegram.errors import Trouble
    from clawd.messages import Address, OutboundMessage, Preview

_MORE = " …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One request as it will go out; each rung of the ladder is another draft."""

    chat: int | str
    source: str  # Markdown
    content: Formatted
    thread: int | None = None
    reply_to: int | None = None
    edit: int | None = None  # the message to replace
    buttons: tuple[Button, ...] = ()

    def method(self) -> PostText | ReplaceText:
        """Return the request. No parse mode: the entities say all."""
        common: dict[str, Any] = {
            "chat_id": self.chat,
            "text": self.content.text,
            "entities": [_entity(entity) for entity in self.content.entities] or None,
            "parse_mode": None,
            "link_preview_options": LinkPreviewOptions(is_disabled=True),
            "reply_markup": _keyboard(self.buttons),
        }
        if self.edit is not None:
            return ReplaceText(message_id=self.edit, **common)
        reply = self.reply_to
        return PostText(
            message_thread_id=self.thread,
            reply_parameters=ReplyParameters(message_id=reply) if reply is not None else None,
            **common,
        )

    def below(self, trouble: Trouble | None) -> Draft | None:
        """Return the draft to try after this complaint, None when there is nothing left to give up."""
        match trouble:
            case "entities" if self.content.entities:
                return replace(self, content=Formatted(self.source.strip()))
            case "thread_gone" if self.thread is not None:
                return replace(self, thread=None)
            case "reply_gone" if self.reply_to is not None:
                return replace(self, reply_to=None)
            case "buttons" if self.buttons:
                return replace(self, buttons=())  # the question can be answered in words
            case "edit_gone" if self.edit is not None:
                return replace(self, edit=None)
            case _:
                return None

    def halves(self) -> tuple[Draft, Draft] | None:
        """Return two shorter drafts for a text that is too long, None when it can't be cut."""
        head, tail = cut_in_two(self.source)
        if not head.strip() or not tail.strip():
            return None
        first = replace(self, source=head, content=format_markdown(head), buttons=())
        return first, replace(self, source=tail, content=format_markdown(tail), edit=None, reply_to=None)


def draft_of(message: OutboundMessage) -> Draft:
    """Return the first thing to try.

    In groups the first part answers the asker's message; in private it is clear who is meant.

    Raises:
        ValueError: the address is not one of Telegram's.
    """
    chat, thread = target(message.address)
    group = isinstance(chat, int) and chat < 0
    answers = message.reference if group and message.part == 0 else None
    return Draft(
        chat=chat,
        source=message.text,
        content=format_markdown(message.text),
        thread=thread,
        reply_to=_number(answers),
        edit=_number(message.edit_of),
        buttons=buttons_of(message),
    )


def preview_of(preview: Preview) -> Draft:
    """Return the request for unfinished text: plain, never too long, with a sign that more follows.

    Raises:
        ValueError: the address is not one of Telegram's.
    """
    chat, thread = target(preview.address)
    group = isinstance(chat, int) and chat < 0
    text = utf16_cut(preview.text.strip(), TEXT_LIMIT - utf16_len(_MORE)) + _MORE
    return Draft(
        chat=chat,
        source=text,
        content=Formatted(text.strip()),
        thread=thread,
        reply_to=_number(preview.reference) if group else None,
        edit=_number(preview.remote_id),
    )


def target(address: Address) -> tuple[int | str, int | None]:
    """Return chat and thread; a chat is a number, or the @name of a public one. Raises ValueError."""
    chat = address.chat if address.chat.startswith("@") else int(address.chat)
    return chat, topic_of(address)


def cut_in_two(text: str) -> tuple[str, str]:
    """Cut text near its middle, at a paragraph's, line's or word's end if there is one."""
    middle = len(text) // 2
    for mark in ("\n\n", "\n", " "):
        after = text.rfind(mark, middle // 2, middle)
        if after > 0:
            return text[:after], text[after + len(mark) :]
    return text[:middle], text[middle:]


def _keyboard(buttons: tuple[Button, ...]) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    row = [InlineKeyboardButton(text=button.label, callback_data=button.data) for button in buttons]
    return InlineKeyboardMarkup(inline_keyboard=[row])


def _entity(entity: Entity) -> MessageEntity:
    return MessageEntity(
        type=entity.type,
        offset=entity.offset,
        length=entity.length,
        url=entity.url,
        language=entity.language,
    )


def _number(remote: str | None) -> int | None:
    return int(remote) if remote is not None and remote.lstrip("-").isdigit() else None
