"""A long series of kills: `python -m tests.crash.soak --kills 1000 --seed N [--shape short|long|both]`.

Prints progress and one table; exits 1 when a promise was broken, and says then where the last log lies.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.crash.killing import LONG, SHORT, Killer, Shape
from tests.crash.stage import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.crash.oracle import Verdict

SHAPES: Final = {"short": (SHORT,), "long": (LONG,), "both": (SHORT, LONG)}
PROGRESS_EVERY: Final = 25  # kills
RUN_KILLS: Final = 250  # of one state directory; then a fresh one begins


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def soak(home: Path, shape: Shape, kills: int, seed: int, progress: Callable[[int], None]) -> Verdict:
    """Return the verdict on a series of kills in a fresh state directory."""
    async with stage(home) as here:
        await Killer(here, shape, random.Random(seed)).series(kills, progress)
        verdict = here.judge()
        try:
            await here.check_books()
        except AssertionError as error:
            verdict.paid_twice.append(f"the sums are wrong: {error}")
        return verdict


def run(shape: Shape, kills: int, seed: int) -> list[Verdict]:
    """Run the kills of one shape in portions, each on a state directory of its own."""
    verdicts: list[Verdict] = []
    began = time.monotonic()
    done = 0
    while done < kills:
        portion = min(RUN_KILLS, kills - done)
        before = done

        def progress(number: int, before: int = before) -> None:
            if (before + number) % PROGRESS_EVERY == 0:
                say(f"{shape.name}: {before + number}/{kills} kills, {time.monotonic() - began:.0f} s")

        home = Path(tempfile.mkdtemp(prefix="clawd-soak-"))
        verdict = asyncio.run(soak(home, shape, portion, seed + len(verdicts), progress))
        verdicts.append(verdict)
        done += portion
        for name, found in verdict.broken.items():
            for sentence in found:
                say(f"BROKEN {shape.name} seed {seed + len(verdicts) - 1} {name}: {sentence}")
        if verdict.broken:
            say(f"state and log: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    return verdicts


def table(columns: dict[str, list[Verdict]]) -> str:
    """Return the figures, one column for each shape."""

    def total(name: str) -> Callable[[list[Verdict]], str]:
        def add(verdicts: list[Verdict]) -> str:
            found = [getattr(verdict, name) for verdict in verdicts]
            return str(sum(len(value) if isinstance(value, list) else value for value in found))

        return add

    def seconds(name: str, share: float) -> Callable[[list[Verdict]], str]:
        def pick(verdicts: list[Verdict]) -> str:
            values = sorted(value for verdict in verdicts for value in getattr(verdict, name))
            return f"{quantile(values, share):.2f}" if values else "-"

        return pick

    rows: list[tuple[str, Callable[[list[Verdict]], str]]] = [
        ("kills", total("kills")),
        ("messages", total("messages")),
        ("lost", total("lost")),
        ("answered twice, unmarked", total("twice")),
        ("effects twice", total("effects_twice")),
        ("paid twice for a committed answer", total("paid_twice")),
        ("out of order", total("disordered")),
        ("strange", total("strange")),
        ("allowed: answered twice, marked", total("marked")),
        ("allowed: callback repeated, same id", total("same_id")),
        ("allowed: model asked again", total("asked_again")),
        ("allowed: repeatable effect repeated", total("acted_again")),
        ("allowed: once call unknown", total("unknown")),
        ("allowed: unfinished preview left", total("leftovers")),
        ("restart to first work, p50 s", seconds("first_work_s", 0.5)),
        ("restart to first work, p95 s", seconds("first_work_s", 0.95)),
        ("restart to first reply, p50 s", seconds("first_reply_s", 0.5)),
        ("restart to first reply, p95 s", seconds("first_reply_s", 0.95)),
        ("restart to first reply, max s", seconds("first_reply_s", 1.0)),
    ]
    width = max(len(label) for label, _ in rows)
    lines = [" " * width + "".join(f"{name:>10}" for name in columns)]
    for label, figure in rows:
        lines.append(
            f"{label:<{width}}" + "".join(f"{figure(verdicts):>10}" for verdicts in columns.values())
        )
    return "\n".join(lines)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> int:
    """Run, print the table, and return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="in all, shared by the shapes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="both")
    options = parser.parse_args()
    shapes = SHAPES[options.shape]
    share = options.kills // len(shapes)
    columns = {shape.name: run(shape, share, options.seed) for shape in shapes}
    say(table(columns))
    return int(any(verdict.broken for verdicts in columns.values() for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
