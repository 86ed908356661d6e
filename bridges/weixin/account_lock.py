"""One receiver per account on a host: two would split its messages, or take them from each other."""

from __future__ import annotations

import hashlib
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clawd.errors import BridgeNotReady

if TYPE_CHECKING:
    from collections.abc import Iterator

_RETRY_S = 10.0


@contextmanager
def sole_receiver(bridge: str, account: str) -> Iterator[None]:
    """Hold the account for the block. The kernel frees it with the process, however that ends.

    The name lives in Linux's abstract socket namespace, so no file is left and the state directory of the
    other daemon does not matter; elsewhere nothing is held.

    Raises:
        BridgeNotReady: another process, or another bridge of this one, receives for this account.
    """
    if sys.platform != "linux":
        yield
        return
    name = f"\0clawd-weixin-{hashlib.sha256(account.encode()).hexdigest()[:32]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
        try:
            held.bind(name)
        except OSError as error:
            raise BridgeNotReady(
                bridge, "another clawd on this host receives for this account", retry_after_s=_RETRY_S
            ) from error
        yield
