"""The suite that every bridge passes, for authors of bridges too; docs/writing-a-bridge.md shows its use.

It needs pytest and pytest-asyncio, which clawd itself does not.
"""

from clawd.conformance.inbox import MemoryInbox
from clawd.conformance.platform import Feature, MediaKind, Platform
from clawd.conformance.suite import BridgeConformance

__all__ = ["BridgeConformance", "Feature", "MediaKind", "MemoryInbox", "Platform"]
