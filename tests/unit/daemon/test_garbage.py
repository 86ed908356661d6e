from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from clawd.daemon.garbage import look_at_the_young, settle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_a_class_with_slots_took_the_place_of_is_found_while_it_is_young() -> None:
    look_at_the_young()
    gc.collect(0)  # else a collection may be due between the next lines, while it is still in use

    class Replaced:
        """Lives on in its own circles alone."""

        a: int

    found = weakref.ref(Replaced)
    made = dataclass(slots=True)(Replaced)  # what is frozen too is held by its own methods in Python 3.11
    del Replaced
    kept: list[list[int]] = [[] for _ in range(10_000)]
    assert found() is None
    assert made.__slots__ == ("a",)  # type: ignore[attr-defined]
    assert len(kept) == 10_000


@pytest.mark.parametrize("often", [False, True])
def test_what_there_is_when_it_settles_is_never_looked_at_again(often: bool) -> None:
    usual = gc.get_threshold()
    look_at_the_young()
    before = gc.get_freeze_count()
    settle(often=often)
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    assert (gc.get_threshold() == usual) == (not often)
    assert gc.get_threshold()[0] <= usual[0]
