from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from clawd.gateway.frames import FrameRefused, read_frame
from clawd.gateway.requests import (
    ApproveFrame,
    AuthFrame,
    CancelFrame,
    Frame,
    PingFrame,
    SendFrame,
    SubscribeFrame,
    UnsubscribeFrame,
)

KINDS = ("auth", "send", "subscribe", "unsubscribe", "cancel", "approve", "ping", "dance")
FIELDS = ("id", "token", "app_id", "conversation", "text", "after", "turn", "approval", "decision", "always")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.sampled_from(["c1", "approve", "deny"]),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def test_each_frame_is_read() -> None:
    texts = {
        '{"type":"auth","token":"t"}': AuthFrame(type="auth", token="t"),
        '{"type":"auth","id":"1","app_id":"a","token":"t"}': AuthFrame(
            type="auth", id="1", app_id="a", token="t"
        ),
        '{"type":"send","id":"1","conversation":"c","text":"hi"}': SendFrame(
            type="send", id="1", conversation="c", text="hi"
        ),
        '{"type":"subscribe","conversation":"c"}': SubscribeFrame(type="subscribe", conversation="c"),
        '{"type":"subscribe","conversation":"c","after":"0"}': SubscribeFrame(
            type="subscribe", conversation="c", after="0"
        ),
        '{"type":"unsubscribe","conversation":"c"}': UnsubscribeFrame(type="unsubscribe", conversation="c"),
        '{"type":"cancel","conversation":"c","turn":"t"}': CancelFrame(
            type="cancel", conversation="c", turn="t"
        ),
        '{"type":"approve","conversation":"c","approval":"a","decision":"approve","always":""}': ApproveFrame(
            type="approve", conversation="c", approval="a", decision="approve", always=""
        ),
        '{"type":"ping","id":null}': PingFrame(type="ping"),
    }
    assert [read_frame(text) for text in texts] == list(texts.values())


@given(st.one_of(st.text(), st.dictionaries(st.sampled_from(FIELDS), VALUES)), st.sampled_from(KINDS))
def test_whatever_comes_is_a_frame_or_is_refused(body: str | dict[str, object], kind: str) -> None:
    text = body if isinstance(body, str) else json.dumps({"type": kind, **body})
    with suppress(FrameRefused):  # anything else that is raised fails
        assert isinstance(read_frame(text), Frame)
