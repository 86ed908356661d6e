"""deploy/kubernetes: valid, within the restricted standard, and true of the daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

import clawd
from clawd.config.schema import Config
from tests.crash.process import DaemonProcess
from tests.packaging.manifests import (
    FOLDER,
    RULE_OBJECT,
    RULES,
    SECRETS,
    Manifest,
    example,
    kustomize,
    one,
    parsed,
    rendered,
    rule_text,
)
from tests.packaging.recipe import UID, stages

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="left out: kubectl is not installed")

OUR_OWN = (
    "monitoring.coreos.com/"  # types of the Prometheus Operator, whose schemas are no part of Kubernetes
)


@pytest.fixture(scope="module")
def base_text() -> str:
    return rendered(FOLDER / "base")


@pytest.fixture
def base(base_text: str) -> list[Manifest]:
    return parsed(base_text)


@pytest.fixture
def stateful_set(base: list[Manifest]) -> Manifest:
    found: Manifest = one(base, "StatefulSet")["spec"]
    return found


@pytest.fixture
def pod(stateful_set: Manifest) -> Manifest:
    found: Manifest = stateful_set["template"]["spec"]
    return found


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def overlay(tmp_path: Path) -> list[Manifest]:
    return parsed(rendered(example(tmp_path)))


# --- valid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_knows_every_field(
    base_text: str, overlay: list[Manifest], tmp_path: Path, version: str
) -> None:
    ours = [manifest for manifest in overlay if not manifest["apiVersion"].startswith(OUR_OWN)]
    assert len(ours) == len(overlay) - 2
    (tmp_path / "base.yaml").write_text(base_text)
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump_all(ours))
    validate = str(Path(sys.executable).with_name("kubernetes-validate"))
    files = [str(tmp_path / "base.yaml"), str(tmp_path / "overlay.yaml")]
    command = [validate, "--strict", "-k", version, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0, told
    assert [line for line in told if not line.startswith("INFO ")] == []


def test_the_image_is_this_version(container: Manifest, overlay: list[Manifest]) -> None:
    assert container["image"] == f"clawd:{clawd.__version__}"
    (in_overlay,) = one(overlay, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert in_overlay["image"] == f"registry.example.com/clawd:{clawd.__version__}"


def test_no_secret_is_committed(base_text: str, tmp_path: Path) -> None:
    assert "kind: Secret" not in base_text
    overlay = example(tmp_path)
    shutil.rmtree(overlay / "secrets")
    done = kustomize(overlay)
    assert done.returncode != 0  # rather than a cluster with a token that everybody knows
    assert "secrets/gateway_token" in done.stderr
    assert "deploy/kubernetes/**/secrets/" in (FOLDER.parents[1] / ".gitignore").read_text().splitlines()


# --- one daemon on one volume -----------------------------------------------------------------------------


def test_there_is_one_pod_and_it_keeps_its_volume(stateful_set: Manifest, pod: Manifest) -> None:
    assert stateful_set["replicas"] == 1
    assert stateful_set["updateStrategy"] == {
        "type": "RollingUpdate"
    }  # the old one is gone before the new one
    assert set(stateful_set["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    (claim,) = stateful_set["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {claim["metadata"]["name"], *(volume["name"] for volume in pod["volumes"])}


def test_a_stop_is_given_longer_than_it_may_take(
    base: list[Manifest], pod: Manifest, container: Manifest
) -> None:
    shutdown = yaml.safe_load(one(base, "ConfigMap")["data"]["config.yaml"])["shutdown"]
    sleep, pause = container["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    needed = int(pause) + shutdown["grace_s"] + 2 * shutdown["delivery_s"] + 5
    assert pod["terminationGracePeriodSeconds"] >= needed


def test_the_pod_fits_the_image(pod: Manifest, container: Manifest) -> None:
    image = stages()[-1]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert json.loads(image.last("VOLUME"))[0] in mounts
    assert mounts["/etc/clawd"]["readOnly"]
    assert str(container["ports"][0]["containerPort"]) == image.last("EXPOSE")
    (directory,) = (item["value"] for item in container["env"] if item["name"] == "CREDENTIALS_DIRECTORY")
    assert mounts[directory]["readOnly"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == UID
    assert "command" not in container  # the image's own: tini, and clawd
    assert "args" not in container


# --- the restricted standard ------------------------------------------------------------------------------


def breaches(pod: Manifest) -> Iterator[str]:
    """Yield what the Pod Security Standard `restricted` forbids.

    Source: Kubernetes, Concepts, Security, Pod Security Standards: the rules of `baseline` and `restricted`.
    """
    of_pod = pod.get("securityContext", {})
    yield from (f"{key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
    if set(of_pod) & {"sysctls", "seLinuxOptions", "windowsOptions", "supplementalGroups"}:
        yield "securityContext"
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
    }
    for volume in pod.get("volumes", ()):
        if not set(volume) - {"name"} <= allowed | {"secret"}:
            yield f"volume {volume['name']}"
    for one_of in (*pod["containers"], *pod.get("initContainers", ()), *pod.get("ephemeralContainers", ())):
        own: dict[str, Any] = one_of.get("securityContext", {})
        both = {**of_pod, **own}
        if own.get("privileged") or own.get("procMount", "Default") != "Default":
            yield "privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {
            "NET_BIND_SERVICE"
        }:
            yield "capabilities"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield "runAsNonRoot"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        if any("hostPort" in port for port in one_of.get("ports", ())):
            yield "hostPort"


def test_the_pod_keeps_to_the_restricted_standard(
    pod: Manifest, container: Manifest, overlay: list[Manifest]
) -> None:
    assert list(breaches(pod)) == []
    assert list(breaches(one(overlay, "StatefulSet")["spec"]["template"]["spec"])) == []
    enforced = one(overlay, "Namespace")["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    # And beyond it:
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert set(container["resources"]["limits"]) == {"memory"}


def test_the_judge_of_the_standard_sees_what_is_wrong() -> None:
    assert set(breaches({"containers": [{}], "hostPID": True, "volumes": [{"name": "x", "hostPath": {}}]})) == {
        "hostPID", "volume x", "allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile",
    }  # fmt: skip


def test_the_network_is_closed_but_for_clients_prometheus_names_and_https(base: list[Manifest]) -> None:
    spec = one(base, "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert all(
        rule["from"] and [port["port"] for port in rule["ports"]] == ["http"] for rule in spec["ingress"]
    )
    dns, world = spec["egress"]
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert [port["port"] for port in world["ports"]] == [443]
    inside = {address for block in world["to"] for address in block["ipBlock"]["except"]}
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "fc00::/7"} <= inside


# --- Prometheus -------------------------------------------------------------------------------------------


def test_the_monitor_finds_the_service_and_its_token(overlay: list[Manifest]) -> None:
    monitor = one(overlay, "ServiceMonitor")["spec"]
    service = one(overlay, "Service")
    secret = one(overlay, "Secret")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    wanted = endpoint["authorization"]["credentials"]
    assert wanted["name"] == secret["metadata"]["name"] != "clawd-credentials"  # with the hash of its content
    assert wanted["key"] in secret["data"]


def test_the_alert_rules_are_those_of_prometheus() -> None:
    assert RULE_OBJECT.read_text() == rule_text(), "run: make pages"
    assert yaml.safe_load(rule_text())["spec"] == yaml.safe_load(RULES.read_text())


# --- the daemon -------------------------------------------------------------------------------------------


async def test_a_daemon_with_this_configuration_answers_what_is_asked_of_it(
    base: list[Manifest], container: Manifest, overlay: list[Manifest], tmp_path: Path
) -> None:
    text = one(base, "ConfigMap")["data"]["config.yaml"]
    assert Config.model_fields.keys() > yaml.safe_load(text).keys()
    assert text.count("port: 7373") == 1
    (tmp_path / "config.yaml").write_text(text.replace("port: 7373", "port: 0"))
    (tmp_path / "credentials").mkdir()
    for name, value in SECRETS.items():
        (tmp_path / "credentials" / name).write_text(value)
    daemon = DaemonProcess(tmp_path)
    await daemon.spawn(environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    try:
        assert await daemon.ready(), daemon.tail()
        port = (await daemon.control("status"))["gateway"].rpartition(":")[2]
        probes = {
            container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
        }
        service = one(overlay, "Service")["metadata"]
        (scraped,) = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

            async def get(path: str, *, token: str = "", host: str = "10.0.0.7") -> int:
                headers = {"Host": host, **({"Authorization": f"Bearer {token}"} if token else {})}
                async with http.get(path, headers=headers) as response:
                    return response.status

            # The kubelet and Prometheus call the pod by its address.
            assert {path: await get(path) for path in probes} == dict.fromkeys(["/healthz", "/readyz"], 200)
            assert await get(scraped["path"]) == 401
            token = SECRETS[scraped["authorization"]["credentials"]["key"]]
            assert await get(scraped["path"], token=token) == 200
            name = f"{service['name']}.{service['namespace']}"
            for host in (service["name"], name, f"{name}.svc", f"{name}.svc.cluster.local:7373"):
                assert await get("/v1/conversations", token=SECRETS["gateway_token"], host=host) == 200
            assert await get("/v1/conversations", token=token) == 403
            assert await get("/v1/conversations", host=f"{name}.example.com") == 403
    finally:
        daemon.terminate()
        assert await daemon.dead() == 0
