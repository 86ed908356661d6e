"""Can the gateway's certificate and key be used? Loading a configuration opens neither, a start does."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.site import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site
    from clawd.config.loader import LoadedConfig
    from clawd.errors import ConfigProblem

SOON_DAYS: Final = 21
_NO_CHECK_TIME: Final = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python does not name


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
        yield _life(site.config.gateway.tls.cert, site.config.gateway.tls.key, site.host.now())
    else:
        yield fail("tls", f"{problem.place}: {problem.key}: {problem.message}", problem.remedy)


def _life(cert: str, key: str, now: float) -> Finding:
    """Tell how long a certificate that can be used is still valid, by a handshake with itself in memory."""
    evidence = f"{cert} and its key can be used"
    try:
        ends = ssl.cert_time_to_seconds(_not_after(cert, key))
    except (OSError, ValueError):  # of an unusual kind; whether it is used by clients is theirs to say
        return ok("tls", evidence)
    days, on = (ends - now) / 86400, f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    fix = "renew it; the gateway reads the new files without a restart"
    if days < 0:
        return fail("tls", f"{cert} has expired on {on}", fix)
    if days < SOON_DAYS:
        return warn("tls", f"{evidence} until {on}, {days:.0f} more days", fix)
    return ok("tls", f"{evidence}, until {on}")


def _not_after(cert: str, key: str) -> str:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(cert, key)
    client.check_hostname = False
    client.load_verify_locations(cert)  # it trusts just this one, whoever signed it
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME  # an expired one is told as such
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    found = ours.getpeercert()
    if not found:
        raise ValueError("the handshake told nothing")
    return str(found["notAfter"])
