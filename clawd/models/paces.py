"""The limits of all models beyond a reload: what an earlier configuration let through counts for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.models.pace import Pace

_MOST: Final = 256  # models; of more, those are forgotten that were configured longest ago


class Paces:
    """Keeps each model's pace: its requests under way, its waiting line, and what it took of its minute."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def of(self, identity: str, new: Pace) -> Pace:
        """Return the pace of a model, which holds the limits of `new` from now on.

        Args:
            identity: Names the model, where it is and its key; another one is another model.
            new: What is returned for a model that was not there before.
        """
        pace = self._paces.pop(identity, None)
        if pace is None:
            pace = new
        else:
            pace.adjust(new.limits)
        self._paces[identity] = pace
        while len(self._paces) > _MOST:
            del self._paces[next(iter(self._paces))]
        return pace
