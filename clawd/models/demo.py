"""Model type `demo`: no model at all. It lets everything around a model be tried without one.

Its answers depend on nothing but the request, begin with a label, stream in pieces, and use the
calculator when the question holds a sum and the tool is offered.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Final, Literal

from clawd.config.schema import ModelConfig
from clawd.messages import text_of
from clawd.models.base import (
    Completed,
    ManagedProvider,
    ModelContext,
    ModelPlugin,
    ModelResponse,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelRequest

LABEL: Final = "(demo model, no model is configured: run clawd init)"
CALCULATOR: Final = "calculator"

_SUM = re.compile(r"\d[\d.]*(?:\s*[-+*/]\s*\d[\d.]*)+")
_PIECE = 12  # characters per delta


class DemoConfig(ModelConfig):
    """The demo model; it has no settings."""

    type: Literal["demo"] = "demo"


class DemoProvider:
    """See `ModelProvider` and `ManagedProvider` for what its methods promise."""

    def __init__(self, _context: ModelContext, config: DemoConfig) -> None:
        self.name = config.name
        self.model = "demo"
        self.place = "built in"
        self.offers_tools = True

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        text, calls = _answer(request)
        for start in range(0, len(text), _PIECE):
            yield TextDelta(text[start : start + _PIECE])
            await asyncio.sleep(0)
        yield Completed(
            ModelResponse(
                model=self.name,
                text=text,
                tool_calls=calls,
                finish="tool_calls" if calls else "stop",
                usage=Usage(input_tokens=_words(request), output_tokens=len(text.split())),
            )
        )

    async def probe(self) -> str:
        return "demo is built in and always answers"

    async def close(self) -> None:
        """Nothing is open."""


def _answer(request: ModelRequest) -> tuple[str, tuple[ToolCall, ...]]:
    last = request.messages[-1] if request.messages else SystemMessage("")
    if isinstance(last, ToolMessage):
        return f"{LABEL} The {last.name} says: {last.text}", ()
    asked = next((m for m in reversed(request.messages) if isinstance(m, UserMessage)), None)
    question = text_of(asked.parts) if asked else ""
    offered = next((tool for tool in request.tools if tool.name == CALCULATOR), None)
    found = _SUM.search(question)
    if offered is None or found is None:
        return f"{LABEL} You said: {question}", ()
    required = offered.parameters.get("required")
    field = required[0] if isinstance(required, list) and required else "expression"
    # One id per place in the conversation, so that no two calls of a turn share theirs.
    call_id = f"demo_{len(request.messages)}"
    return "", (ToolCall(id=call_id, name=CALCULATOR, arguments=json.dumps({str(field): found.group()})),)


def _words(request: ModelRequest) -> int:
    return sum(len(text_of(m.parts).split()) for m in request.messages if isinstance(m, UserMessage))


def create(context: ModelContext, config: DemoConfig) -> ManagedProvider:
    """Return the provider."""
    return DemoProvider(context, config)


PLUGIN = ModelPlugin(type="demo", config=DemoConfig, create=create)
