"""How a story is told: names of the table, ids that stay, and nothing that is nobody's business."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    QuestionAnswered,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnStarted,
    TurnWaiting,
)
from clawd.journal.story import Story
from clawd.models.info import ModelInfo
from clawd.observability.redact import Redactor
from clawd.response import ModelAttempt, ModelResponse, ToolCall, Usage
from clawd.tracing import conventions as names
from clawd.tracing.spans import SentSpan, trace_id_of
from clawd.tracing.telling import Surroundings, facts_of, tell
from clawd.tracing.wording import MAX_CONTENT, Wording
from tests.unit.journal.test_spans import TURN, at, outgoing, row, turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.journal.story import Entry, Outgoing

CALL = ToolCall(id="c1", name="shell", arguments='{"command": "whoami"}')
ASKED = ModelResponse(
    model="standby",
    text="",
    tool_calls=(CALL,),
    finish="tool_calls",
    attempts=(
        ModelAttempt(
            model="main",
            outcome="E-MODEL-DOWN",
            detail="HTTP 503: no room for hi",
            begun_at=at(1),
            duration_s=1,
        ),
        ModelAttempt(model="late", outcome="hedge", begun_at=at(2), duration_s=1),
        ModelAttempt(
            model="standby",
            outcome="ok",
            begun_at=at(2),
            duration_s=1,
            first_token_s=0.5,
            usage=Usage(input_tokens=9, output_tokens=3, cached_tokens=4),
            cost_usd=0.25,
        ),
    ),
)
ENTRIES = (
    row(0),
    row(1, TurnStarted(owner="me", attempt=1)),
    row(1, ModelIntent(step=1, route="default", model="main")),
    row(3, ModelResult(step=1, response=ASKED)),
    row(3, TurnWaiting(step=2, about="approval", name="shell", subject="whoami", deadline=at(99))),
    row(5, QuestionAnswered(step=2, approved=True, by="tg:4711")),
    row(5, TurnStarted(owner="me", attempt=1), claim=2),
    row(5, ToolIntent(step=2, call_id="c1", name="shell", arguments=CALL.arguments, effect="once"), claim=2),
    row(7, ToolDone(step=2, call_id="c1", name="shell", text="root", outcome="error", duration_s=2), claim=2),
    row(8, ToolDone(step=3, call_id="c2", name="made_up", text="no", outcome="error"), claim=2),
    row(
        9,
        ModelResult(step=4, response=ModelResponse(model="standby", text="hello", finish="filtered")),
        claim=2,
    ),
    row(9, TurnFinished(outcome="answered", text="hello", answers=(5,), model="standby"), claim=2),
)
MODELS = facts_of(
    [
        ModelInfo(
            name="main",
            type="anthropic",
            model="claude",
            place="https://api.anthropic.com",
            found="",
            routes=(),
        ),
        ModelInfo(
            name="standby", type="chat", model="gpt", place="http://127.0.0.1:8000/v1", found="", routes=()
        ),
        ModelInfo(name="late", type="demo", model="demo", place="here", found="", routes=()),
    ]
)


def around(*, content: bool = False) -> Surroundings:
    return Surroundings(models=MODELS, tools=("shell",), wording=Wording(Redactor(["hushhush"]), content))


def story(*out: Outgoing, entries: Sequence[Entry] = ENTRIES, now: float = 100.0) -> Story:
    view = turn(finished_s=max(entry.at for entry in entries).timestamp() - at(0).timestamp())
    return Story(turn=view, entries=entries, outgoing=out, merged=(), now=at(now))


def told(what: Story, *, content: bool = False) -> dict[str, list[SentSpan]]:
    found: dict[str, list[SentSpan]] = {}
    for span in tell(what, around(content=content), turn=True):
        found.setdefault(span.name, []).append(span)
    return found


def test_a_turn_is_told_in_the_words_of_the_conventions() -> None:
    spans = told(story(outgoing("sent", 9, 10, 12)))
    assert set(spans) == {
        "invoke_agent clawd",
        "clawd.queue",
        "chat claude",
        "chat demo",
        "chat gpt",
        "clawd.question",
        "execute_tool shell",
        "execute_tool other",
        "clawd.delivery",
        "clawd.delivery.attempt",
    }
    (root,), (failed,) = spans["invoke_agent clawd"], spans["chat claude"]
    assert root.attributes["gen_ai.conversation.id"] == "abcd-1"
    assert failed.attributes["gen_ai.provider.name"] == "anthropic"
    assert (failed.failed, failed.attributes["error.type"], failed.message) == (True, "E-MODEL-DOWN", "")
    (late,) = spans["chat demo"]
    assert (late.failed, late.attributes["clawd.outcome"]) == (False, "hedge")
    first, last = spans["chat gpt"]
    assert first.attributes["gen_ai.usage.input_tokens"] == 9
    assert first.attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert first.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert first.attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert (first.attributes["server.address"], first.attributes["server.port"]) == ("127.0.0.1", 8000)
    assert first.attributes["clawd.cost_usd"] == 0.25
    assert last.attributes["gen_ai.response.finish_reasons"] == ("content_filter",)
    (shell,) = spans["execute_tool shell"]
    assert (shell.attributes["gen_ai.tool.call.id"], shell.attributes["error.type"]) == ("c1", "error")


def test_neither_people_nor_words_are_in_it_by_default() -> None:
    text = repr(tell(story(outgoing("dead", 9, 10, 12)), around(), turn=True))
    for word in (
        "whoami",
        "hello",
        "'hi'",
        "4711",
        "hook:",
        "main:1",
        "no room",
        "made_up",
        "HTTP 400",
        "root'",
    ):
        assert word not in text, word


def test_with_content_the_words_are_there_clean_and_cut() -> None:
    entries = [*ENTRIES]
    entries[8] = row(
        7, ToolDone(step=2, call_id="c1", name="shell", text=f"hushhush {'y' * 50_000}"), claim=2
    )
    spans = told(story(entries=entries), content=True)
    (shell,), (failed,) = spans["execute_tool shell"], spans["chat claude"]
    assert shell.attributes[names.TOOL_ARGUMENTS] == CALL.arguments
    result = str(shell.attributes[names.TOOL_RESULT])
    assert result.startswith("*** yyy")
    assert (len(result), result[-1]) == (MAX_CONTENT, "…")
    assert failed.message == "HTTP 503: no room for hi"
    assert "whoami" in str(spans["chat gpt"][0].attributes[names.OUTPUT_MESSAGES])
    assert spans["clawd.question"][0].attributes[names.QUESTION_SUBJECT] == "whoami"


def test_a_secret_that_lies_across_the_cut_is_hidden_whole() -> None:
    clean = Wording(Redactor(["hushhush"]), content=True).text("x" * 250 + "hushhush", 256)
    assert "hush" not in clean


@pytest.mark.parametrize(
    "later",
    [
        (outgoing("pending", 9, None, None),),
        (outgoing("sending", 9, 10, None),),
        (outgoing("sent", 9, 10, 12),),
        (outgoing("sent", 2, 2, 90),),  # a preview that was begun in the middle of the turn
    ],
)
def test_ids_and_times_of_a_turn_stay_whatever_becomes_of_its_deliveries(later: tuple[Outgoing, ...]) -> None:
    first = {span.span_id: span for span in tell(story(now=9.5), around(), turn=True)}
    again = {
        span.span_id: span
        for span in tell(story(*later, now=5000), around(), turn=True)
        if not span.name.startswith("clawd.delivery")
    }
    assert first == again


def test_each_span_has_an_id_of_its_own_in_the_trace_of_its_turn() -> None:
    spans = tell(story(outgoing("sent", 9, 10, 12)), around(), turn=True)
    assert len({span.span_id for span in spans}) == len(spans)
    assert {span.trace_id for span in spans} == {trace_id_of(TURN)}
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span.parent_id)
    assert [span.name for span in spans if not span.parent_id] == ["invoke_agent clawd"]


def test_only_the_deliveries_that_are_asked_for_are_told() -> None:
    whole = story(outgoing("sent", 9, 10, 12))
    names_of = [span.name for span in tell(whole, around(), turn=False, deliveries=("delivery:abcd-7",))]
    assert names_of == ["clawd.delivery", "clawd.delivery.attempt"]
    assert not tell(whole, around(), turn=False, deliveries=("delivery:abcd-8",))
    assert not tell(story(outgoing("parked", 9, 10, None)), around(), turn=False)


def test_a_delivery_that_died_says_so_by_its_state_and_its_attempt_too() -> None:
    spans = told(story(outgoing("dead", 9, 10, 12)))
    assert [
        spans[name][0].attributes["error.type"] for name in ("clawd.delivery", "clawd.delivery.attempt")
    ] == [
        "dead",
        "dead",
    ]


@pytest.mark.parametrize(
    ("state", "error", "type_"),
    [
        ("failed", "E-MODELS: nobody answered", "E-MODELS"),
        ("dead", "it killed the process", "dead"),
        ("failed", "", "failed"),
        ("cancelled", "superseded", None),
        ("answered", "", None),
    ],
)
def test_a_turn_that_failed_says_why_in_one_word(state: str, error: str, type_: str | None) -> None:
    whole = story()
    assert whole.turn is not None
    view = replace(whole.turn, state=state, error=error)  # type: ignore[arg-type]
    (root,) = told(replace(whole, turn=view))["invoke_agent clawd"]
    assert root.attributes.get("error.type") == type_
    assert root.failed is (type_ is not None)


@pytest.mark.parametrize(
    ("type_", "place", "provider"),
    [
        ("chat", "https://api.openai.com/v1", "openai"),
        ("chat", "https://me.openai.azure.com/v1", "azure.ai.openai"),
        ("chat", "https://notapi.openai.com.example/v1", "openai"),
        ("anthropic", "http://[::1]:99999/", "anthropic"),
        ("local", "/models/a.gguf", "clawd.local"),
    ],
)
def test_a_provider_is_known_by_its_host_or_its_format(type_: str, place: str, provider: str) -> None:
    info = ModelInfo(name="m", type=type_, model="m", place=place, found="", routes=())
    assert facts_of([info])["m"].provider == provider
