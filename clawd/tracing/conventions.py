"""Every name that spans and their attributes have outside: the one table. docs/tracing.md tells it to people.

What is not in here is not sent: addresses, people's ids, platforms' ids of messages, and words stay here.

Source: OpenTelemetry semantic conventions for generative AI, spans of inference, agents and tools
(status: development). What they have no name for begins with `clawd.`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.journal.spans import SpanKind

AGENT: Final = "clawd"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_VERSION: Final = "gen_ai.agent.version"
CONVERSATION: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CLOCK_SET: Final = "clawd.clock_set"
MODEL: Final = "clawd.model"
OUTCOME: Final = "clawd.outcome"
QUEUE: Final = "clawd.queue"

# With `content: true` alone.
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
QUESTION_SUBJECT: Final = "clawd.question.subject"

# The resource.
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE: Final = "service.instance.id"

SpanName = Literal[
    "invoke_agent",
    "chat",
    "execute_tool",
    "clawd.queue",
    "clawd.question",
    "clawd.delivery",
    "clawd.delivery.attempt",
]

SPANS: Final[Mapping[SpanKind, SpanName]] = MappingProxyType(
    {
        "turn": "invoke_agent",  # and the agent's name behind it
        "queue": "clawd.queue",
        "model": "chat",  # and the model's
        "tool": "execute_tool",  # and the tool's
        "question": "clawd.question",
        "delivery": "clawd.delivery",  # inside of it clawd.delivery.attempt
    }
)
OPERATIONS: Final = frozenset({"invoke_agent", "chat", "execute_tool"})
"""Spans that have the convention's operation, and a name behind it."""

_USAGE: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cost_usd": "clawd.cost_usd",
}
_STEP: Final = {"step": "clawd.step", "claim": "clawd.claim", "outcome": OUTCOME}

ATTRIBUTES: Final[Mapping[SpanKind, Mapping[str, str]]] = MappingProxyType(
    {
        "turn": {
            **_USAGE,
            "turn": "clawd.turn",
            "bridge": "clawd.bridge",
            "outcome": OUTCOME,
            "model": MODEL,
            "claims": "clawd.claims",
            "merged": "clawd.merged",
            "committed_s": "clawd.committed_s",
            "exit_code": "clawd.exit_code",
        },
        "queue": {
            "claim": "clawd.claim",
            "turn": "clawd.merged_turn",
            "merged_into": "clawd.merged_into",
        },
        "model": {
            **_USAGE,
            **_STEP,
            "model": MODEL,
            "purpose": "clawd.purpose",
            "first_token_s": "gen_ai.response.time_to_first_chunk",
            "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
            "possible_usd": "clawd.possible_usd",
        },
        "tool": {**_STEP, "call_id": "gen_ai.tool.call.id", "effect": "clawd.effect"},
        "question": {
            "step": "clawd.step",
            "about": "clawd.question.about",
            "answer": "clawd.question.answer",
            "why": "clawd.question.why",
        },
        "delivery": {
            "delivery": "clawd.delivery",
            "part": "clawd.part",
            "bridge": "clawd.bridge",
            "state": "clawd.state",
            "attempt": "clawd.attempt",
        },
    }
)
"""Attributes of our own spans (`clawd.journal.spans.Span`) by kind, and what they are called outside."""

FINISHES: Final[Mapping[str, str]] = MappingProxyType({"filtered": "content_filter"})
"""Ends of an answer that are called otherwise outside."""

PROVIDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "api.anthropic.com": "anthropic",
        "api.openai.com": "openai",
        "openai.azure.com": "azure.ai.openai",
        "models.inference.ai.azure.com": "azure.ai.inference",
        "amazonaws.com": "aws.bedrock",
        "api.cohere.com": "cohere",
        "api.deepseek.com": "deepseek",
        "generativelanguage.googleapis.com": "gcp.gemini",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
        "api.groq.com": "groq",
        "api.mistral.ai": "mistral_ai",
        "api.perplexity.ai": "perplexity",
        "api.x.ai": "x_ai",
    }
)
"""Providers by their host, or by the domain that their hosts end in."""

FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {"chat": "openai", "completion": "openai", "responses": "openai", "anthropic": "anthropic"}
)
"""Other hosts are called by the format that they speak; further types of models are called `clawd.TYPE`."""


def provider_of(type_: str, host: str) -> str:
    """Return the provider of a model of this type, reached at this host."""
    for domain, name in PROVIDERS.items():
        if host == domain or host.endswith(f".{domain}"):
            return name
    return FORMATS.get(type_, f"clawd.{type_}")
