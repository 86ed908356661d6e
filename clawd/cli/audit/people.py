"""Who may talk to the agent, and what may it do for them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.cli.audit.risk import Risk
from clawd.tools.shell import ShellConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.audit.risk import Severity
    from clawd.cli.checks.site import Site

# Behind these anybody may write; with the others the signature vouches for who is named.
_SIGNED: Final = frozenset({"standard", "bearer", "header"})
_ANY: Final = frozenset({"*", "**", "* *"})


def strangers(site: Site) -> Iterator[Risk]:
    """Strangers are let in one by one."""
    access, tools = site.config.access, site.config.access.grant == "tools"
    if access.default == "allow":
        evidence = f"everybody is let in{', with the right to use tools' if tools else ''}"
        severity: Severity = "high" if tools else "medium"
        yield Risk(id="strangers", severity=severity, evidence=evidence, fix="access: {default: pair}")
    open_ones = [
        name
        for name, section in site.config.bridges.items()
        if section.enabled and "*" in section.allow and getattr(section, "preset", None) not in _SIGNED
    ]
    for name in open_ones:
        evidence = f'bridges.{name}.allow has "*": whoever finds it is let in'
        severity = "high" if tools else "medium"
        fix = f"name the senders in bridges.{name}.allow, or leave it out: they ask for a code"
        yield Risk(id="strangers", severity=severity, evidence=evidence, fix=fix)
    if tools and access.default == "pair":
        evidence = "whoever is let in gets the right to use tools"
        yield Risk(id="strangers", severity="low", evidence=evidence, fix="access: {grant: chat}")
    if access.default != "allow" and not open_ones and not tools:
        word = "asked for a code" if access.default == "pair" else "refused"
        yield Risk(id="strangers", severity="ok", evidence=f"strangers are {word}, and get no tools")


def shell(site: Site) -> Iterator[Risk]:
    """Commands run in a sandbox, after somebody agreed."""
    config = site.config.tools.settings.get("shell")
    if not isinstance(config, ShellConfig) or not config.enabled:
        yield Risk(id="shell", severity="ok", evidence="off")
        return
    unasked = config.approval == "auto" or bool(_ANY & set(config.allow))
    bare = config.sandbox == "none"
    if bare:
        evidence = "commands may do all that the user of clawd may, and read its files"
        severity: Severity = "high" if unasked else "medium"
        asked = ", and nobody is asked" if unasked else ""
        yield Risk(
            id="shell",
            severity=severity,
            evidence=f"{evidence}{asked}",
            fix="tools: {shell: {sandbox: auto}}",
        )
    elif unasked:
        evidence = "commands run in the sandbox, and nobody is asked"
        yield Risk(id="shell", severity="low", evidence=evidence, fix="tools: {shell: {approval: ask}}")
    if config.network and not bare:
        evidence = "commands reach the network, and by it what this host reaches"
        yield Risk(id="shell", severity="low", evidence=evidence, fix="tools: {shell: {network: false}}")
    if not (bare or unasked or config.network):
        yield Risk(id="shell", severity="ok", evidence="in the sandbox, without network, after a question")
