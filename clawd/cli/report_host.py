"""Where clawd is installed, and what its journal's file says of itself without being opened."""

from __future__ import annotations

import contextlib
import locale
import os
import platform
import shutil
import sqlite3
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from clawd import __version__
from clawd.store.backup import FOLDER
from clawd.store.opening import FILE
from clawd.store.schema import newest_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.cli.report_hiding import Hider
    from clawd.response import JsonObject

_DISTRIBUTION: Final = "clawd-agent"
_LIBRARIES: Final = ("aiohttp", "aiogram", "pydantic", "aiosqlite", "typer", "rich", "prometheus-client")
_HEADER: Final = 100
"""Bytes. Source: SQLite, Database File Format, section 1.3."""


def facts(hider: Hider, environ: Mapping[str, str], state_dir: Path) -> JsonObject:
    """Return the program, the Python that runs it, and the host."""
    return {
        "version": __version__,
        "installed": hider.path(_installed()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": hider.path(sys.executable),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "os": _os(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "container": _container(environ),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(),
        "disk": _disk(state_dir),
        "root": os.geteuid() == 0,
        "encoding": f"{sys.stdout.encoding}, {locale.getpreferredencoding(do_setlocale=False)}",
        "variables": [*sorted(name for name in environ if name.startswith("CLAWD_"))],
    }


def journal(state_dir: Path) -> JsonObject:
    """Return sizes and schema of the database; only what there is. It is not locked, and nothing is written."""
    path = state_dir / FILE
    found: JsonObject = {"schema_of_this_version": newest_schema()}
    try:
        found["bytes"] = path.stat().st_size
        found["schema"] = _schema(path)
    except (OSError, sqlite3.Error) as error:
        found["file"] = getattr(error, "strerror", None) or str(error)
    for key, other in (("wal_bytes", f"{FILE}-wal"), ("log_bytes", "clawd.log")):
        with contextlib.suppress(OSError):
            found[key] = (state_dir / other).stat().st_size
    with contextlib.suppress(OSError):
        found["backups"] = len(list((state_dir / FOLDER).iterdir()))
    return found


def _schema(path: Path) -> int | None:
    """Return the schema of a database; None of a file that is none."""
    if path.with_name(f"{path.name}-wal").exists():  # which may have a newer page than the file
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1)
        ) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])
    with path.open("rb") as file:
        header = file.read(_HEADER)
    return int.from_bytes(header[60:64], "big") if header.startswith(b"SQLite format 3\0") else None


def _installed() -> str:
    """Return how the package got here, such as `pip, in a virtual environment`."""
    try:
        distribution = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return f"not installed, from {Path(__file__).parents[2]}"
    by = (distribution.read_text("INSTALLER") or "an unknown installer").strip()
    editable = '"editable": true' in (distribution.read_text("direct_url.json") or "")
    place = "a virtual environment" if sys.prefix != sys.base_prefix else "the system's Python"
    return f"{by}{', editable' if editable else ''}, in {place}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _os() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _container(environ: Mapping[str, str]) -> str:
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if Path("/run/.containerenv").exists():
        return "podman"
    return "docker" if Path("/.dockerenv").exists() else environ.get("container", "none")[:20]


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _disk(path: Path) -> JsonObject | None:
    try:
        total, _, free = shutil.disk_usage(path)
    except OSError:
        return None
    return {"total_bytes": total, "free_bytes": free}
