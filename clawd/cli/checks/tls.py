"""Can the gateway's certificate and key be used? Loading a configuration opens neither, a start does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.cli.checks.site import Finding, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site
    from clawd.config.loader import LoadedConfig
    from clawd.errors import ConfigProblem


def tls_problem(loaded: LoadedConfig) -> ConfigProblem | None:
    """Return why a start would refuse the TLS files, at the line that names them; None if it would not."""
    gateway = loaded.config.gateway
    if gateway.tls is None or gateway.port is False:
        return None
    from clawd.gateway.tls import problem_of  # the gateway's package brings aiohttp

    problem = problem_of(gateway.tls)
    if problem is None:
        return None
    origin = loaded.origins.get(problem.key) or loaded.origins.get("gateway.tls.cert", "")
    path, _, line = origin.rpartition(":")
    return replace(problem, path=path, line=int(line), column=1) if path and line.isdigit() else problem


def check_tls(site: Site) -> Iterator[Finding]:
    """The certificate and its key can be read and belong together."""
    if site.loaded is None or site.config.gateway.tls is None or site.config.gateway.port is False:
        return
    problem = tls_problem(site.loaded)
    if problem is None:
        yield ok("tls", f"{site.config.gateway.tls.cert} and its key can be used")
    else:
        yield fail("tls", f"{problem.place}: {problem.key}: {problem.message}", problem.remedy)
