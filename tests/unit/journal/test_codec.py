"""The codec: whatever was written comes back equal; what can't be read says so."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.errors import JournalCorrupt
from clawd.journal import codec
from clawd.journal.base import ConversationSettings
from clawd.journal.records import (
    VERSION,
    ModelIntent,
    ModelResult,
    Record,
    SessionStarted,
    SettingsChanged,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnStarted,
)
from clawd.messages import Address, Audio, Earlier, File, Image, InboundMessage, MessageId, Sender, Text
from clawd.response import ModelAttempt, ModelResponse, ToolCall, Usage

# Any Python string: lone surrogates and NUL come from broken clients and must not stop a conversation.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
maybe_text = st.none() | texts
counts = st.integers(0, 2**53)
maybe_count = st.none() | counts
seconds = st.floats(0, 1e9, allow_nan=False)

addresses = st.builds(Address, bridge=texts, account=texts, chat=texts, thread=maybe_text)
parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Image, ref=texts, mime=maybe_text, size=maybe_count),
    st.builds(Audio, ref=texts, mime=maybe_text, size=maybe_count, duration_s=st.none() | seconds),
    st.builds(File, ref=texts, name=maybe_text, mime=maybe_text, size=maybe_count),
)
moments = st.builds(
    lambda ms, zone: datetime(2000, 1, 1, tzinfo=zone) + timedelta(milliseconds=ms),
    st.integers(0, 3_000_000_000_000),
    st.sampled_from([UTC, timezone(timedelta(hours=8))]),
)
messages = st.builds(
    InboundMessage,
    id=texts.map(MessageId),
    address=addresses,
    sender=st.builds(Sender, id=texts, name=maybe_text, language=maybe_text),
    parts=st.lists(parts, max_size=4).map(tuple),
    sent_at=moments,
    group=st.booleans(),
    addressed=st.booleans(),
    digest=maybe_text,
    reference=maybe_text,
    context=st.none()
    | st.lists(
        st.builds(Earlier, role=st.sampled_from(["system", "user", "assistant"]), text=texts), max_size=3
    ).map(tuple),
)
usages = st.builds(Usage, input_tokens=maybe_count, output_tokens=maybe_count, cached_tokens=maybe_count)
attempts = st.builds(
    ModelAttempt,
    model=texts,
    outcome=texts,
    detail=texts,
    duration_s=seconds,
    first_token_s=st.none() | seconds,
    usage=usages,
)
responses = st.builds(
    ModelResponse,
    model=texts,
    text=texts,
    tool_calls=st.lists(st.builds(ToolCall, id=texts, name=texts, arguments=texts), max_size=3).map(tuple),
    finish=st.sampled_from(["stop", "length", "tool_calls", "filtered"]),
    usage=usages,
    attempts=st.lists(attempts, max_size=3).map(tuple),
)
effects = st.sampled_from(["pure", "idempotent", "keyed", "once"])
records = st.one_of(
    st.builds(TurnStarted, owner=texts, attempt=counts),
    st.builds(ModelIntent, step=counts, route=texts, pin=maybe_text, reserve_usd=st.none() | seconds),
    st.builds(ModelResult, step=counts, response=responses),
    st.builds(ToolIntent, step=counts, call_id=texts, name=texts, arguments=texts, effect=effects),
    st.builds(
        ToolDone,
        step=counts,
        call_id=texts,
        name=texts,
        text=texts,
        outcome=st.sampled_from(["ok", "error", "unknown"]),
        duration_s=seconds,
    ),
    st.builds(SessionStarted, session=counts),
    st.builds(SettingsChanged, model=maybe_text, language=maybe_text),
    st.builds(
        TurnFinished,
        outcome=st.sampled_from(["answered", "failed", "cancelled", "dead"]),
        text=texts,
        answers=st.lists(counts, max_size=4).map(tuple),
        model=maybe_text,
        error=maybe_text,
        exit_code=st.integers(0, 255),
    ),
)

MESSAGE = InboundMessage(
    id=MessageId("m"),
    address=Address(bridge="b", account="a", chat="c"),
    sender=Sender(id="1"),
    parts=(Text("hi"),),
    sent_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@given(records)
def test_a_record_comes_back_equal(record: Record) -> None:
    body = codec.encode_record(record)
    body.encode()  # SQLite takes UTF-8 only
    assert codec.decode_record(record.kind, VERSION, body) == record


@given(messages)
def test_a_message_comes_back_equal(message: InboundMessage) -> None:
    body = codec.encode_message(message)
    body.encode()
    assert codec.decode_message(codec.MESSAGE_VERSION, body) == message


@given(maybe_text, maybe_text, counts, counts)
def test_settings_come_back_equal(model: str | None, language: str | None, session: int, seq: int) -> None:
    settings = ConversationSettings(model=model, language=language, session=session, session_seq=seq)
    assert codec.decode_settings(codec.encode_settings(settings)) == settings


@given(texts, st.sampled_from(["reply", "failed", "push"]), counts, maybe_text, maybe_text)
def test_a_delivery_comes_back_equal(text: str, kind: str, n: int, to: str | None, ref: str | None) -> None:
    body = codec.DeliveryBody(text=text, kind=kind, parts=n, in_reply_to=to, reference=ref)  # type: ignore[arg-type]
    assert codec.decode_delivery(codec.DELIVERY_VERSION, codec.encode_delivery(body)) == body


@given(
    st.recursive(
        st.none() | st.booleans() | counts | texts, lambda x: st.lists(x) | st.dictionaries(texts, x)
    )
)
def test_any_other_json_is_corrupt_and_nothing_else(value: object) -> None:
    for read in (
        lambda body: codec.decode_record("llm.result", VERSION, body),
        lambda body: codec.decode_message(codec.MESSAGE_VERSION, body),
        codec.decode_settings,
    ):
        with pytest.raises(JournalCorrupt):
            read(json.dumps(value))


@given(st.text(max_size=20))
def test_text_that_is_not_json_is_corrupt(body: str) -> None:
    with pytest.raises(JournalCorrupt):
        codec.decode_record("llm.result", VERSION, body)


def test_an_older_row_without_a_newer_optional_field_is_read() -> None:
    body = '{"model":"m","text":"t"}'
    read = codec.decode_record("llm.result", VERSION, '{"step":1,"response":' + body + "}")
    assert read == ModelResult(step=1, response=ModelResponse(model="m", text="t"))


def test_text_is_stored_readably() -> None:
    assert '"你好"' in codec.encode_message(replace(MESSAGE, parts=(Text("你好"),)))


@pytest.mark.parametrize("kind", ["unknown.kind", "", "accepted"])
def test_an_unknown_kind_is_corrupt(kind: str) -> None:
    with pytest.raises(JournalCorrupt) as caught:
        codec.decode_record(kind, VERSION, "{}", row_id=7)
    assert caught.value.row_id == 7


def test_an_unknown_version_is_corrupt_whatever_it_contains() -> None:
    for read in (
        lambda: codec.decode_record("session.started", VERSION + 1, '{"session":1}'),
        lambda: codec.decode_message(codec.MESSAGE_VERSION + 1, codec.encode_message(MESSAGE)),
        lambda: codec.decode_delivery(codec.DELIVERY_VERSION + 1, '{"text":"","kind":"push"}'),
        lambda: codec.decode_settings('{"v":2,"session":1,"session_seq":0}'),
    ):
        with pytest.raises(JournalCorrupt, match="format"):
            read()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("session.started", '{"session":"1"}'),
        ("session.started", '{"session":true}'),
        ("session.started", '{"session":1,"other":2}'),
        ("session.started", "{}"),
        ("turn.finished", '{"outcome":"won","text":"","answers":[]}'),
        ("turn.finished", '{"outcome":"dead","text":"","answers":1}'),
        ("tool.result", '{"step":1,"call_id":"","name":"","text":"","duration_s":"x"}'),
    ],
)
def test_a_field_of_another_type_is_corrupt(kind: str, body: str) -> None:
    with pytest.raises(JournalCorrupt, match="another shape"):
        codec.decode_record(kind, VERSION, body)
