"""Are the prices that costs are counted by still those of today?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.site import Finding, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clawd.cli.checks.site import Site
    from clawd.config.schema import ModelConfig

ID = "prices"
MAX_AGE_DAYS: Final = 180


def check_prices(site: Site) -> Iterator[Finding]:
    """Prices that nobody has looked at for half a year are a note; those without a date are their writer's."""
    models: Sequence[ModelConfig] = site.config.models
    if not models:
        from clawd.models.detect import from_environment  # brings the whole HTTP client

        models = [config for config, _ in from_environment(site.environ, site.plugins.models)]
    today = datetime.fromtimestamp(site.host.now(), UTC).date()
    for model in models:
        looked_at = model.price.as_of if model.price is not None else None
        if looked_at is not None and (age := (today - looked_at).days) > MAX_AGE_DAYS:
            yield warn(
                ID,
                f"the price of {model.name} is of {looked_at}, {age} days ago; costs and budgets go by it",
                f"look it up and set price of the model {model.name}, or update clawd",
            )
