"""What the running daemon says of its bridges, its models' breakers and the gateway's tokens."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from clawd.cli.checks.site import Finding, fail, ok, warn
from clawd.cli.printing import counted
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clawd.cli.checks.site import Site

TOKEN_FILE: Final = "gateway.token"  # noqa: S105 - a file's name; its module would bring the whole HTTP server
SOON_DAYS: Final = 14.0
UNUSED_DAYS: Final = 180.0
OLD_DAYS: Final = 365.0
_DAY_S: Final = 86400.0
_DOWN: Final = frozenset({"bad_credentials", "stopped"})


def check_connections(site: Site) -> Iterator[Finding]:
    """The running daemon is connected to every platform."""
    bridges: Sequence[Mapping[str, Any]] = site.status.get("bridges", ()) if site.status else ()
    for bridge in bridges:
        check, state = f"connection:{bridge['name']}", str(bridge["state"])
        if state == "connected":
            yield ok(check, f"connected since {bridge['since']}")
        else:
            told = fail if state in _DOWN else warn
            evidence = f"{state} since {bridge['since']}: {bridge['error'] or 'no reason is known'}"
            yield told(check, evidence, bridge["remedy"] or f"clawd bridges test {bridge['name']}")


def check_breakers(site: Site) -> Iterator[Finding]:
    """The running daemon asks every model: none is out of service for its failures or its slowness."""
    models: Sequence[Mapping[str, Any]] = site.status.get("models", ()) if site.status else ()
    out = [model for model in models if model.get("breaker", {}).get("state", "closed") != "closed"]
    for model in out:
        why = model.get("last_error") or model["breaker"].get("reason") or "see clawd models list"
        evidence = f"{model['name']} is not asked ({model['breaker']['state']}): {why}"
        yield warn("breakers", evidence, f"clawd models test {model['name']}")
    if models and not out:
        yield ok("breakers", f"{counted(len(models), 'model')} in service")


def check_tokens(site: Site) -> Iterator[Finding]:
    """Tokens of the gateway are used, not near their end, and not kept for ever."""
    if site.config.gateway.port is False:
        return
    now = site.host.now()
    odd = list(_generated(site, now))
    count = len(site.config.gateway.tokens)
    try:
        tokens = site.client().get("/tokens")["tokens"] if site.status and site.status.get("gateway") else ()
    except ClawdError:
        tokens = ()  # told by others
    count = len(tokens) or count
    odd += [finding for token in tokens if (finding := _token(token, now)) is not None]
    if not tokens:
        odd += list(_configured(site, now))
    yield from odd or [ok("tokens", f"{counted(count, 'token')}, none expired or forgotten")]


def _generated(site: Site, now: float) -> Iterator[Finding]:
    """The one that stands in a file, while none is configured."""
    try:
        found = (site.state_dir / TOKEN_FILE).stat()
    except OSError:
        return
    days = (now - found.st_mtime) / _DAY_S
    if site.config.gateway.tokens and stat.S_ISREG(found.st_mode):
        evidence = f"{site.state_dir / TOKEN_FILE} counts no more since gateway.tokens is set"
        yield warn("tokens", evidence, f"rm {site.state_dir / TOKEN_FILE}")
    elif days > OLD_DAYS:
        fix = f"rm {site.state_dir / TOKEN_FILE} and restart: a new one is made"
        yield warn("tokens", f"the generated token, which may do everything, is {days:.0f} days old", fix)


def _configured(site: Site, now: float) -> Iterator[Finding]:
    for token in site.config.gateway.tokens:
        if token.expires is not None:
            found = _ending(
                token.name, token.expires.timestamp(), now, "set its `expires` anew, or remove it"
            )
            if found is not None:
                yield found


def _token(token: Mapping[str, Any], now: float) -> Finding | None:
    """Return what is odd about one that the daemon knows."""
    name, own = str(token["name"]), token["source"] == "created"
    fix = f"clawd tokens revoke {name}" if own else "set its `expires` anew, or remove it"
    if (ends := _moment(token["expires_at"])) is not None:
        found = _ending(name, ends, now, fix)
        if found is not None:
            return found
    began = _moment(token["last_used_at"]) or _moment(token["created_at"])
    if own and began is not None and (now - began) / _DAY_S > UNUSED_DAYS:
        return warn("tokens", f"{name} was not used for {(now - began) / _DAY_S:.0f} days", fix)
    return None


def _ending(name: str, ends: float, now: float, fix: str) -> Finding | None:
    days = (ends - now) / _DAY_S
    if days > SOON_DAYS:
        return None
    on = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    return warn("tokens", f"{name} {'has expired' if days < 0 else 'expires'} on {on}", fix)


def _moment(text: object) -> float | None:
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
