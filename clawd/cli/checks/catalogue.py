"""The list of the checks: what each looks at, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from clawd.cli.checks import (
    budgets,
    configuration,
    connections,
    daemon,
    files,
    host,
    journal,
    outside,
    people,
    prices,
    shell,
    surroundings,
    tls,
)
from clawd.cli.checks.board import Board
from clawd.cli.checks.site import Finding, Site

Look = Callable[[Site], Iterator[Finding]]
Ask = Callable[[Site, Board], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: `look` at this host, or `ask` others. `about` says of each id of its findings what it tells.

    `expect` says at once what `ask` will tell of, so that it is known when no answer comes.
    """

    about: Mapping[str, str]
    look: Look | None = None
    ask: Ask | None = None
    expect: Callable[[Site, Board], None] | None = None


def _look(look: Look, **about: str) -> Check:
    return Check(look=look, about=about)


CHECKS: Final[tuple[Check, ...]] = (
    _look(
        configuration.check_config, config="the configuration loads; every mistake with file, line and column"
    ),
    _look(prices.check_prices, prices="prices that nobody looked at for half a year"),
    _look(host.check_plugins, plugins="every installed plugin can be imported"),
    _look(surroundings.check_extras, extras="what the configuration needs beside the core is installed"),
    _look(
        files.check_permissions,
        permissions="configuration, database, log, tokens, files, bridges' state and backups are yours alone",
    ),
    _look(files.check_disk, disk="space and inodes for the state directory and the log"),
    _look(files.check_file_system, file_system="the state directory is on a local disk"),
    _look(
        journal.check_journal,
        journal="the database is whole, ours, of a schema that this version knows, and as long as it once was",
        wal="the write-ahead log has not grown without end",
    ),
    _look(
        journal.check_keeping,
        size="what the database needs, and whether it gives back what it frees",
        rows="no work lies about that nobody would be woken for",
        backup="there is a backup that is not old; none at all is a warning after a week or 1,000 rows",
        retention="a database that grows is thinned out",
    ),
    _look(daemon.check_daemon, daemon="it runs, in this version, with the configuration as it stands"),
    _look(connections.check_connections, connection="the daemon's bridges are connected"),
    _look(connections.check_breakers, breakers="no model is out of service"),
    _look(budgets.check_budgets, budgets="there is money left"),
    _look(daemon.check_socket, socket="the control socket: whose it is, who may use it, who answers"),
    _look(
        daemon.check_gateway,
        gateway="the port is free, or who holds it; a running daemon answers there, and where its configuration has it",
    ),
    _look(connections.check_tokens, tokens="no token is expired, unused or forgotten"),
    _look(tls.check_tls, tls="certificate and key fit, and are valid for some time"),
    _look(people.check_owners, owners="somebody can let people in from a chat"),
    _look(
        people.check_alerts,
        alerts="somebody is told of trouble, by a bridge that is there; with a running daemon, every target can be told: one that can't is a warning, and all of them are broken; that nobody is configured is a warning as with `backup`",
    ),
    _look(host.check_unit, unit="the installed systemd unit is the one that this version writes"),
    _look(host.check_open_files, open_files="enough file descriptors"),
    _look(host.check_clock, clock="the clock is right, kept so, and was not set while the daemon ran"),
    _look(surroundings.check_proxy, proxy="the network's proxy, and one of the environment that is not used"),
    _look(host.check_local_model, local_model="what a local model needs is installed"),
    Check(look=shell.check_shell, about={"shell": "the shell tool's sandbox, tried out"}),
    _look(surroundings.check_sandbox, sandbox="bubblewrap, user namespaces and Landlock of this host"),
    _look(outside.check_webhooks, bridge="each bridge: takes calls, or its platform knows us"),
    Check(
        ask=outside.check_models,
        expect=outside.expect_models,
        about={"model": "each model answers a word, and how fast", "models": "more than the demo answers"},
    ),
    Check(
        ask=outside.check_bridges,
        expect=outside.expect_bridges,
        about={"bridge": "each bridge: takes calls, or its platform knows us"},
    ),
)

ABOUT: Final[Mapping[str, str]] = {id_: words for check in CHECKS for id_, words in check.about.items()}
"""What each id tells; one of many things of a kind has its name behind a colon (`model:main`)."""
