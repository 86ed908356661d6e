"""Estimates of tokens err on the high side: against the bundled model's real tokenizer, and by themselves."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.messages import Image, Text
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolCall, ToolMessage, UserMessage
from clawd.models.tokens import (
    TokenCounter,
    VocabularySize,
    estimate_message,
    estimate_text,
    estimate_tools,
)
from clawd.models.windows import ModelSize, Windows
from clawd.tools.calculator import CalculatorConfig, CalculatorTool
from tests.fakes.tokenizer import MISSING, real_tokenizer

ROOT = Path(__file__).parents[3]
DICE = random.Random(7)

# Text, and how many tokens a large vocabulary makes of it: the most that cl100k_base, o200k_base and Qwen's
# give, counted once with their own tokenizers.
LARGE = {
    "The quick brown fox jumps over the lazy dog. In the beginning nobody knew what would happen.": 19,
    "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的能以人类智能相似的方式做出反应的智能机器。该领域的研究包括机器人、语言识别、"
    "图像识别、自然语言处理和专家系统等。记忆口令是青鸾四十七，会议定于星期三下午三点在上海举行，请务必准时参加。": 145,
    "魑魅魍魉饕餮耄耋囹圄龃龉觊觎踟蹰蹉跎氤氲旖旎缱绻逶迤龘靐齉爨": 70,
    "1234567890" * 30: 300,
    "😀🎉👍🏽👨\u200d👩\u200d👧\u200d👦🇨🇳🚀✨❤️🤖🧠" * 4: 196,
}

SAMPLES = {
    "english": (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")[:6000],
    "chinese": next(text for text in LARGE if text.startswith("人工")),
    "code": (ROOT / "clawd" / "store" / "writer.py").read_text(encoding="utf-8")[:6000],
    "json": json.dumps([{"id": n, "name": f"user_{n}", "score": DICE.random()} for n in range(60)]),
    "digits": "".join(DICE.choice("0123456789") for _ in range(2000)),
    "numbers": " ".join(str(DICE.randrange(10 ** DICE.randrange(1, 9))) for _ in range(400)),
    "base64": base64.b64encode(DICE.randbytes(2000)).decode(),
    "hex": DICE.randbytes(1500).hex(),
    "emoji": next(text for text in LARGE if text.startswith("😀")),
    "russian": "Искусственный интеллект — это область информатики. Встреча назначена на среду. " * 5,
    "german": "Die Übergabe der Größenänderung für die Straßenbahn ist für Mittwoch geplant. " * 5,
    "japanese": "人工知能は、人間の知的能力をコンピュータ上で実現する技術です。" * 5,
    "korean": "인공지능은 인간의 학습능력과 추론능력을 컴퓨터 프로그램으로 실현한 기술이다. " * 5,
    "url": "https://example.com/path/to/some-resource?id=12345&token=abcDEF123xyz#section-2\n" * 10,
}


@pytest.mark.parametrize("text", LARGE, ids=lambda text: text[:8])
def test_an_estimate_is_not_below_what_large_vocabularies_make_of_a_text(text: str) -> None:
    assert LARGE[text] * 0.97 <= estimate_text(text) <= LARGE[text] * 1.8 + 5


@pytest.mark.skipif(bool(MISSING), reason=f"install: {MISSING}")
async def test_an_estimate_is_not_below_what_the_bundled_model_makes_of_a_text() -> None:
    ratios: dict[str, float] = {}
    async with real_tokenizer() as count:
        for name, text in SAMPLES.items():
            ratios[name] = estimate_text(text, "small") / await count(text)
    assert {name: ratio for name, ratio in ratios.items() if ratio < 0.97} == {}
    assert {name: ratio for name, ratio in ratios.items() if ratio > 1.8} == {}


@settings(deadline=None)
@given(st.text(max_size=300), st.sampled_from(["large", "small"]))
def test_every_text_has_an_estimate(text: str, vocabulary: VocabularySize) -> None:
    estimate = estimate_text(text, vocabulary)
    assert 0 <= estimate <= 4 * len(text.encode("utf-8", "replace")) + 1
    assert (estimate == 0) == (text == "")


@pytest.mark.parametrize("ref", ["https://h/cat.png", "data:image/png;base64,iVBO"])
def test_a_picture_counts_as_what_providers_take_it_for(ref: str) -> None:
    said = UserMessage((Text("what is this?"), Image(ref=ref)))
    assert 1_600 <= estimate_message(said) < 1_650
    only_its_platform_knows = UserMessage((Text("what is this?"), Image(ref="AgACAgIAAx")))
    assert estimate_message(only_its_platform_knows) < 20


def test_calls_names_and_tools_count() -> None:
    call = ToolCall(id="call_1", name="calculator", arguments='{"expression": "6*7"}')
    plain = estimate_message(AssistantMessage(text="hi"))
    assert estimate_message(AssistantMessage(text="hi", tool_calls=(call,))) > plain + 20
    assert estimate_tools([CalculatorTool(CalculatorConfig()).spec]) > 60


@settings(deadline=None)
@given(st.text(min_size=1, max_size=400), st.integers(16, 200))
def test_what_is_cut_fits_and_says_how_much_is_missing(text: str, most: int) -> None:
    counter = TokenCounter()
    short = counter.cut(text * 5, most, "[… {left_out} …]")
    assert counter.text(short) <= most
    assert short == text * 5 or "[… " in short


def test_a_message_that_was_seen_is_not_estimated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    original = estimate_text

    def counting(text: str, vocabulary: VocabularySize = "large") -> int:
        seen.append(text)
        return original(text, vocabulary)

    monkeypatch.setattr("clawd.models.tokens.estimate_text", counting)
    counter = TokenCounter()
    messages: list[ChatMessage] = [SystemMessage("be good")]
    for n in range(50):
        messages.append(UserMessage((Text(f"message {n}"),)))
        messages.append(ToolMessage(call_id="c", name="t", text=f"result {n}"))
        counter.messages(messages)
    assert len([text for text in seen if text.startswith(("message", "result", "be"))]) == 101


# --- windows -----------------------------------------------------------------------------------------------


def test_the_smallest_model_that_may_answer_decides() -> None:
    models = {
        "big": ModelSize(context_tokens=100_000, max_tokens=4000),
        "small": ModelSize(context_tokens=2048, max_tokens=200, vocabulary="small"),
        "unknown": ModelSize(),
    }
    windows = Windows(models, {"default": ("big", "unknown"), "summary": ("big",)})
    default = windows.of("default", None, unknown_tokens=32_000)
    assert (default.tokens, default.output, default.input) == (32_000, 8_000, 24_000)
    assert windows.of("summary", None, unknown_tokens=32_000).input == 96_000
    pinned = windows.of("default", "small", unknown_tokens=32_000)
    assert (pinned.input, pinned.vocabulary) == (1848, "small")
    assert windows.of("no such route", "gone", unknown_tokens=32_000) == default


def test_an_estimate_that_a_provider_counts_higher_is_raised_from_then_on() -> None:
    windows = Windows({"main": ModelSize(context_tokens=8000)}, {"default": ("main",)})

    def factor() -> float:
        return windows.of("default", None, unknown_tokens=1).factor

    windows.learn("main", 1000, 900)
    windows.learn("main", 1000, None)
    windows.learn("main", 40, 400)  # too short to tell
    assert factor() == 1.0
    windows.learn("main", 1000, 1300)
    assert factor() == pytest.approx(1.326)
    windows.learn("main", 1000, 500)
    assert factor() == pytest.approx(1.326)
    counter = windows.of("default", None, unknown_tokens=1).counter()
    assert counter.text("some words in a row " * 50) > 1.3 * estimate_text("some words in a row " * 50)
    windows.learn("main", 1000, 100_000)
    assert factor() == 3.0
