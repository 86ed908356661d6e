"""When garbage is looked for. What a start makes lives as long as the process, but for what dies young."""

from __future__ import annotations

import gc
from typing import Final

# The classes that those with slots take the place of, and the like: 3,500 objects, 1.7 MB. They are found among the
# last few thousand that were made, which costs next to nothing; to look at all there is, again and again, costs an
# eighth of the start.
_YOUNG: Final = 4000
_NEVER: Final = 1_000_000

_USUAL: Final = gc.get_threshold()
# A third of Python's own: what a turn leaves behind in circles is found before the next needs new memory. What was
# there at the start is frozen, so that a whole collection looks at little.
_OFTEN: Final = (200, 3, 3)


def look_at_the_young() -> None:
    """Until `settle`, look for garbage among what was made last, and never at what survived that."""
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)


def settle(*, often: bool = False) -> None:
    """Let nobody look at what there is now, and look for garbage as ever from now on, or more often."""
    gc.collect(0)
    gc.freeze()
    gc.set_threshold(*(_OFTEN if often else _USUAL))
    gc.enable()
