"""What all turns of a daemon share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clawd.agent.notices import Notices

if TYPE_CHECKING:
    from clawd.agent.files import Shelf
    from clawd.agent.offline import Outage
    from clawd.agent.recorder import Recorder
    from clawd.ids import Clock
    from clawd.journal.search import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What all turns of a daemon share, whatever configuration each began with."""

    recorder: Recorder
    clock: Clock
    shelf: Shelf  # where files are found
    outage: Outage  # what is known of the network
    history: History | None = None  # searches what was said; None where nothing does
    notices: Notices = field(default_factory=Notices)  # what owners have been told, and are still to be told
