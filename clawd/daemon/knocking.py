"""Tries a bridge that is called: sends its samples through the gateway, as its platform would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import aiohttp

from clawd.bridge import ProbeBridge, SampleBridge
from clawd.control.protocol import BridgeStep, BridgeTest
from clawd.errors import EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE, BridgeError

if TYPE_CHECKING:
    from clawd.bridge import Bridge, Sample

_TIMEOUT_S: Final = 10.0
_MAX_WORDS: Final = 200
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened at, not bound here


async def try_bridge(bridge: Bridge, gateway: str | None) -> BridgeTest:
    """Return what each step showed: those of the gateway, then the platform's answer.

    Args:
        bridge: The bridge; it is running.
        gateway: Where the gateway listens; None when it is off.
    """
    steps = await _knock(bridge.name, bridge, gateway) if isinstance(bridge, SampleBridge) else []
    if isinstance(bridge, ProbeBridge):
        steps.append(await _probe(bridge))
    failed = next((step for step in steps if not step.ok), None)
    detail = steps[-1].detail if failed is None else f"{failed.name}: {failed.detail}"
    return BridgeTest(detail=detail, steps=steps)


async def _probe(bridge: ProbeBridge) -> BridgeStep:
    try:
        detail = await bridge.probe()
    except BridgeError as error:
        return BridgeStep(name="callback", ok=False, detail=str(error), exit_code=error.exit_code)
    return BridgeStep(name="callback", ok=True, detail=detail, exit_code=EXIT_OK)


async def _knock(name: str, bridge: SampleBridge, gateway: str | None) -> list[BridgeStep]:
    if gateway is None:
        why = "the gateway is off: gateway.port is false"
        return [BridgeStep(name="reachable", ok=False, detail=why, exit_code=EXIT_UNREACHABLE)]
    url = f"{_within(gateway)}/bridges/{quote(name, safe='')}"
    steps: list[BridgeStep] = []
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        for sample in bridge.samples():
            try:
                status, body = await _post(session, url, sample)
            except (aiohttp.ClientError, OSError) as error:
                why = f"{url}: {str(error) or type(error).__name__}"
                steps.append(BridgeStep(name="reachable", ok=False, detail=why, exit_code=EXIT_UNREACHABLE))
                break
            if not steps:
                steps.append(BridgeStep(name="reachable", ok=True, detail=url, exit_code=EXIT_OK))
            steps.append(_judge(sample, status, body))
    return steps


async def _post(session: aiohttp.ClientSession, url: str, sample: Sample) -> tuple[int, bytes]:
    # The certificate is for the name that the world knows us by, and this is ourselves.
    async with session.post(
        url, data=sample.body, headers=sample.headers, allow_redirects=False, ssl=False
    ) as response:
        return response.status, await response.content.read(4096)


def _judge(sample: Sample, status: int, body: bytes) -> BridgeStep:
    ok = status == sample.status and sample.answer in body
    words = " ".join(body.decode("utf-8", "replace").split())[:_MAX_WORDS]
    detail = f"HTTP {status}" if ok else f"HTTP {status} in the place of {sample.status}: {words}"
    return BridgeStep(name=sample.what, ok=ok, detail=detail, exit_code=EXIT_OK if ok else EXIT_FAILED)


def _within(gateway: str) -> str:
    """Return the gateway's URL with an address that can be called."""
    parts = urlsplit(gateway)
    host = _ANYWHERE.get(parts.hostname or "", parts.hostname or "")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port}"
