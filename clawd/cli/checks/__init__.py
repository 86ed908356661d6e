"""The checks of `clawd doctor`, by what they look at."""

from __future__ import annotations

from clawd.cli.checks import budgets, configuration, daemon, files, host, journal, outside, prices, shell, tls
from clawd.cli.checks.site import Finding, Site

__all__ = ["Finding", "Site", "examine"]

_NEAR = (
    configuration.check_config,
    prices.check_prices,
    host.check_plugins,
    files.check_permissions,
    files.check_disk,
    files.check_file_system,
    journal.check_journal,
    journal.check_keeping,
    daemon.check_daemon,
    budgets.check_budgets,
    daemon.check_socket,
    daemon.check_gateway,
    tls.check_tls,
    host.check_unit,
    host.check_open_files,
    host.check_clock,
    host.check_local_model,
    shell.check_shell,
    outside.check_webhooks,
)
_FAR = (outside.check_models, outside.check_bridges)


def examine(site: Site, *, offline: bool = False) -> list[Finding]:
    """Return what every check found, in a fixed order; `offline` leaves out those that ask other hosts."""
    return [finding for check in (*_NEAR, *(() if offline else _FAR)) for finding in check(site)]
