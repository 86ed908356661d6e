"""What a Feishu message says. Pure. Source: open.feishu.cn, "Message content"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridges.webhook.envelope import Rejected
from bridges.webhook.fields import Fields
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue


def text_of(payload: JsonObject) -> tuple[str, bool]:
    """Return the text of an event, empty for kinds that have none, and whether a bot is mentioned in it.

    People are mentioned by `@_user_1` and the like, which become their names; that of a bot is left out.

    Raises:
        Rejected: 400 for content that is not as it should be.
    """
    event = Fields(payload)
    kind = event.may("/event/message/message_type")
    if kind not in ("text", "post"):
        return "", False
    try:
        content = parse_object(event.need("/event/message/content").encode())
    except BadJson as error:
        raise Rejected(400, "bad_request", f"/event/message/content: {error}") from error
    text = Fields(content).may("/text") if kind == "text" else _post(content)
    mentioned = False
    # The last first: @_user_1 is the beginning of @_user_10.
    for n in reversed(range(min(event.count("/event/message/mentions"), 100))):
        key = event.may(f"/event/message/mentions/{n}/key")
        kind = event.may(f"/event/message/mentions/{n}/mentioned_type")
        # Older events do not say who is a bot; most apps are sent only what mentions them.
        mentioned |= kind in ("", "bot")
        if key:
            name = event.may(f"/event/message/mentions/{n}/name")
            text = text.replace(key, "" if kind == "bot" else f"@{name}")
    return text.strip(), mentioned


def _post(content: JsonObject) -> str:
    """Return the lines of a rich text."""
    title = content.get("title")
    lines = [title] if isinstance(title, str) and title else []
    rows = content.get("content")
    if isinstance(rows, list):
        lines += ["".join(map(_element, row)) for row in rows if isinstance(row, list)]
    return "\n".join(lines)


def _element(element: JsonValue) -> str:
    if not isinstance(element, dict):
        return ""
    fields = Fields(element)
    match element.get("tag"):
        case "a":
            return f"{fields.may('/text')} ({fields.may('/href')})"
        case "at":
            return fields.may("/user_id")  # a key such as @_user_1, which becomes a name as in plain text
        case _:
            return fields.may("/text")
