"""How a conversation becomes one prompt: the templates of model type `completion`. Pure.

Source: `chatml` is the template of Qwen, SmolLM and many others, `llama3` that of Meta's model cards (its
`<|begin_of_text|>` is added by the servers).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from clawd.messages import Text
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.messages import Part
    from clawd.models.base import ChatMessage
    from clawd.models.completion_config import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A template: what stands around each text, what begins the answer, and what ends it."""

    before: Mapping[str, str]  # by role
    after: str
    begin: str  # the answer
    stop: tuple[str, ...]  # at most four: OpenAI takes no more
    marks: re.Pattern[str] | None  # in a text they would speak in another's name


_PLAIN: Final = {"system": "", "user": "User: ", "assistant": "Assistant: "}
_ROLES: Final = ("system", "user", "assistant")
FORMS: Final[Mapping[Template, Form]] = {
    "plain": Form(
        before=_PLAIN,
        after="\n\n",
        begin="Assistant:",
        stop=("\nUser:", "\nSystem:"),
        marks=re.compile(r"^(?=(?:User|Assistant|System):)", re.MULTILINE),
    ),
    "chatml": Form(
        before={role: f"<|im_start|>{role}\n" for role in _ROLES},
        after="<|im_end|>\n",
        begin="<|im_start|>assistant\n",
        stop=("<|im_end|>", "<|im_start|>"),
        marks=re.compile(r"(?<=<)(?=\|[a-z_]{1,40}\|>)"),
    ),
    "llama3": Form(
        before={role: f"<|start_header_id|>{role}<|end_header_id|>\n\n" for role in _ROLES},
        after="<|eot_id|>",
        begin="<|start_header_id|>assistant<|end_header_id|>\n\n",
        stop=("<|eot_id|>", "<|start_header_id|>"),
        marks=re.compile(r"(?<=<)(?=\|[a-z_]{1,40}\|>)"),
    ),
    "none": Form(before={}, after="\n\n", begin="", stop=(), marks=None),
}


def render(messages: Sequence[ChatMessage], template: Template) -> str:
    """Return the prompt; a text that holds the template's marks has a space put into them.

    With `none` the texts stand one after the other, without roles, and the last is what the model goes on with.
    """
    form = FORMS[template]
    rendered = "".join(
        f"{form.before.get(role, '')}{_harmless(text, form)}{form.after}"
        for role, text in map(_said, messages)
        if text
    )
    if template == "none":
        return rendered.removesuffix(form.after)
    return rendered + form.begin


def _harmless(text: str, form: Form) -> str:
    return text if form.marks is None else form.marks.sub(" ", text)


def _said(message: ChatMessage) -> tuple[str, str]:
    """Return the role and the text of a message."""
    match message:
        case SystemMessage(text=text):
            return "system", text
        case UserMessage(parts=parts):
            return "user", "\n".join(_word(part) for part in parts)
        case AssistantMessage(text=text):
            return "assistant", text
        case ToolMessage(name=name, text=text):  # a model without tools is told of them as text
            return "user", f"[result of {name}: {text}]"
        case _:
            assert_never(message)


def _word(part: Part) -> str:
    return part.text if isinstance(part, Text) else f"[{type(part).__name__.lower()}]"
