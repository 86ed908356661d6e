"""The Kubernetes manifests as they would be applied; kustomize works without a cluster.

`python -m tests.packaging.manifests` (one of `make pages`) writes the alert rules of deploy/prometheus into the component anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import yaml

from tests.packaging.building import ROOT

FOLDER: Final = ROOT / "deploy" / "kubernetes"
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yaml"
RULE_OBJECT: Final = FOLDER / "components" / "servicemonitor" / "prometheusrule.yaml"
SECRETS: Final = {
    "gateway_token": "ops-0123456789abcdef0123456789",
    "metrics_token": "scrape-0123456789abcdef012",
}

Manifest = dict[str, Any]

_HEAD: Final = """\
# The alert rules of deploy/prometheus/rules.yaml for the Prometheus Operator.
# Made by `make pages`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: clawd
  labels: {app.kubernetes.io/name: clawd}
spec:
"""


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """Let kustomize render a folder."""
    command = [shutil.which("kubectl") or "kubectl", "kustomize", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(folder: Path) -> str:
    """Return what kustomize makes of a folder."""
    done = kustomize(folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # nothing deprecated
    return done.stdout


def example(folder: Path) -> Path:
    """Return a copy of the example with secrets, as its comment says to make them."""
    copied = folder / "kubernetes"
    shutil.copytree(FOLDER, copied, ignore=shutil.ignore_patterns("secrets"))
    overlay = copied / "overlays" / "example"
    (overlay / "secrets").mkdir()
    for name, value in SECRETS.items():
        (overlay / "secrets" / name).write_text(f"{value}\n")
    return overlay


def parsed(text: str) -> list[Manifest]:
    return list(yaml.safe_load_all(text))


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the only manifest of a kind whose name begins so."""
    (found,) = (m for m in manifests if m["kind"] == kind and m["metadata"]["name"].startswith(name))
    return found


def rule_text() -> str:
    """Return what `prometheusrule.yaml` has to be."""
    return _HEAD + textwrap.indent(RULES.read_text(), "  ", lambda line: bool(line.strip()))


if __name__ == "__main__":
    RULE_OBJECT.write_text(rule_text())
    sys.stdout.write(f"wrote {RULE_OBJECT}\n")
