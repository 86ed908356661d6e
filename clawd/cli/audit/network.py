"""Who can reach the gateway, with what, and what leaves this host in the clear?"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from clawd.cli.audit.risk import Risk, leaves
from clawd.cli.printing import counted
from clawd.config.checks import is_loopback
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clawd.cli.audit.risk import Severity
    from clawd.cli.checks.site import Site

_NO_TIME: Final = {
    "bearer": "a fixed token proves nothing but that somebody knows it: a request that was seen can be sent again",
    "header": "a fixed token proves nothing but that somebody knows it: a request that was seen can be sent again",
    "github": "GitHub signs no time: a request that was seen can be sent again under another id",
}
_PAGES: Final = re.compile(r"\.(cors|origins)\[")  # who may call us, and nobody whom we call
_WIDE_BITS: Final = 8  # a network with fewer bits than that is nobody's own


@runtime_checkable
class _Preset(Protocol):
    @property
    def preset(self) -> str: ...


def bind(site: Site) -> Iterator[Risk]:
    """The gateway is reached from this host alone, or through TLS."""
    gateway = site.config.gateway
    if gateway.port is False:
        yield Risk(id="bind", severity="ok", evidence="the gateway is off")
        return
    names = ", ".join([*(token.name for token in gateway.tokens), *(app.app_id for app in gateway.apps)])
    where = f"{gateway.host}:{gateway.port}, with {f'the tokens {names}' if names else 'the generated token'}"
    if is_loopback(gateway.host):
        yield Risk(id="bind", severity="ok", evidence=f"only this host reaches {where}")
    elif gateway.tls is not None:
        yield Risk(id="bind", severity="ok", evidence=f"other hosts reach {where}, through TLS")
    elif gateway.trusted_proxies:
        yield Risk(
            id="bind",
            severity="medium",
            evidence=f"other hosts reach {where} without TLS, beside the proxy as well",
            fix="bind to the address that only the proxy reaches, or set gateway.tls",
        )
    else:
        yield Risk(
            id="bind",
            severity="high",
            evidence=f"other hosts reach {where} without TLS: tokens and messages can be read on the way",
            fix="gateway: {tls: {cert: PATH, key: PATH}}, or host: 127.0.0.1 behind a proxy with TLS",
        )


def proxies(site: Site) -> Iterator[Risk]:
    """Only proxies of one's own are believed."""
    wide = [
        text
        for text in site.config.gateway.trusted_proxies
        if ip_network(text, strict=False).prefixlen < _WIDE_BITS
    ]
    if wide:
        evidence = f"{wide[0]} is believed: everybody there may claim to be any address, or to come by TLS"
        fix = "name the proxy's own addresses in gateway.trusted_proxies"
        yield Risk(id="proxies", severity="high", evidence=evidence, fix=fix)
    else:
        count = len(site.config.gateway.trusted_proxies)
        yield Risk(id="proxies", severity="ok", evidence=f"{counted(count, 'network')} of proxies believed")


def tokens(site: Site) -> Iterator[Risk]:
    """What may do everything ends some day."""
    gateway = site.config.gateway
    if gateway.port is False:
        return
    open_wide = not is_loopback(gateway.host)
    found = [
        (token.name, "set `expires` for it in gateway.tokens")
        for token in gateway.tokens
        if "admin" in token.scopes and token.expires is None
    ]
    found += [
        (str(token["name"]), f"clawd tokens revoke {token['name']}, then create it with --expires 90d")
        for token in _created(site)
        if "admin" in token["scopes"] and token["expires_at"] is None
    ]
    for name, fix in found:
        evidence = f"{name} may do everything and never expires"
        yield Risk(id="tokens", severity="medium" if open_wide else "low", evidence=evidence, fix=fix)
    if not found:
        yield Risk(id="tokens", severity="ok", evidence="none that may do everything for ever was made")


def _created(site: Site) -> list[Mapping[str, Any]]:
    """Return the tokens that the running daemon was asked to make."""
    if not (site.status and site.status.get("gateway")):
        return []
    try:
        return [t for t in site.client().get("/tokens")["tokens"] if t["source"] == "created"]
    except ClawdError:
        return []


def webhooks(site: Site) -> Iterator[Risk]:
    """A request that somebody saw can't be sent again."""
    found = [
        (name, section.preset)
        for name, section in site.config.bridges.items()
        if section.enabled and isinstance(section, _Preset) and section.preset in _NO_TIME
    ]
    for name, preset in found:
        fix = f"bridges.{name}: let calls come over TLS alone, or use preset: standard where the sender can sign"
        yield Risk(
            id="webhooks", severity="medium", evidence=f"{name} ({preset}): {_NO_TIME[preset]}", fix=fix
        )
    if not found:
        yield Risk(
            id="webhooks", severity="ok", evidence="every bridge that is called checks signature and time"
        )


def plain_http(site: Site) -> Iterator[Risk]:
    """Keys and conversations leave this host encrypted."""
    found = False
    for key, value in leaves(site.config):
        if isinstance(value, str) and value.lower().startswith("http://") and not _PAGES.search(key):
            host = urlsplit(value).hostname or ""
            if host and not is_loopback(host):
                found = True
                evidence = f"{key} leads to {host} by http://: keys and messages can be read on the way"
                severity: Severity = "medium" if key == "network.proxy" else "high"
                yield Risk(id="plain_http", severity=severity, evidence=evidence, fix="use https://")
    if not found:
        yield Risk(id="plain_http", severity="ok", evidence="nothing leaves this host by http://")


def private_targets(site: Site) -> Iterator[Risk]:
    """What others name can't lead into this network."""
    found = False
    for key, value in leaves(site.config):
        name = key.rpartition(".")[2].partition("[")[0]
        if name in ("allow_private", "allow_http") and value not in (False, None, ""):
            found = True
            what = (
                "calls may lead into a private network"
                if name == "allow_private"
                else "calls may go by http://"
            )
            shown = f" ({value})" if isinstance(value, str) else ""
            yield Risk(
                id="private_targets", severity="low", evidence=f"{key}{shown}: {what}", fix=f"unset {key}"
            )
    if not found:
        yield Risk(id="private_targets", severity="ok", evidence="no exception is made for private networks")
