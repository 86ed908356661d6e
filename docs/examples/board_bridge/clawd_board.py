"""The plugin: what clawd imports to read the configuration. It has to be cheap, so it imports no HTTP library."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clawd.bridge import Bridge, BridgeConfig, BridgeContext, BridgePlugin, Secret


class BoardConfig(BridgeConfig):
    """`bridges: {board: {url: "https://board.example.com", token: {env: BOARD_TOKEN}}}`."""

    type: str = "board"
    url: Annotated[str, Field(pattern=r"^https?://[^/?#]+$")]
    token: Secret
    poll_s: Annotated[int, Field(ge=1, le=50)] = 25  # how long the board may hold a request for news


def _create(context: BridgeContext, config: BoardConfig) -> Bridge:
    from clawd_board_client import BoardBridge

    return BoardBridge(context, config)


PLUGIN = BridgePlugin(type="board", config=BoardConfig, create=_create)
