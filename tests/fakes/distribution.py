"""Somebody else's package, installed by writing files: on PYTHONPATH its entry points are found like any others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def install_distribution(
    folder: Path,
    name: str,
    entry_points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
) -> None:
    """Write a package into a folder.

    Args:
        folder: Goes onto the path; made if it is not there.
        name: The distribution's name.
        entry_points: By group, such as `clawd.tools`: names and what they lead to.
        modules: Source texts by module name; none where the code is on the path already.
    """
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    for module, source in (modules or {}).items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{entry} = {target}" for entry, target in entries.items())])
        for group, entries in entry_points.items()
    ]
    (info / "METADATA").write_text(METADATA.format(name=name), encoding="utf-8")
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n", encoding="utf-8")
