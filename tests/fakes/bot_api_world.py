"""The world behind the fake Bot API: chats, messages and the queue of updates. No network here."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.bot_api_keyboards import Keyboard, data_behind, read_keyboard
from tests.fakes.bot_api_media import (
    DRAFT_LIFE_S,
    FILES,
    REACTIONS,
    ShownDraft,
    read_caption,
    read_draft,
    read_file,
    read_reaction,
    read_rich,
)
from tests.fakes.bot_api_rules import ACTIONS, QUERY_TEXT_LIMIT, ApiError, bad, clean_text, utf16

ChatType = Literal["private", "group", "supergroup"]


@dataclass(slots=True, kw_only=True)
class SentMessage:
    """A message of the bot as people see it now; `history` has every text it ever showed."""

    chat: int
    message_id: int
    text: str
    entities: list[dict[str, Any]]
    at: float  # wall time of sending
    thread: int | None = None
    reply_to: int | None = None
    edited_at: float | None = None
    history: list[tuple[float, str]] = field(default_factory=list)
    rich: str = ""  # the Markdown of a rich message, which is its text here as well
    kind: str = ""  # photo, voice, audio, document: it has a file, and its text is the caption
    file_name: str = ""
    file: bytes = b""
    keyboard: Keyboard = field(default_factory=list)  # as people see it now
    keyboard_was: Keyboard = field(default_factory=list)  # the last one it had

    def show(self, keyboard: Keyboard) -> None:
        """Put this keyboard under the message; an empty one takes it away."""
        self.keyboard = keyboard
        self.keyboard_was = keyboard or self.keyboard_was


@dataclass(slots=True, kw_only=True)
class Chat:
    """One chat. `refusal` is what the server answers to whatever is sent there."""

    id: int
    type: ChatType
    title: str
    threads: set[int] = field(default_factory=set)  # a forum's topics
    refusal: ApiError | None = None
    next_message: int = 1
    messages: dict[int, SentMessage] = field(default_factory=dict)  # the bot's
    others: set[int] = field(default_factory=set)  # ids of other people's messages
    actions: list[tuple[float, str]] = field(default_factory=list)
    drafts: list[ShownDraft] = field(default_factory=list)  # every showing, the last one may still be seen
    reactions: dict[int, list[str]] = field(default_factory=dict)  # the bot's, of each message, in order
    reactions_allowed: frozenset[str] = REACTIONS

    def as_json(self) -> dict[str, Any]:
        """Return the Chat object."""
        name = {"first_name": self.title} if self.type == "private" else {"title": self.title}
        forum = {"is_forum": True} if self.threads else {}
        return {"id": self.id, "type": self.type, **name, **forum}

    def new_message_id(self) -> int:
        """Return the next id; ids count per chat."""
        self.next_message += 1
        return self.next_message - 1


_COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,32}(?:@[A-Za-z0-9_]+)?")
_MENTION = re.compile(r"(?<!\w)@[A-Za-z][A-Za-z0-9_]{3,31}")


def natural_entities(text: str) -> list[dict[str, Any]]:
    """Return the entities that Telegram itself finds in typed text: commands and mentions."""
    found = [("bot_command", m) for m in _COMMAND.finditer(text)]
    taken = {at for _, m in found for at in range(m.start(), m.end())}
    found += [("mention", m) for m in _MENTION.finditer(text) if m.start() not in taken]
    return [
        {"type": kind, "offset": utf16(text[: m.start()]), "length": utf16(m.group())}
        for kind, m in sorted(found, key=lambda item: item[1].start())
    ]


def photo_of(file_id: str) -> list[dict[str, Any]]:
    """Return the sizes of a photo; `file_id` is the largest one's."""
    sizes = (("s", 90, 60, 1_300), ("m", 320, 213, 19_000), ("", 1280, 853, 170_000))
    return [
        {
            "file_id": f"{file_id}{mark}",
            "file_unique_id": f"u-{file_id}{mark}",
            "width": width,
            "height": height,
            "file_size": size,
        }
        for mark, width, height, size in sizes
    ]


