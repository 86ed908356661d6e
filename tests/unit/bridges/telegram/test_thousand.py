"""A thousand generated answers go out by the rules of the strict fake: none is refused, none loses a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from bridges.telegram.config import Format
from bridges.telegram.lean import Bot
from bridges.telegram.outbound import rung_of
from bridges.telegram.session import Session
from bridges.telegram.units import TEXT_LIMIT, utf16_len
from clawd.config.schema import NetworkConfig
from clawd.delivery.split import split_reply
from clawd.messages import BridgeCapabilities
from tests.fakes.bot_api import TOKEN
from tests.fakes.bot_api_rules import read_params
from tests.fakes.bot_api_world import SentMessage, World
from tests.fakes.markdown_texts import Sample, bare, sample
from tests.fakes.telegram import outbound
from tests.seeds import seeded

if TYPE_CHECKING:
    from bridges.telegram.outbound import Rung

CHAT = 7
CAPABILITIES = BridgeCapabilities(text_limit=TEXT_LIMIT, text_unit="utf16")


class Server:
    """The fake's rules and world without its network; a refusal is an ApiError."""

    def __init__(self) -> None:
        self._session = Session("http://fake", NetworkConfig(), timeout_s=1, user_agent="test")
        self._bot = Bot(TOKEN, session=self._session)
        self.world = World(1, "bot")
        self.chat = self.world.chat(CHAT)

    def take(self, rung: Rung) -> SentMessage:
        """Return what people see of a request."""
        method = rung.method()
        name = method.__api_method__
        body: dict[str, Any] = self._session._json(
            method.model_dump(warnings=False, exclude_none=True), self._bot
        )
        params = read_params(name, body["json"])
        sent = self.world.send_rich(params) if name == "sendRichMessage" else self.world.send(params)
        return self.chat.messages[sent["message_id"]]

    def answer(self, source: str, form: Format) -> list[SentMessage]:
        """Return the messages that a reply becomes."""
        return [self.take(rung_of(outbound(part), form)) for part in split_reply(source, CAPABILITIES)]


@pytest.mark.parametrize("form", ["auto", "rich", "plain"])
def test_a_thousand_answers_are_accepted_and_read_as_they_should(form: Format) -> None:
    server = Server()
    for seed in range(1000 if form == "auto" else 100):
        made = sample(seeded(seed))
        messages = server.answer(made.source, form)
        whole = "\n".join(message.text for message in messages)
        raw = form == "plain" or any(message.rich for message in messages)
        if not raw:
            assert bare(whole) == bare(made.text), f"seed {seeded(seed)}"
        elif form == "plain":
            assert whole.split() == made.source.split(), f"seed {seeded(seed)}"


def everything(chars: int) -> Sample:
    """Return an answer with all kinds of blocks, of at least this length."""
    made: list[Sample] = []
    seed = 10_000
    while sum(len(one.source) for one in made) < chars:
        made.append(sample(seed))
        seed += 1
    code = "\n".join(f"    line_{n} = {'😀' * 20!r}" for n in range(120))
    made.append(Sample(f"```python\n{code}\n```", code))
    return Sample("\n\n".join(one.source for one in made), "\n".join(one.text for one in made))


def test_a_long_answer_with_everything_in_it_is_cut_by_the_rules() -> None:
    server, made = Server(), everything(10_000)
    messages = server.answer(made.source, "auto")
    assert len(messages) >= 4
    assert all(utf16_len(message.text) <= TEXT_LIMIT for message in messages)
    assert bare("\n".join(message.text for message in messages)) == bare(made.text)
    code = [message for message in messages if re.search(r"line_\d+ = ", message.text)]
    assert len(code) >= 2, "the code was cut"
    for message in code:
        (pre, *_) = [e for e in reversed(message.entities) if e["type"] == "pre"]
        assert pre["language"] == "python"
