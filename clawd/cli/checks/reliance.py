"""Is this an installation that somebody relies on, or one that was only just tried?"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from clawd.store.mark import Mark
from clawd.store.opening import FILE

if TYPE_CHECKING:
    from clawd.cli.checks.site import Site

MANY_ROWS: Final = 1_000
_DAYS: Final = 7


def relied_on(site: Site) -> bool:
    """Whether its journal has many rows, or what lies beside it was written first more than a week ago."""
    with suppress(OSError):  # gone by now, or not ours: others tell that
        if not (site.state_dir / FILE).exists():
            return False
        if (Mark(site.state_dir).read() or 0) > MANY_ROWS:
            return True
        times = [path.stat().st_mtime for path in site.state_dir.iterdir() if path.is_file()]
        return site.host.now() - min(times) > _DAYS * 86400
    return False
