"""The checks of `clawd doctor`: which there are, and how they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.cli.checks.catalogue import CHECKS
from clawd.cli.checks.far import FarChecks
from clawd.cli.checks.site import Finding, Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.cli.checks.catalogue import Check

__all__ = ["CHECKS", "Finding", "Site", "examine"]


def examine(
    site: Site, *, offline: bool = False, checks: Sequence[Check] = CHECKS, only: str = ""
) -> list[Finding]:
    """Return what the checks found, in their order.

    Those that ask other hosts run beside the others, in a thread, until the site's time is over.

    Args:
        site: What is looked at.
        offline: Leave out what asks other hosts.
        checks: Which to run.
        only: Return the findings of this id alone: whole, or without its name (`model` for `model:main`).
    """
    asking = [] if offline else checks
    far = FarChecks(
        site,
        [check.ask for check in asking if check.ask is not None],
        [check.expect for check in asking if check.expect is not None],
    )
    found = [finding for check in checks if check.look is not None for finding in check.look(site)]
    found += far.findings()
    return [finding for finding in found if not only or only in (finding.id, finding.id.partition(":")[0])]
