"""Whatever a client sends, the readers of bodies take it or name what is wrong, and nothing else happens."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawd.gateway.openai_agent_request import to_inbound
from clawd.gateway.openai_chat_request import read_chat
from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_models import Offered
from clawd.gateway.openai_passthrough import to_request
from clawd.gateway.openai_responses_request import read_responses
from clawd.gateway.token import Token
from clawd.testing import ScriptedModel
from tests.fakes.routing import router_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.gateway.openai_question import Question

EXAMPLES = 40
TOKEN = Token(name="t", scopes=frozenset({"chat"}), digest=b"")
NAMES = [
    "model",
    "messages",
    "input",
    "role",
    "content",
    "type",
    "text",
    "image_url",
    "url",
    "tools",
    "function",
    "name",
    "parameters",
    "tool_calls",
    "id",
    "arguments",
    "tool_call_id",
    "call_id",
    "output",
    "tool_choice",
    "response_format",
    "json_schema",
    "schema",
    "stream",
    "n",
    "stop",
    "stream_options",
    "include_usage",
    "metadata",
    "conversation_id",
    "instructions",
    "previous_response_id",
    "max_tokens",
]
WORDS = [
    "clawd",
    "main",
    "user",
    "system",
    "assistant",
    "tool",
    "text",
    "input_text",
    "image_url",
    "function",
    "function_call",
    "message",
    "auto",
    "function_call_output",
    "required",
    "json_schema",
    "https://x.invalid/a",
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(-1, 3)
    | st.sampled_from(WORDS)
    | st.text(max_size=3)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "tool"])},
        optional={"content": values, "tool_calls": values, "tool_call_id": values, "type": values},
    ),
    max_size=3,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(["clawd", "main"])},
    optional={name: values for name in NAMES if name not in ("model", "messages", "input")}
    | {"messages": messages | values, "input": messages | values},
)


@pytest.mark.parametrize("read", [read_chat, read_responses])
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies)
def test_a_body_is_taken_or_its_wrong_field_is_named(
    read: Callable[[dict[str, Any]], Question], body: dict[str, Any]
) -> None:
    with suppress(OpenAIRefused):
        question = read(body)
        to_request(question, Offered(router=router_over(ScriptedModel()), models=("main",), routes=()), TOKEN)
        to_inbound(question, b"", token=TOKEN, conversation=None, key=None, now=datetime.now(UTC))
