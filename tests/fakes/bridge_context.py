"""What the daemon would hand to a bridge, for tests that make one themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clawd.bridge import BridgeContext
from clawd.config.schema import NetworkConfig
from clawd.ids import SystemClock
from clawd.testing import MemoryArtifacts

if TYPE_CHECKING:
    from clawd.ids import Clock
    from clawd.media import Artifacts


def bridge_context(
    name: str,
    *,
    clock: Clock | None = None,
    network: NetworkConfig | None = None,
    artifacts: Artifacts | None = None,
    state_dir: Path = Path("/nonexistent"),
    version: str = "0",
) -> BridgeContext:
    """Return a context; without `state_dir` the bridge can keep nothing."""
    return BridgeContext(
        name=name,
        network=network or NetworkConfig(),
        clock=clock or SystemClock(),
        version=version,
        artifacts=artifacts or MemoryArtifacts(),
        state_dir=state_dir,
    )
