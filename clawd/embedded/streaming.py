"""An answer as it comes: pieces of text, and at the end the whole of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from clawd.embedded.parsing import answer_of
from clawd.models.base import Switched, TextDelta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from clawd.embedded.parsing import Answer, SchemaLike
    from clawd.models.base import ModelEvent
    from clawd.response import ModelResponse


class Delta(str):
    """More text. `restart`: another model took over, and all text before this is void."""

    __slots__ = ("restart",)
    restart: bool

    def __new__(cls, text: str, *, restart: bool = False) -> Delta:
        delta = super().__new__(cls, text)
        delta.restart = restart
        return delta


class AnswerStream:
    """Yields `Delta`s, which are text; afterwards `answer` is the complete answer.

    The request starts with the first step and is broken off when the stream is closed, when its
    `async with` ends, or when nobody holds it any more.

    Args:
        start: Starts the request in the background and returns its future. The function that it is given takes
            each event, in any thread, and None at the end.
        schema: The form of the answer.
    """

    def __init__(
        self,
        start: Callable[[Callable[[ModelEvent | None], None]], Awaitable[Future[ModelResponse]]],
        schema: SchemaLike | None,
    ) -> None:
        self._start = start
        self._schema = schema
        self._future: Future[ModelResponse] | None = None
        # Not bounded: `max_response_bytes` of the model bounds what a slow reader leaves here.
        self._events: asyncio.Queue[ModelEvent | None] = asyncio.Queue()
        self._answer: Answer | None = None
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """The text that has come so far and is not void."""
        return "".join(self._pieces)

    @property
    def answer(self) -> Answer:
        """The complete answer; raises RuntimeError before the end."""
        if self._answer is None:
            raise RuntimeError("the answer is complete once the stream has ended")
        return self._answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        """Return the next piece; raises what `ainvoke` raises."""
        if self._future is None:
            self._future = await self._start(self._taker())
        while self._answer is None and not self._future.cancelled():
            event = await self._events.get()
            if event is None:
                self._answer = self._whole(self._future)
            elif isinstance(event, TextDelta):
                self._pieces.append(event.text)
                return Delta(event.text)
            elif isinstance(event, Switched) and self._pieces:
                self._pieces.clear()
                return Delta("", restart=True)
        raise StopAsyncIteration

    def _taker(self) -> Callable[[ModelEvent | None], None]:
        loop, events = asyncio.get_running_loop(), self._events  # not self: who drops the stream ends it

        def put(event: ModelEvent | None) -> None:
            with suppress(RuntimeError):  # the reader's loop is closed: nobody reads any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        return put

    def _whole(self, future: Future[ModelResponse]) -> Answer | None:
        """Return the answer of a request that is over, None when it was broken off."""
        return None if future.cancelled() else answer_of(future.result(), self._schema)

    async def aclose(self) -> None:
        """Break the request off, if it is not over."""
        self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._future is not None:
            self._future.cancel()
