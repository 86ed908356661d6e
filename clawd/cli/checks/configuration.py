"""Does the configuration load, and what is worth a word in it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.cli.checks.files import others_may_change, shows_secret
from clawd.cli.checks.site import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

ID = "config"


def check_config(site: Site) -> Iterator[Finding]:
    """Every mistake is a finding, and so is every note."""
    if site.config_error is not None:
        for problem in site.config_error.problems:
            key = f"{problem.key}: " if problem.key else ""
            yield fail(ID, f"{problem.place}: {key}{problem.message}", problem.remedy or "clawd config check")
        return
    if site.config_path is None:
        yield ok(ID, "no file, so every default holds; clawd init writes one")
        return
    notes = (
        [note for note in site.loaded.notes if not _told_of_permissions(note, site)] if site.loaded else []
    )
    if not notes:
        yield ok(ID, str(site.config_path))
    for note in notes:
        evidence, _, fix = note.partition("; ")
        yield warn(ID, evidence, fix)


def _told_of_permissions(note: str, site: Site) -> bool:
    """Whether check_permissions tells the same of a file, together with who may change it."""
    file = shows_secret(note)
    return (
        file is not None and site.loaded is not None and file in site.loaded.files and others_may_change(file)
    )