class World:
    """Chats and updates of one bot."""

    def __init__(self, bot_id: int, username: str) -> None:
        self.bot_id = bot_id
        self.username = username
        self.chats: dict[int, Chat] = {}
        self.queue: list[Any] = []  # updates not yet confirmed, in order
        self.next_update = 1001
        self.queries: set[str] = set()  # callback queries that may still be answered
        self.answered: dict[str, str] = {}  # in order: what was shown to whom pressed, mostly nothing

    # --- people ---------------------------------------------------------------------------------------

    def chat(self, chat_id: int) -> Chat:
        """Return the chat, made at first use: private above 0, supergroup from -100…, else group."""
        if chat_id not in self.chats:
            kind: ChatType = "private"
            if chat_id < 0:
                kind = "supergroup" if str(chat_id).startswith("-100") else "group"
            self.chats[chat_id] = Chat(id=chat_id, type=kind, title=f"Chat {abs(chat_id)}")
        return self.chats[chat_id]

    def bot_json(self) -> dict[str, Any]:
        """Return the User object of the bot."""
        return {"id": self.bot_id, "is_bot": True, "first_name": "Clawd", "username": self.username}

    def push(self, update: Any) -> int:
        """Queue an update; one without an id gets the next. Returns the id, 0 for what is no object."""
        if not isinstance(update, dict):
            self.queue.append(update)
            return 0
        if "update_id" not in update:
            update = {"update_id": self.next_update, **update}
        self.queue.append(update)
        number = update["update_id"]
        if isinstance(number, int):
            self.next_update = max(self.next_update, number) + 1
            return number
        return 0

    def person(self, number: int) -> dict[str, Any]:
        """Return the User object of somebody."""
        name = {"first_name": f"User {number}", "language_code": "en"}
        return {"id": number, "is_bot": number == self.bot_id, **name}

    def posted(self, chat_id: int, *, sender: int | None, thread: int | None) -> dict[str, Any]:
        """Return the Message object of something that somebody sent there, still without content."""
        chat = self.chat(chat_id)
        number = chat.new_message_id()
        chat.others.add(number)
        message: dict[str, Any] = {
            "message_id": number,
            "from": self.person(sender if sender is not None else abs(chat_id)),
            "chat": chat.as_json(),
            "date": int(time.time()),
        }
        if thread is not None:
            chat.threads.add(thread)
            message |= {"message_thread_id": thread, "is_topic_message": True}
        return message

    def typed(self, chat_id: int, text: str, *, sender: int | None, thread: int | None) -> dict[str, Any]:
        """Return the Message object of a text that somebody wrote there."""
        message = {**self.posted(chat_id, sender=sender, thread=thread), "text": text}
        if entities := natural_entities(text):
            message["entities"] = entities
        return message

    def pressed(self, chat_id: int, message_id: int, label: str, *, stale: bool) -> dict[str, Any]:
        """Return what a press on this button of the bot's message tells: message and data.

        Raises:
            LookupError: there is no such button. `stale` is somebody whose client still shows the buttons
                that the message had before.
        """
        message = self.chats[chat_id].messages[message_id]
        keyboard = message.keyboard_was if stale else message.keyboard
        return {"message": self.as_json(message), "data": data_behind(keyboard, label)}

    def query(self, sender: int, event: dict[str, Any], number: str = "") -> dict[str, Any]:
        """Return the CallbackQuery object of a press; it may be answered from now on."""
        number = number or f"query-{self.next_update}"
        self.queries.add(number)
        return {"id": number, "from": self.person(sender), "chat_instance": "1", **event}

    # --- the bot ----------------------------------------------------------------------------------------

    def take_updates(self, offset: int, limit: int, allowed: list[str] | None) -> list[Any]:
        """Forget what `offset` confirms and return what is next; negative offsets count from the end."""
        if offset < 0:
            self.queue = self.queue[offset:]
        elif offset > 0:
            self.queue = [u for u in self.queue if not isinstance(u, dict) or _number(u) >= offset]
        ordered = sorted(self.queue, key=_number)
        return [update for update in ordered if _allowed(update, allowed)][:limit]

    def send(self, params: dict[str, Any]) -> dict[str, Any]:
        """sendMessage."""
        return self._post(params, *clean_text(params))

    def send_rich(self, params: dict[str, Any]) -> dict[str, Any]:
        """sendRichMessage."""
        text = read_rich(params.get("rich_message"))
        return self._post(params, text, [], rich=text)

    def send_file(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """sendPhoto, sendVoice, sendAudio, sendDocument."""
        file = read_file(method, params)
        return self._post(
            params, *read_caption(params), kind=FILES[method], file_name=file.name, file=file.content
        )

    def _post(
        self, params: dict[str, Any], text: str, entities: list[dict[str, Any]], **content: Any
    ) -> dict[str, Any]:
        chat = self._reachable(params)
        keyboard = read_keyboard(params.get("reply_markup"))
        thread = params.get("message_thread_id")
        if thread is not None and thread not in chat.threads:
            raise bad("message thread not found")
        reply_to = self._reply_target(chat, params.get("reply_parameters"))
        now = time.time()
        message = SentMessage(
            chat=chat.id,
            message_id=chat.new_message_id(),
            text=text,
            entities=entities,
            at=now,
            thread=thread,
            reply_to=reply_to,
            history=[(now, text)],
            **content,
        )
        message.show(keyboard)
        chat.messages[message.message_id] = message
        return self.as_json(message)

    def edit(self, params: dict[str, Any]) -> dict[str, Any]:
        """editMessageText; without `reply_markup` it takes the keyboard away."""
        message = self._editable(params)
        if message.kind:
            raise bad("there is no text in the message to edit")
        rich = read_rich(params["rich_message"]) if "rich_message" in params else ""
        if rich and "text" in params:
            raise bad("text and rich_message exclude each other")
        text, entities = (rich, []) if rich else clean_text(params)
        keyboard = read_keyboard(params.get("reply_markup"))
        was = (message.text, message.entities, message.keyboard, message.rich)
        if (text, entities, keyboard, rich) == was:
            raise _not_modified()
        message.rich = rich
        message.text, message.entities, message.edited_at = text, entities, time.time()
        message.show(keyboard)
        message.history.append((message.edited_at, text))
        return self.as_json(message)

    def edit_keyboard(self, params: dict[str, Any]) -> dict[str, Any]:
        """editMessageReplyMarkup; without `reply_markup` it takes the keyboard away."""
        message = self._editable(params)
        keyboard = read_keyboard(params.get("reply_markup"))
        if keyboard == message.keyboard:
            raise _not_modified()
        message.show(keyboard)
        return self.as_json(message)

    def _editable(self, params: dict[str, Any]) -> SentMessage:
        chat = self._reachable(params)
        if "message_id" not in params:
            raise bad("message identifier is not specified")
        message = chat.messages.get(params["message_id"])
        if message is None:
            other = params["message_id"] in chat.others
            raise bad("message can't be edited" if other else "message to edit not found")
        return message

    def delete(self, params: dict[str, Any]) -> bool:
        """deleteMessage."""
        chat = self._reachable(params)
        if chat.messages.pop(params.get("message_id", 0), None) is None:
            raise bad("message to delete not found")
        return True

    def act(self, params: dict[str, Any]) -> bool:
        """sendChatAction."""
        chat = self._reachable(params)
        if params.get("action") not in ACTIONS:
            raise bad("wrong parameter action in request")
        if (thread := params.get("message_thread_id")) is not None and thread not in chat.threads:
            raise bad("message thread not found")
        chat.actions.append((time.time(), params["action"]))
        return True

    def draft(self, params: dict[str, Any]) -> bool:
        """sendMessageDraft."""
        chat = self._reachable(params)
        if chat.type != "private":
            raise bad("drafts can be sent to private chats only")
        draft = read_draft(params, time.time())
        if draft.thread is not None and draft.thread not in chat.threads:
            raise bad("message thread not found")
        chat.drafts.append(draft)
        return True

    def stopped(self, chat_id: int) -> dict[str, Any]:
        """Return what a press on the stop button of the draft on show tells.

        Raises:
            LookupError: no draft is to be seen there, or it has no button.
        """
        chat = self.chats[chat_id]
        last = chat.drafts[-1] if chat.drafts else None
        over = max((message.at for message in chat.messages.values()), default=0.0)
        if last is None or not last.can_stop or last.at < max(over, time.time() - DRAFT_LIFE_S):
            raise LookupError(f"no draft with a stop button in {chat_id}")
        thread = {"message_thread_id": last.thread} if last.thread is not None else {}
        return {"chat": chat.as_json(), "draft_id": last.draft_id, **thread}

    def react(self, params: dict[str, Any]) -> bool:
        """setMessageReaction."""
        chat = self._reachable(params)
        emoji = read_reaction(params.get("reaction"))
        number = params.get("message_id", 0)
        if number not in chat.messages and number not in chat.others:
            raise bad("message to react not found")
        if emoji and emoji not in chat.reactions_allowed:
            raise bad("REACTION_INVALID")
        chat.reactions.setdefault(number, []).append(emoji)
        return True

    def answer_query(self, params: dict[str, Any]) -> bool:
        """answerCallbackQuery."""
        query = params.get("callback_query_id", "")
        text = params.get("text", "")
        if utf16(text) > QUERY_TEXT_LIMIT:
            raise bad("MESSAGE_TOO_LONG")
        if query not in self.queries:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        self.queries.discard(query)
        self.answered[query] = text
        return True

    def as_json(self, message: SentMessage) -> dict[str, Any]:
        """Return the Message object of one of the bot's own messages."""
        chat = self.chats[message.chat]
        edited = {"edit_date": int(message.edited_at)} if message.edited_at else {}
        name = "caption_entities" if message.kind else "entities"
        entities = {name: message.entities} if message.entities else {}
        thread = {"message_thread_id": message.thread, "is_topic_message": True} if message.thread else {}
        keyboard = {"reply_markup": {"inline_keyboard": message.keyboard}} if message.keyboard else {}
        return {
            "message_id": message.message_id,
            "from": self.bot_json(),
            "chat": chat.as_json(),
            "date": int(message.at),
            **_content(message),
            **edited,
            **entities,
            **thread,
            **keyboard,
        }

    def _reachable(self, params: dict[str, Any]) -> Chat:
        if "chat_id" not in params:
            raise bad("chat_id is empty")
        chat = self.chats.get(params["chat_id"])
        if chat is None:
            raise bad("chat not found")
        if chat.refusal is not None:
            raise chat.refusal
        return chat

    def _reply_target(self, chat: Chat, reply: Any) -> int | None:
        if reply is None:
            return None
        target = reply.get("message_id") if isinstance(reply, dict) else None
        if target in chat.messages or target in chat.others:
            assert isinstance(target, int)
            return target
        if isinstance(reply, dict) and reply.get("allow_sending_without_reply"):
            return None
        raise bad("message to be replied not found")


def _content(message: SentMessage) -> dict[str, Any]:
    if not message.kind:
        return {"text": message.text}
    file_id = f"file-{message.chat}-{message.message_id}"
    file: dict[str, Any] = {
        "file_id": file_id,
        "file_unique_id": f"u-{file_id}",
        "file_size": len(message.file),
    }
    caption = {"caption": message.text} if message.text else {}
    match message.kind:
        case "photo":
            return {"photo": photo_of(file_id), **caption}
        case "document":
            return {"document": {**file, "file_name": message.file_name}, **caption}
        case _:
            return {message.kind: {**file, "duration": 1}, **caption}


def _not_modified() -> ApiError:
    return bad(
        "message is not modified: specified new message content and reply markup are exactly "
        "the same as a current content and reply markup of the message"
    )


def _number(update: Any) -> int:
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if isinstance(number, int) else 0


def _allowed(update: Any, allowed: list[str] | None) -> bool:
    if allowed is None or not isinstance(update, dict):
        return True
    kinds = update.keys() - {"update_id"}
    known = {
        "message",
        "edited_message",
        "callback_query",
        "my_chat_member",
        "channel_post",
        "stopped_message_generation",
    }
    return not kinds & known or bool(kinds & set(allowed))
