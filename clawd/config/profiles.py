"""What the defaults are on a kind of host. A key that the file says wins, whatever the profile.

`docs/edge.md` has the table for people; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.base import Section
    from clawd.config.schema import Config

Value = int | float | bool

EDGE: Final[Mapping[str, Mapping[str, Value]]] = {
    "gateway": {"port": False},  # a port in the file asks for it
    "agent": {"concurrency": 4, "offline_wait_s": 86_400},
    "breaker": {"hedge": False},  # there is one model
    "delivery": {"max_age_s": 7 * 86_400, "concurrency": 4},
    "journal": {
        "max_queue": 1000,
        "cache_kb": 256,
        "max_file_bytes": 10_000_000,
        "max_files_bytes": 200_000_000,
    },
    "logging": {"max_bytes": 2_000_000, "backups": 1},
}
"""For a box with little memory, a small disk and a network that comes and goes."""

PROFILES: Final[Mapping[str, Mapping[str, Mapping[str, Value]]]] = {"default": {}, "edge": EDGE}


def with_profile(config: Config) -> tuple[Config, dict[str, str]]:
    """Return the configuration with its profile's defaults for all that the file left open, and where those are from.

    They are set behind the checks of what people write: to build the checks of a section whose every value is ours
    would cost each start.
    """
    sections: dict[str, Section] = {}
    origins: dict[str, str] = {}
    for name, values in PROFILES[config.profile].items():
        section: Section = getattr(config, name)
        left = {key: value for key, value in values.items() if key not in section.model_fields_set}
        origins |= {f"{name}.{key}": f"profile {config.profile}" for key in left}
        sections[name] = section.model_copy(update=left)
    return (config.model_copy(update=sections) if sections else config), origins
