from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from clawd.gateway.approvals import Word
from clawd.gateway.frames import (
    Approve,
    Auth,
    Cancel,
    Frame,
    FrameRefused,
    Ping,
    Send,
    Subscribe,
    Unsubscribe,
    read_frame,
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
        '{"type":"auth","token":"t"}': Auth(ref=None, app_id=None, token="t"),
        '{"type":"auth","id":"1","app_id":"a","token":"t"}': Auth(ref="1", app_id="a", token="t"),
        '{"type":"send","id":"1","conversation":"c","text":"hi"}': Send(
            id="1", conversation="c", body={"text": "hi"}
        ),
        '{"type":"subscribe","conversation":"c"}': Subscribe(ref=None, conversation="c", after=None),
        '{"type":"subscribe","conversation":"c","after":"0"}': Subscribe(
            ref=None, conversation="c", after="0"
        ),
        '{"type":"unsubscribe","conversation":"c"}': Unsubscribe(ref=None, conversation="c"),
        '{"type":"cancel","conversation":"c","turn":"t"}': Cancel(ref=None, conversation="c", turn="t"),
        '{"type":"approve","conversation":"c","approval":"a","decision":"approve","always":""}': Approve(
            ref=None, conversation="c", approval="a", word=Word(kind="approve", always="")
        ),
        '{"type":"ping"}': Ping(ref=None),
    }
    assert [read_frame(text) for text in texts] == list(texts.values())


@given(st.one_of(st.text(), st.dictionaries(st.sampled_from(FIELDS), VALUES)), st.sampled_from(KINDS))
def test_whatever_comes_is_a_frame_or_is_refused(body: str | dict[str, object], kind: str) -> None:
    text = body if isinstance(body, str) else json.dumps({"type": kind, **body})
    with suppress(FrameRefused):  # anything else that is raised fails
        assert isinstance(read_frame(text), Frame)
