"""How many tokens a text takes, without a tokenizer: an estimate that errs on the high side. Pure.

What a tokenizer makes of a text depends on little more than its runs of letters, its digits and its
characters outside ASCII. The weights below were set against real vocabularies; see docs/memory.md for the
measured ratios and `tests/unit/models/test_tokens.py` for the check against the bundled model's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, assert_never

from clawd.messages import Text, text_of
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage
from clawd.models.pictures import is_shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clawd.tools.base import ToolSpec

VocabularySize = Literal["large", "small"]
"""Of a model: `large` has 100,000 tokens and more, `small` about 50,000, mostly English."""

_MESSAGE: Final = 6  # the marks around a message, its role, and the start of the answer
_CALL: Final = 14  # the JSON around a tool call, without its id
_PICTURE: Final = (
    1600  # Source: Anthropic, "Vision": width * height / 750, after scaling; OpenAI's tiles: 1,445
)
_WORD: Final = 3  # stands for a picture that the model is not shown, and for any other file
_TOOL: Final = 40  # the JSON around an offered tool

_RUN: Final = re.compile(r"[a-z]+|[A-Z]+")
_LONG: Final = 13  # letters; few words of any language are longer, so such a run is data
_REPEATED: Final = re.compile(r"([^\w\s])\1{7,}")
_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
_DIGIT: Final = re.compile(r"[0-9]")
_NUMBER: Final = re.compile(r"\s(?=[0-9])")  # white space in front of a number is a token of its own
_CLUSTER: Final = re.compile(r"[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]{4,}")  # rare in the words of any language
_SPACE: Final = re.compile(r"[\n\r]+|\t| {2,}")
_IDEOGRAPH: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
_HANGUL: Final = re.compile(r"[\uac00-\ud7af\u1100-\u11ff\u3130-\u318f]")
_TWO_BYTES: Final = re.compile(r"[\x80-\u02ff\u0370-\u07ff]")
_THREE_BYTES: Final = re.compile(r"[\u0300-\u036f\u0800-\u33ff\ua000-\uabff\ud7b0-\uf8ff\ufb00-\uffff]")
_COMMON: Final = bytes(range(0xB0, 0xD8))  # lead bytes of GB 2312's first level: the 3,755 common ideographs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """Tokens of one character, or of one run of letters."""

    lower: float  # of each letter behind the first of a run
    upper: float
    long: float  # of each letter of a run that is too long for a word
    cluster: float  # of each letter of four consonants in a row, beside the above
    punctuation: float
    common: float
    rare: float
    hangul: float
    two_bytes: float
    three_bytes: float
    four_bytes: float


_WEIGHTS: Final[dict[VocabularySize, _Weights]] = {
    "large": _Weights(
        lower=0.13,
        upper=0.35,
        long=0.35,
        cluster=0.45,
        punctuation=0.75,
        common=1.2,
        rare=2.4,
        hangul=1.3,
        two_bytes=0.9,
        three_bytes=1.5,
        four_bytes=3.0,
    ),
    "small": _Weights(
        lower=0.17,
        upper=0.5,
        long=0.42,
        cluster=0.5,
        punctuation=0.9,
        common=1.8,
        rare=2.8,
        hangul=3.0,
        two_bytes=1.3,
        three_bytes=2.0,
        four_bytes=3.2,
    ),
}


def estimate_text(text: str, vocabulary: VocabularySize = "large") -> int:
    """Return about how many tokens a text takes, rather too many than too few.

    Args:
        text: Any text.
        vocabulary: Of the model that reads it.
    """
    if not text:
        return 0
    weights = _WEIGHTS[vocabulary]
    total = 0.0
    if len(text) > 8 and _REPEATED.search(text):
        total += sum(len(run.group()) / 8 for run in _REPEATED.finditer(text))
        text = _REPEATED.sub("", text)
    for run in _RUN.findall(text):
        letters = len(run)
        if letters >= _LONG:
            total += weights.long * letters
        else:
            total += 1 + (letters - 1) * (weights.lower if run >= "a" else weights.upper)
    total += len(_DIGIT.findall(text)) + weights.punctuation * len(_PUNCTUATION.findall(text))
    total += len(_SPACE.findall(text)) + len(_NUMBER.findall(text))
    total += weights.cluster * sum(map(len, _CLUSTER.findall(text)))
    if not text.isascii():
        total += _outside_ascii(text, weights)
    return int(total) + 1


def _outside_ascii(text: str, weights: _Weights) -> float:
    ideographs = "".join(_IDEOGRAPH.findall(text))
    leads = ideographs.encode("gb2312", "ignore")[::2]
    common = len(leads) - len(leads.translate(None, _COMMON))
    hangul = len(_HANGUL.findall(text))
    two_bytes = len(_TWO_BYTES.findall(text))
    three_bytes = len(_THREE_BYTES.findall(text)) - hangul
    four_bytes = sum(character > "\uffff" for character in text)
    return (
        weights.common * common
        + weights.rare * (len(ideographs) - common)
        + weights.hangul * hangul
        + weights.two_bytes * two_bytes
        + weights.three_bytes * max(0, three_bytes)
        + weights.four_bytes * four_bytes
    )


def estimate_message(message: ChatMessage, vocabulary: VocabularySize = "large") -> int:
    """Return about how many tokens a message takes in a request, its marks included."""
    match message:
        case SystemMessage(text=text):
            return _MESSAGE + estimate_text(text, vocabulary)
        case UserMessage(parts=parts):
            others = sum(_PICTURE if is_shown(p) else _WORD for p in parts if not isinstance(p, Text))
            return _MESSAGE + others + estimate_text(text_of(parts), vocabulary)
        case AssistantMessage(text=text, tool_calls=calls, thinking=thinking):
            return (
                _MESSAGE
                + estimate_text(text, vocabulary)
                + sum(estimate_text(t.text + t.signature + t.data, vocabulary) for t in thinking)
                + sum(
                    _CALL
                    + estimate_text(call.id, vocabulary)
                    + estimate_text(call.name, vocabulary)
                    + estimate_text(call.arguments, vocabulary)
                    for call in calls
                )
            )
        case ToolMessage(call_id=call_id, name=name, text=text):
            names = estimate_text(call_id, vocabulary) + estimate_text(name, vocabulary)
            return _MESSAGE + names + estimate_text(text, vocabulary)
        case _:
            assert_never(message)


def estimate_tools(tools: Iterable[ToolSpec], vocabulary: VocabularySize = "large") -> int:
    """Return about how many tokens the offered tools take."""
    return sum(_estimate_tool(tool, vocabulary) for tool in tools)


# By identity, with the tool itself held, so that no other can have its id: schemas can't be hashed, and the same
# few tools are offered with every request.
_tools_known: dict[tuple[int, VocabularySize], tuple[ToolSpec, int]] = {}
_MAX_TOOLS_KNOWN: Final = 500


def _estimate_tool(tool: ToolSpec, vocabulary: VocabularySize) -> int:
    known = _tools_known.get((id(tool), vocabulary))
    if known is not None:
        return known[1]
    schema = json.dumps(dict(tool.parameters), ensure_ascii=False)
    texts = (tool.name, tool.description, schema)
    tokens = _TOOL + sum(estimate_text(text, vocabulary) for text in texts)
    if len(_tools_known) >= _MAX_TOOLS_KNOWN:  # after many reloads
        _tools_known.clear()
    _tools_known[id(tool), vocabulary] = (tool, tokens)
    return tokens


class TokenCounter:
    """Estimates messages, each only once: a context that grows by a message costs that message.

    Args:
        vocabulary: Of the model that reads them.
        factor: What has been learnt of this model: at least 1.
    """

    def __init__(self, vocabulary: VocabularySize = "large", factor: float = 1.0) -> None:
        self._vocabulary: VocabularySize = vocabulary
        self._factor = factor
        self._known: dict[ChatMessage, int] = {}

    def text(self, text: str) -> int:
        """Return the estimate of a text."""
        return self._raised(estimate_text(text, self._vocabulary))

    def message(self, message: ChatMessage) -> int:
        """Return the estimate of a message."""
        known = self._known.get(message)
        if known is None:
            known = self._known[message] = estimate_message(message, self._vocabulary)
        return self._raised(known)

    def messages(self, messages: Iterable[ChatMessage]) -> int:
        """Return the estimate of messages together."""
        return sum(map(self.message, messages))

    def tools(self, tools: Iterable[ToolSpec]) -> int:
        """Return the estimate of the offered tools."""
        return self._raised(estimate_tools(tools, self._vocabulary))

    def cut(self, text: str, max_tokens: int, note: str) -> str:
        """Return the text within an estimate; one that is longer loses its middle.

        Args:
            text: Any text.
            max_tokens: Greatest estimate of the result.
            note: Stands where something was taken out; `{left_out}` is the number of characters. Alone
                if there is room for no more.
        """
        estimate = self.text(text)
        if estimate <= max_tokens:
            return text
        keep = int(len(text) * max_tokens / estimate)
        while keep > 0:
            head = keep * 2 // 3
            tail = keep - head
            short = f"{text[:head]}{note.format(left_out=len(text) - keep)}{text[len(text) - tail :]}"
            estimate = self.text(short)
            if estimate <= max_tokens:
                return short
            keep = min(keep - 1, int(keep * max_tokens / estimate) - 1)
        return note.format(left_out=len(text)).strip()

    def _raised(self, estimate: int) -> int:
        return estimate if self._factor == 1.0 else int(estimate * self._factor) + 1
