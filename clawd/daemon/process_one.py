"""The daemon as process 1, as in a container without an init."""

from __future__ import annotations


def warnings_of(pid: int) -> tuple[str, ...]:
    """Return what a daemon with this process id has to warn of.

    Whoever is process 1 is given every orphan of its container, and reaping them all would take from asyncio the
    exit codes of those that are not orphans. Each call of a tool leaves two.
    """
    if pid != 1:
        return ()
    return (
        "clawd is process 1 here and reaps no orphans: what tools leave behind fills the process table; put an init in "
        "front of it, such as tini, or docker run --init",
    )
