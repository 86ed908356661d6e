"""deploy/compose.yaml and the configuration that containers are given."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import clawd
from clawd.config.loader import load_config
from clawd.errors import ConfigError
from clawd.plugins import find_plugins
from tests.packaging.building import ROOT
from tests.packaging.recipe import stages

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = ROOT / "deploy" / "compose.yaml"
CONFIG = ROOT / "deploy" / "config.yaml"
DATA: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICE: dict[str, Any] = DATA["services"]["clawd"]
SECRETS = ("gateway_token", "metrics_token")

# Of the Compose specification, a service's attributes; what is used here beside them is a slip of the pen.
KNOWN = {
    "image", "build", "restart", "read_only", "cap_drop", "security_opt", "tmpfs", "volumes", "secrets", "ports",
    "healthcheck", "stop_grace_period", "pids_limit", "mem_limit", "logging",
}  # fmt: skip


def seconds(text: str) -> float:
    """Return a duration of Compose in seconds."""
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert found is not None, text
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def test_the_configuration_for_containers_loads_and_needs_its_secrets(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/clawd/state"}
    with pytest.raises(ConfigError, match="gateway_token"):
        load_config(CONFIG, environ, find_plugins())
    for name in SECRETS:
        (tmp_path / name).write_text(name * 4)
        (tmp_path / name).chmod(0o440)  # as Kubernetes mounts it; that is no reason for a warning
    loaded = load_config(CONFIG, environ, find_plugins())
    gateway = loaded.config.gateway
    assert (gateway.host, gateway.port) == ("0.0.0.0", 7373)  # noqa: S104 - within its container
    assert {token.name: token.scopes for token in gateway.tokens} == {
        "ops": ("chat", "admin"),
        "prometheus": ("metrics",),
    }
    assert loaded.notes == ()


def test_the_service_has_no_more_rights_than_it_needs() -> None:
    assert list(DATA["services"]) == ["clawd"]
    assert set(SERVICE) <= KNOWN
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])
    assert [mount.partition(":")[0] for mount in SERVICE["tmpfs"]] == ["/tmp"]


def test_the_service_fits_its_image() -> None:
    image = stages()[-1]
    assert SERVICE["image"] == f"clawd:{clawd.__version__}"
    assert (COMPOSE.parent / SERVICE["build"]["context"]).resolve() == ROOT
    assert (ROOT / SERVICE["build"]["dockerfile"]).exists()
    volume, config = SERVICE["volumes"]
    assert volume.partition(":")[2] == json.loads(image.last("VOLUME"))[0]
    assert volume.partition(":")[0] in DATA["volumes"]
    assert (COMPOSE.parent / config["source"]).samefile(CONFIG)
    assert config["read_only"]
    assert SERVICE["ports"][0].rpartition(":")[2] == image.last("EXPOSE")
    assert SERVICE["healthcheck"]["test"][1:] == ["clawd", "health"]
    assert set(SERVICE["secrets"]) == set(DATA["secrets"]) == set(SECRETS)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert all(secret["file"].startswith("./secrets/") for secret in DATA["secrets"].values())
    assert "deploy/secrets/" in ignored


def test_docker_waits_longer_for_the_end_than_the_daemon_takes() -> None:
    shutdown = yaml.safe_load(CONFIG.read_text())["shutdown"]
    needed = shutdown["grace_s"] + 2 * shutdown["delivery_s"] + 5
    assert seconds(SERVICE["stop_grace_period"]) >= needed
    assert set(SERVICE["logging"]["options"]) == {"max-size", "max-file"}  # else a log grows for ever


@pytest.mark.skipif(shutil.which("docker") is None, reason="left out: docker is not installed")
def test_docker_itself_reads_the_file() -> None:
    docker = shutil.which("docker") or ""
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("left out: docker has no compose here")
    subprocess.run([docker, "compose", "-f", COMPOSE, "config", "--quiet"], check=True)
