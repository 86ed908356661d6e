"""`clawd doctor --security`: what others could reach or misuse, by how bad that would be. Asks no other host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.cli.audit import host, network, people
from clawd.cli.audit.risk import Risk, Severity
from clawd.cli.checks.site import survey
from clawd.cli.printing import clean, emit, out, paint
from clawd.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clawd.cli.checks.site import Site
    from clawd.cli.invocation import Invocation

__all__ = ["ABOUT", "audit", "audit_report"]

_AUDITS: Final[dict[str, tuple[Callable[[Site], Iterator[Risk]], str]]] = {
    "bind": (network.bind, "who reaches the gateway, and whether through TLS"),
    "proxies": (network.proxies, "whose word on addresses is believed"),
    "tokens": (network.tokens, "tokens that may do everything and never expire"),
    "strangers": (people.strangers, "`access` and `allow`: who is let in, and with which rights"),
    "shell": (people.shell, "the shell tool's sandbox and questions"),
    "webhooks": (network.webhooks, "requests that could be sent again by who saw them"),
    "secrets": (host.secrets, "files with secrets, and secrets in the configuration itself"),
    "state": (host.state, "permissions of the state directory and all below it"),
    "socket": (host.socket, "who may use the control socket"),
    "plain_http": (network.plain_http, "addresses beyond this host that are reached by http://"),
    "private_targets": (network.private_targets, "exceptions for private networks and http:// in callbacks"),
    "user": (host.user, "a daemon that runs as root"),
    "unit": (host.unit, "secrets in the unit, and its exposure by systemd's own judge"),
}
ABOUT: Final = {name: words for name, (_, words) in _AUDITS.items()}
"""What each id looks at."""

_COLOURS: Final[dict[Severity, str]] = {"ok": "green", "low": "cyan", "medium": "yellow", "high": "red"}
_LIMIT_S: Final = 1.5


def audit(site: Site) -> list[Risk]:
    """Return what is to be said of this installation, in a fixed order; of the defaults if it does not load."""
    return [risk for look, _ in _AUDITS.values() for risk in look(site)]


def audit_report(call: Invocation, *, as_json: bool) -> int:
    """Print the audit; return the exit code."""
    site = survey(call.socket, call.config, call.environ, limit_s=_LIMIT_S)
    if site.config_error is not None:
        raise site.config_error  # what it would say of the defaults helps nobody
    risks = audit(site)
    grave = sum(risk.severity == "high" for risk in risks)
    if as_json:
        told = [{"id": r.id, "severity": r.severity, "evidence": r.evidence, "fix": r.fix} for r in risks]
        emit({"ok": not grave, "risks": told})
    else:
        width = max(len(risk.id) for risk in risks)
        for risk in risks:
            out(
                f"{paint(f'{risk.severity:6}', _COLOURS[risk.severity])}  {risk.id:{width}}  {clean(risk.evidence)}"
            )
            if risk.fix:
                out(f"{'':{width + 10}}fix: {clean(risk.fix)}")
        counts = ", ".join(
            f"{sum(r.severity == s for r in risks)} {s}" for s in ("high", "medium", "low", "ok")
        )
        out(f"\n{counts}")
    return EXIT_FAILED if grave else EXIT_OK
