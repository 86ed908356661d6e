"""A seeded series of kills under load, by time and by fault points; `soak.py` and the suite run the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

    from tests.crash.stage import Stage
    from tests.crash.words import Wish

CHATS: Final = 4  # at Telegram, and half as many conversations of the webhook
CHAT_LENGTH: Final = 30  # messages after which a chat is left for a new one, so that requests stay short
LONG_LIFE_S: Final = (1.5, 3.0)
KINDS: Final = ("accept", "claim", "llm.intent", "llm.result", "tool.intent", "tool.result", "turn.finished")
KINDS_OF_SENDING: Final = ("outbox.take", "outbox.mark", "preview")
RANDOM_POINTS: Final = tuple(
    f"journal.{moment}_commit:{kind}"
    for kind in (*KINDS, *KINDS_OF_SENDING, "recover")
    for moment in ("before", "after")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the load is like."""

    name: str
    steps: tuple[tuple[str, ...], ...]  # of the wishes that are drawn from
    model_delay_s: float
    effect_delay_s: float
    open_messages: int  # kept open at all times
    life_s: tuple[float, float]  # from ready to a kill by time
    slow_share: float = 0.0  # of the answers that come in pieces, with a preview, in some two seconds
    long_life_share: float = 0.0  # of the lives that are long enough for those


SHORT: Final = Shape(
    name="short",
    steps=((), (), (), ("pure",), ("once",), ("keyed+idempotent",), ("once", "keyed")),
    model_delay_s=0.03,
    effect_delay_s=0.01,
    open_messages=12,
    life_s=(0.0, 0.8),
    slow_share=0.03,
    long_life_share=0.2,
)
LONG: Final = Shape(
    name="long",
    # Five or six answers of the model one after the other: no process lives that long.
    steps=(
        ("once", "keyed", "once", "pure", "once"),
        ("idempotent", "once+keyed", "pure+once", "once"),
        ("keyed+once", "once", "idempotent+pure", "once", "keyed"),
    ),
    model_delay_s=0.2,
    effect_delay_s=0.05,
    open_messages=6,
    life_s=(0.1, 0.6),
)


class Killer:
    """Keeps messages open, and ends one process after the other."""

    def __init__(self, here: Stage, shape: Shape, dice: random.Random, *, telegram: bool = True) -> None:
        self._here = here
        self._shape = shape
        self._dice = dice
        self._written = 0
        self._doors: list[Callable[[], None]] = []
        for lane in range(CHATS):
            if telegram:
                self._doors.append(self._chat(lane))
            if lane % 2 == 0 or not telegram:
                self._doors.append(self._conversation(lane))
        here.script.delay_s = shape.model_delay_s
        here.effects.delay_s = shape.effect_delay_s

    async def series(self, kills: int, progress: Callable[[int], None] = lambda _: None) -> None:
        """Kill so many processes, then let one live until all is answered."""
        await self.kills(kills, progress)
        await self.come_to_rest()

    async def kills(self, kills: int, progress: Callable[[int], None] = lambda _: None) -> None:
        """Kill so many processes, with messages open at all times."""
        for number in range(kills):
            self._fill_up()
            await self._one_life()
            progress(number + 1)

    async def come_to_rest(self) -> None:
        """Let one process live until all is answered."""
        await self._here.start()
        await self._here.all_answered(timeout_s=300)

    async def _one_life(self) -> None:
        here, dice = self._here, self._dice
        manner = dice.random()
        if manner < 0.15:  # while it starts
            await here.spawn()
            await asyncio.sleep(dice.uniform(0.0, 1.5))
        elif manner < 0.55:  # by time
            await here.start()
            await self._live()
        else:  # at a point, or by time where nothing comes by there
            fault = f"{dice.choice(RANDOM_POINTS)}:{dice.choice((1, 1, 2, 3, 5))}:kill"
            if await here.start(fault):
                await self._live()
        await here.kill()

    async def _live(self) -> None:
        """Return when the life is over, or the process has ended itself."""
        shape, dice = self._shape, self._dice
        life_s = LONG_LIFE_S if dice.random() < shape.long_life_share else shape.life_s
        try:
            await self._here.died(dice.uniform(*life_s))
        except TimeoutError:
            return

    def _fill_up(self) -> None:
        waiting = len(self._here.notebook.unanswered)
        for _ in range(self._shape.open_messages - waiting):
            self._dice.choice(self._doors)()

    def _chat(self, lane: int) -> Callable[[], None]:
        def write() -> None:
            self._written += 1
            generation = self._written // (CHAT_LENGTH * len(self._doors))
            self._here.write(1000 * generation + lane + 1, self._wish())

        return write

    def _conversation(self, lane: int) -> Callable[[], None]:
        def post() -> None:
            self._written += 1
            generation = self._written // (CHAT_LENGTH * len(self._doors))
            self._here.post(f"order-{generation}-{lane}", self._wish())

        return post

    def _wish(self) -> Wish:
        slow = self._dice.random() < self._shape.slow_share
        return self._here.wish(*self._dice.choice(self._shape.steps), slow=slow)
