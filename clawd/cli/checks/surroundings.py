"""What a configuration needs of the host: extras, the environment's proxy, sandboxes."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.kernel import landlock_abi, namespaces_forbidden
from clawd.cli.checks.site import Finding, fail, ok, warn
from clawd.config.secrecy import mask_urls
from clawd.tools.sandbox import SEARCH_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def check_extras(site: Site) -> Iterator[Finding]:
    """What the configuration needs beside the core is installed."""
    missing = [(why, extra) for why, module, extra in _needed(site) if find_spec(module) is None]
    for why, extra in missing:
        yield fail("extras", f"{why} needs the extra `{extra}`", f'pip install "clawd-agent[{extra}]"')
    if not missing:
        yield ok("extras", "all that the configuration needs is installed")


def _needed(site: Site) -> Iterator[tuple[str, str, str]]:
    """Yield what needs a package, the package, and the extra that brings it."""
    config = site.config
    networks = [config.network, *(b.network for b in config.bridges.values() if b.enabled and b.network)]
    if any((network.proxy or "").startswith("socks") for network in networks):
        yield "a SOCKS proxy", "aiohttp_socks", "socks"
    for name, section in config.bridges.items():
        if section.enabled and section.type == "weixin":
            yield f"the bridge {name} (files)", "cryptography", "wechat"
            yield f"the bridge {name} (its login's QR code)", "segno", "wechat"


def check_proxy(site: Site) -> Iterator[Finding]:
    """A proxy of the environment is not used by itself: whoever set it may expect that it is."""
    found = next((name for name in _PROXIES if site.environ.get(name)), None)
    if site.config.network.proxy:
        yield ok("proxy", f"network.proxy: {mask_urls(site.config.network.proxy)}")
    elif found is not None:
        url = mask_urls(site.environ[found])
        yield warn("proxy", f"{found} is {url}, and clawd does not use it", f'network: {{proxy: "{url}"}}')
    else:
        yield ok("proxy", "none")


def check_sandbox(site: Site) -> Iterator[Finding]:
    """What this host offers to lock commands in; whether the shell tool uses it is told under `shell`."""
    bwrap = shutil.which("bwrap", path=site.environ.get("PATH") or SEARCH_PATH)
    forbidden = namespaces_forbidden(site.host.proc)
    abi = landlock_abi()
    parts = (
        f"bubblewrap {'at ' + bwrap if bwrap else 'not installed'}",
        f"user namespaces {'forbidden (' + forbidden + ')' if forbidden else 'allowed'}",
        f"Landlock {f'ABI {abi}' if abi else 'not there'}",
    )
    yield ok("sandbox", "; ".join(parts))
