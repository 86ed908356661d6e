"""From outbound messages to requests, and the rungs below each: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.account import topic_of
from bridges.telegram.format import Entity, Formatted, format_markdown
from bridges.telegram.keyboard import Button, buttons_of
from bridges.telegram.lean import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputRichMessage,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
    SendRichMessage,
)
from bridges.telegram.rich import is_safe_as_rich
from bridges.telegram.session import PostText, ReplaceText, plain
from bridges.telegram.units import TEXT_LIMIT, utf16_cut, utf16_len

if TYPE_CHECKING:
    from bridges.telegram.config import Format
    from bridges.telegram.errors import Trouble
    from clawd.messages import Address, Draft, OutboundMessage, Preview

_MORE: Final = " …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One request as it will go out; each rung of the ladder is another."""

    chat: int | str
    source: str  # Markdown
    content: Formatted
    rich: bool = False  # the source itself is sent, and Telegram lays it out
    plain: bool = False  # no entities, whatever the source says
    thread: int | None = None
    reply_to: int | None = None
    edit: int | None = None  # the message to replace
    repeat_mark: str = ""  # for what goes out in place of an edit that may have arrived
    buttons: tuple[Button, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return not self.content.text

    def method(self) -> PostText | SendRichMessage | ReplaceText:
        """Return the request. No parse mode: the entities say all."""
        place: dict[str, Any] = {"chat_id": self.chat, "reply_markup": keyboard_of(self.buttons)}
        if self.edit is None:
            place |= {"message_thread_id": self.thread, "reply_parameters": reply_to(self.reply_to)}
        if self.rich:
            rich = InputRichMessage(markdown=self.source)
            if self.edit is not None:
                return ReplaceText(
                    message_id=self.edit,
                    rich_message=rich,
                    parse_mode=None,
                    link_preview_options=None,
                    **place,
                )
            return plain(SendRichMessage)(rich_message=rich, **place)
        words: dict[str, Any] = {
            "text": self.content.text,
            "entities": entities_of(self.content),
            "parse_mode": None,
            "link_preview_options": LinkPreviewOptions(is_disabled=True),
        }
        if self.edit is not None:
            return ReplaceText(message_id=self.edit, **words, **place)
        return PostText(**words, **place)

    def below(self, trouble: Trouble | None) -> Rung | None:
        """Return what to try after this complaint, None when there is nothing left to give up."""
        match trouble:
            case None:
                return None
            case "thread_gone" if self.thread is not None:
                return replace(self, thread=None)
            case "reply_gone" if self.reply_to is not None:
                return replace(self, reply_to=None)
            case "buttons" if self.buttons:
                return replace(self, buttons=())  # the question can be answered in words
            case "edit_gone" if self.edit is not None:
                source = f"{self.repeat_mark}\n{self.source}" if self.repeat_mark else self.source
                return replace(self.saying(source), edit=None, repeat_mark="")
            case "thread_gone" | "reply_gone" | "buttons" | "edit_gone" | "unchanged":
                return None
            case _ if self.rich:  # whatever it does not like about it
                return replace(self, rich=False)
            case "entities" if self.content.entities:
                return replace(self, content=Formatted(self.source.strip()), plain=True)
            case _:
                return None

    def saying(self, source: str) -> Rung:
        """Return the same with another text."""
        return replace(self, source=source, content=content_of(source, plain=self.plain))

    def halves(self) -> tuple[Rung, Rung] | None:
        """Return two shorter ones for a text that is too long, None when it can't be cut."""
        head, tail = cut_in_two(self.source)
        if not head.strip() or not tail.strip():
            return None
        return replace(self.saying(head), buttons=()), replace(self.saying(tail), edit=None, reply_to=None)


def rung_of(message: OutboundMessage, form: Format = "auto") -> Rung:
    """Return the first thing to try for a message's text.

    In groups the first part answers the asker's message; in private it is clear who is meant.

    Raises:
        ValueError: the address is not one of Telegram's.
    """
    chat, thread = target(message.address)
    return Rung(
        chat=chat,
        source=message.text,
        content=content_of(message.text, plain=form == "plain"),
        rich=form == "rich" and is_safe_as_rich(message.text),
        plain=form == "plain",
        thread=thread,
        reply_to=answered(message, chat),
        edit=number(message.edit_of),
        repeat_mark=message.repeat_mark,
        buttons=buttons_of(message),
    )


def answered(message: OutboundMessage, chat: int | str) -> int | None:
    """Return the message that this one quotes, None for none."""
    return number(message.reference) if in_group(chat) and message.part == 0 else None


def preview_of(preview: Preview) -> Rung:
    """Return the request for unfinished text: plain, never too long, with a sign that more follows.

    Raises:
        ValueError: the address is not one of Telegram's.
    """
    chat, thread = target(preview.address)
    text = utf16_cut(preview.text.strip(), TEXT_LIMIT - utf16_len(_MORE)) + _MORE
    return Rung(
        chat=chat,
        source=text,
        content=Formatted(text.strip()),
        plain=True,
        thread=thread,
        reply_to=number(preview.reference) if in_group(chat) else None,
        edit=number(preview.remote_id),
    )


def draft_content(draft: Draft, form: Format) -> Formatted:
    """Return what a draft shows, nothing while nothing is said."""
    content = content_of(draft.text, plain=form == "plain")
    if utf16_len(content.text) > TEXT_LIMIT:
        return Formatted(utf16_cut(content.text, TEXT_LIMIT).strip())
    return content


def content_of(source: str, *, plain: bool) -> Formatted:
    """Return Markdown as text with entities, or as it is written."""
    return Formatted(source.strip()) if plain else format_markdown(source)


def target(address: Address) -> tuple[int | str, int | None]:
    """Return chat and thread; a chat is a number, or the @name of a public one. Raises ValueError."""
    chat = address.chat if address.chat.startswith("@") else int(address.chat)
    return chat, topic_of(address)


def in_group(chat: int | str) -> bool:
    """Whether a chat is a group."""
    return isinstance(chat, int) and chat < 0


def cut_in_two(text: str) -> tuple[str, str]:
    """Cut text near its middle, at a paragraph's, line's or word's end if there is one."""
    middle = len(text) // 2
    for mark in ("\n\n", "\n", " "):
        after = text.rfind(mark, middle // 2, middle)
        if after > 0:
            return text[:after], text[after + len(mark) :]
    return text[:middle], text[middle:]


def keyboard_of(buttons: tuple[Button, ...]) -> InlineKeyboardMarkup | None:
    """Return the markup of one row, None for no buttons."""
    if not buttons:
        return None
    row = [InlineKeyboardButton(text=button.label, callback_data=button.data) for button in buttons]
    return InlineKeyboardMarkup(inline_keyboard=[row])


def reply_to(message_id: int | None) -> ReplyParameters | None:
    """Return what quotes a message, None for none."""
    return ReplyParameters(message_id=message_id) if message_id is not None else None


def entities_of(content: Formatted) -> list[MessageEntity] | None:
    """Return the entities as Telegram's, None for none."""
    return [_entity(entity) for entity in content.entities] or None


def _entity(entity: Entity) -> MessageEntity:
    return MessageEntity(
        type=entity.type,
        offset=entity.offset,
        length=entity.length,
        url=entity.url,
        language=entity.language,
    )


def number(remote: str | None) -> int | None:
    """Return a message's id, None for what is none."""
    return int(remote) if remote is not None and remote.lstrip("-").isdigit() else None
