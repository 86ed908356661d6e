"""Public ids and clocks: the only places where identity and time come from."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NewType, Protocol

TurnId = NewType("TurnId", str)  # "turn:INSTANCE-CONV-SEQ", constant from accept on
DeliveryId = NewType("DeliveryId", str)  # "delivery:INSTANCE-ROW"
UpdateId = NewType("UpdateId", str)  # "update:INSTANCE-ROW", an update that could not be read
QuestionId = NewType(
    "QuestionId", str
)  # "approval:INSTANCE-CONV-SEQ-STEP", a question to a person; "pairing:CODE"

_TURN = re.compile(r"turn:([a-z0-9]+)-(\d+)-(\d+)")
_QUESTION = re.compile(r"approval:([a-z0-9]+)-(\d+)-(\d+)-(\d+)")
_PAIRING = "pairing:"
_ROW = re.compile(r"(delivery|update):([a-z0-9]+)-(\d+)")


def turn_id(instance: str, conv: int, seq: int) -> TurnId:
    """Return the public id of the turn that answers message `seq` of conversation row `conv`.

    `instance` is drawn once per database, so ids of two installations never meet at a receiver.
    """
    return TurnId(f"turn:{instance}-{conv}-{seq}")


def parse_turn_id(text: str) -> tuple[int, int] | None:
    """Return (conv, seq), or None when this is not a turn's id."""
    match = _TURN.fullmatch(text)
    return (int(match[2]), int(match[3])) if match else None


def draft_id(turn: TurnId) -> int:
    """Return the id of a reply's drafts, 1 to 2^31 - 1: it follows from the turn, also after a restart."""
    return zlib.crc32(turn.encode()) % (2**31 - 1) + 1


def question_id(instance: str, conv: int, seq: int, step: int) -> QuestionId:
    """Return the public id of the question that a turn asks before this step."""
    return QuestionId(f"approval:{instance}-{conv}-{seq}-{step}")


def pairing_question(code: str) -> QuestionId:
    """Return the id of the question whether to let in who has this code."""
    return QuestionId(f"{_PAIRING}{code}")


def pairing_code(question: QuestionId | None) -> str | None:
    """Return the code that such a question is about, None for any other."""
    if question is None or not question.startswith(_PAIRING):
        return None
    return question.removeprefix(_PAIRING)


def parse_question_id(text: str) -> tuple[TurnId, int] | None:
    """Return the turn and the step that a question is about, or None when this is not a question's id."""
    match = _QUESTION.fullmatch(text)
    return (turn_id(match[1], int(match[2]), int(match[3])), int(match[4])) if match else None


def delivery_id(instance: str, row: int) -> DeliveryId:
    """Return the public id of one outbox row; also the idempotency key for platforms that take one."""
    return DeliveryId(f"delivery:{instance}-{row}")


def update_id(instance: str, row: int) -> UpdateId:
    """Return the public id of an inbound update that could not be read."""
    return UpdateId(f"update:{instance}-{row}")


def parse_row_id(text: str) -> tuple[str, int] | None:
    """Return ("delivery" | "update", row), or None when this is neither."""
    match = _ROW.fullmatch(text)
    return (match[1], int(match[3])) if match else None


class Clock(Protocol):
    """Time, handed in so that tests can move it."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC; for people and for what must survive a restart."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; for durations and time-outs."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...

    def boot(self) -> str:
        """Return since when `monotonic` counts: processes with the same name can compare it. Empty: unknown."""
        ...


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def boot(self) -> str:
        return boot_id()


def boot_id() -> str:
    """Return the name of the host's present boot; empty where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def to_ms(moment: datetime) -> int:
    """Return milliseconds since 1970 UTC, the form in which the journal keeps wall times."""
    return int(moment.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """Return the aware UTC moment of a journal time."""
    return datetime.fromtimestamp(ms / 1000, UTC)
