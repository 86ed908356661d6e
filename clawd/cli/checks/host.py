"""Does the host give what clawd needs: plugins, the unit, file descriptors, a clock, the local model?"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.site import Finding, evidence_of, fail, ok, warn
from clawd.cli.units import Scope, UnitError, units
from clawd.errors import ClawdError
from clawd.models.local_config import LocalConfig, missing_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

LEAST_FILES: Final = 256
ENOUGH_FILES: Final = 1024
OLDEST_CLOCK: Final = datetime(2026, 1, 1, tzinfo=UTC)  # this version did not exist before
AHEAD_S: Final = 120.0


def check_plugins(site: Site) -> Iterator[Finding]:
    """Every installed plugin can be imported, also those that the configuration does not use."""
    check = "plugins"
    broken: list[Finding] = []
    count = 0
    for group in (site.plugins.bridges, site.plugins.models, site.plugins.tools):
        for name in group:
            count += 1
            try:
                group[name]
            except ClawdError as error:
                broken.append(warn(check, evidence_of(error), error.remedy))
    yield from broken or [ok(check, f"{count} installed")]


def check_unit(site: Site) -> Iterator[Finding]:
    """An installed systemd unit is the one that this version would write."""
    check = "unit"
    installed = False
    scopes: tuple[Scope, ...] = ("system", "user")
    for scope in scopes:
        wanted = {_unit(site, scope, config) for config in (None, _text(site.config_path), site.config_named)}
        path, present = next(iter(wanted))[:2]
        if present is None:
            continue
        installed = True
        if any(present == text for _, _, text in wanted):
            yield ok(check, f"{path} is as this version writes it")
        else:
            yield warn(
                check, f"{path} differs from what this version writes", f"clawd service install --{scope}"
            )
    if not installed:
        yield ok(check, "not installed as a service")


def _unit(site: Site, scope: Scope, config: str | None) -> tuple[Path, str | None, str]:
    command = Path(sys.executable).parent / "clawd"
    try:
        unit = units(scope, command=command, config=config, environ=site.environ, root=site.host.root).unit
    except UnitError as error:
        return site.host.root, None, str(error)
    return unit.path, unit.present, unit.text


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def check_open_files(site: Site) -> Iterator[Finding]:
    """There are enough file descriptors for connections, files and children."""
    check = "open_files"
    limit, whose = site.host.file_limit(), "of this shell"
    if site.status is not None:
        found = _limit_of(int(site.status["pid"]))
        limit, whose = (found, "of the daemon") if found is not None else (limit, whose)
    evidence = f"the limit {whose} is {limit}"
    if limit < LEAST_FILES:
        yield fail(check, evidence, f"ulimit -n {ENOUGH_FILES}, or LimitNOFILE= in the unit")
    elif limit < ENOUGH_FILES:
        yield warn(check, evidence, f"ulimit -n {ENOUGH_FILES}, or LimitNOFILE= in the unit")
    else:
        yield ok(check, evidence)


def _limit_of(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    soft = next((line.split()[3] for line in lines if line.startswith("Max open files")), "")
    return int(soft) if soft.isdecimal() else None


def check_clock(site: Site) -> Iterator[Finding]:
    """The clock is not in the past: signatures, deadlines and logs depend on it."""
    check = "clock"
    now = datetime.fromtimestamp(site.host.now(), tz=UTC)
    evidence = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    newest = max(_changed(site), default=0.0)
    fix = "timedatectl set-ntp true"
    if now < OLDEST_CLOCK:
        yield fail(check, f"{evidence} is before this version was made", fix)
    elif newest > now.timestamp() + AHEAD_S:
        last = datetime.fromtimestamp(newest, tz=UTC)
        yield warn(check, f"{evidence}, but the state directory was written {last:%Y-%m-%d %H:%M:%S}", fix)
    elif abs(jump_s := _jump_s(site)) > AHEAD_S:
        evidence += f": it was set by {jump_s:+.0f} s since the daemon started"
        yield warn(
            check, evidence, "deadlines and logs from before are off by that; timedatectl tells who sets it"
        )
    elif site.host.synchronized() is False:
        yield warn(check, f"{evidence}, which nothing keeps in time (NTP)", fix)
    else:
        yield ok(check, evidence)


def _jump_s(site: Site) -> float:
    """Return how far the clock went apart from the time that passed while the daemon ran."""
    try:
        status = site.status or {}
        began, ran_s = datetime.fromisoformat(str(status["started_at"])), float(status["uptime_s"])
    except (KeyError, ValueError):
        return 0.0
    return site.host.now() - began.timestamp() - ran_s


def _changed(site: Site) -> Iterator[float]:
    try:
        for path in site.state_dir.iterdir():
            yield path.lstat().st_mtime
    except OSError:
        return


def check_local_model(site: Site) -> Iterator[Finding]:
    """What a local model needs is installed, if one is configured or nothing else would answer."""
    check = "local_model"
    wanted = [model for model in site.config.models if isinstance(model, LocalConfig)]
    for model in wanted:
        missing = missing_parts(model.path)
        if missing:
            yield fail(check, f"{model.name}: not everything is installed", " && ".join(missing))
        elif model.path and not Path(model.path).is_file():
            yield fail(
                check, f"{model.name}: there is no file {model.path}", f"correct models: {model.name}: path"
            )
        else:
            yield ok(check, f"{model.name}: engine and file are there")
    if wanted:
        return
    missing = missing_parts(None)
    yield ok(
        check,
        "not installed, and not configured" if missing else "installed; answers when nothing else is found",
    )
