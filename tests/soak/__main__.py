"""`python -m tests.soak [--turns 200000] [--json FILE]`: the endurance run; exits 1 when a promise was broken.

Prints a line for each sample and a table at the end. It wants a quiet machine: on a busy one it takes longer,
and the verdict is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Plan, run
from tests.soak.samples import Limits


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run, print the table, and return 1 when a promise was broken."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--turns", type=int, default=plan.turns)
    parser.add_argument("--conversations", type=int, default=plan.conversations)
    parser.add_argument("--people", type=int, default=plan.people, help="who write at the same time")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--every", type=float, default=plan.every_s, metavar="S", help="between two samples")
    parser.add_argument(
        "--slope",
        type=float,
        default=plan.limits.rss_mb,
        metavar="MB",
        help="allowed growth for each 10,000 turns; a short run needs more, its caches still fill",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if options.conversations < options.people:
        parser.error("each of the people needs a conversation: --conversations is less than --people")
    plan = dataclasses.replace(
        plan,
        turns=options.turns,
        conversations=options.conversations,
        people=options.people,
        seed=options.seed,
        every_s=options.every,
        limits=Limits(rss_mb=options.slope),
    )
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    home = Path(tempfile.mkdtemp(prefix="clawd-endurance-", dir="/tmp"))  # short, for the socket
    result = asyncio.run(run(home, plan, say))
    if options.json is not None:
        options.json.write_text(result.as_json(), encoding="utf-8")
    say(f"\n{result.table()}")
    if result.broken:
        say(f"state and log: {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    return int(bool(result.broken))


if __name__ == "__main__":
    sys.exit(main())
