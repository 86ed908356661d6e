"""What a scrape of `/metrics` told, read by the client library's own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import Metric


class Scrape:
    """One scrape's text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: Mapping[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(text)
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the number of the sample with exactly these labels, None without one."""
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None


async def scrape(url: str) -> Scrape:
    """Return what the gateway at this URL tells now."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as got:
        assert got.status == 200, await got.text()
        return Scrape(await got.text())
