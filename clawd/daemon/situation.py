"""What changes while a daemon runs, beside its parts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawd.alerts.base import Restart
    from clawd.config.loader import LoadedConfig
    from clawd.config.stamps import Stamp
    from clawd.control.protocol import LastEnd


@dataclass(slots=True, kw_only=True)
class Situation:
    """What changes while the daemon runs, for status and readiness."""

    loaded: LoadedConfig
    config_error: str = ""
    # Files of the refused configuration, missing ones too.
    refused: Mapping[Path, Stamp] = field(default_factory=dict)
    replayed: bool = False
    serving: bool = False  # every side takes messages in
    draining: bool = False
    standalone: bool = False  # for one terminal: nobody else is answered or called, and its end is ours
    started_at: datetime
    began: float = field(default_factory=time.monotonic)
    last_end: LastEnd | None = None  # of the run before this one
    restarts: Sequence[Restart] = ()  # of the last day
