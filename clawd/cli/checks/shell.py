"""Does the shell tool work as it is configured? The sandbox is tried out, in a folder that is removed again."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.site import fail, ok, warn
from clawd.cli.units import Scope, UnitError, units
from clawd.errors import ClawdError
from clawd.tools.registry import tool_site
from clawd.tools.sandbox import probe
from clawd.tools.shell import ShellConfig, environment, sandbox_of, workdir_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Finding, Site

ID: Final = "shell"
_LEAST_S: Final = 1.0  # it takes 20 ms, more on a busy host, and is no stranger who may be slow
DROP_IN: Final = "install systemd/clawd-shell.conf as {}/shell.conf, daemon-reload, restart"


def check_shell(site: Site) -> Iterator[Finding]:
    """The tool is off, or its commands run in a sandbox that works here and under the installed unit."""
    config = site.config.tools.settings.get("shell")
    if site.loaded is None or not isinstance(config, ShellConfig) or not config.enabled:
        yield ok(ID, "off (tools: {shell: {enabled: true}} offers it)")
        return
    if config.sandbox == "none":
        asks = " and without a question" if config.approval == "auto" else ""
        yield warn(ID, f"commands run without a sandbox{asks}", "tools: {shell: {sandbox: auto}}")
        return
    try:
        _try_out(config, site)
    except ClawdError as error:
        told = fail if config.sandbox == "bwrap" else warn
        why = f": {error.why}" if error.why else ""
        yield told(ID, f"not offered to the model: {error.what}{why}", error.remedy)
        return
    hindered = list(_hindering_units(site))
    for folder in hindered:
        yield warn(ID, f"{folder.with_suffix('')} keeps bubblewrap from working", DROP_IN.format(folder))
    if not hindered:
        yield ok(ID, f"bubblewrap works; network inside: {'there' if config.network else 'none'}")


def _try_out(config: ShellConfig, site: Site) -> None:
    """Raise ClawdError where the sandbox does not work."""
    if site.loaded is None:
        return
    place = tool_site(site.loaded, site.state_dir, site.environ)
    workdir = workdir_of(config, place)
    sandbox_of(config, workdir, place)  # what the settings themselves get wrong
    with tempfile.TemporaryDirectory(prefix="clawd-doctor-") as empty:
        there = workdir if workdir.is_dir() else Path(empty)
        sandbox = sandbox_of(config, there, place)
        if sandbox is not None:
            probe(sandbox, environment(config, there, place), limit_s=max(site.left_s(), _LEAST_S))


def _hindering_units(site: Site) -> Iterator[Path]:
    """Yield the drop-in folders of installed units that have no drop-in which allows namespaces."""
    scopes: tuple[Scope, ...] = ("system", "user")
    for scope in scopes:
        command = Path(sys.executable).parent / "clawd"
        try:
            unit = units(scope, command=command, config=None, environ=site.environ, root=site.host.root).unit
        except UnitError:
            continue
        folder = unit.path.with_name(f"{unit.path.name}.d")
        texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.conf")]
        if unit.present is not None and not any("\nRestrictNamespaces=" in text for text in texts):
            yield folder
