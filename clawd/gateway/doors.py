"""Everything that answers requests: one door for each part of the API, with its paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clawd.gateway.actions import Actions
from clawd.gateway.approvals import Approvals
from clawd.gateway.attachments import Attachments
from clawd.gateway.bridges import BridgeMounts
from clawd.gateway.conversations import Conversations
from clawd.gateway.events import EventStreams
from clawd.gateway.files import Files
from clawd.gateway.health import Health
from clawd.gateway.held_inbox import HeldInbox
from clawd.gateway.metrics import MetricsPage
from clawd.gateway.openai_paths import OpenAIPaths
from clawd.gateway.openapi import Description
from clawd.gateway.remote import RemoteDoor
from clawd.gateway.rest import Messages
from clawd.gateway.session import Streaming
from clawd.gateway.waits import Waits
from clawd.gateway.websocket import WebSockets

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiohttp import web

    from clawd.config.schema import GatewayConfig
    from clawd.gateway.apps import Callers
    from clawd.gateway.limits import Limits
    from clawd.gateway.openai import OpenAIDoor
    from clawd.gateway.openai_models import Offered
    from clawd.gateway.places import Places
    from clawd.gateway.remote import Mounted
    from clawd.gateway.surroundings import Surroundings, Times


class Door(Protocol):
    """One part of the API."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        ...


class Doors:
    """The doors of one gateway.

    Args:
        around: What is behind them.
        settings: The configuration in force, asked for each request.
        limits: Count what a token sends.
        callers: Tell who opens a stream.
        places: Hold the open streams.
        times: How long clients may take.
    """

    def __init__(
        self,
        around: Surroundings,
        settings: Callable[[], GatewayConfig],
        *,
        limits: Limits,
        callers: Callers,
        places: Places,
        times: Times,
    ) -> None:
        self._around = around
        self._settings = settings
        self._times = times
        self._inbox = HeldInbox(around.inbox, around.tokens)
        self._attachments = Attachments(around.artifacts)
        self._waits = Waits(around.views, around.fanout)
        approvals = Approvals(
            self._inbox,
            around.views,
            around.tokens,
            around.clock,
            max_body_bytes=self._max_body_bytes,
            body_timeout_s=times.body_s,
        )
        streaming = self._streaming(approvals, limits, callers)
        offered = around.offered
        self._openai = OpenAIPaths(lambda: self._openai_door(offered)) if offered is not None else None
        self._all: list[Door] = [
            Health(around.readiness),
            MetricsPage(around.metrics, around.tokens, settings().host, around.clock),
            BridgeMounts(around.bridges, self._inbox, body_timeout_s=times.body_s),
            self._messages(),
            approvals,
            Conversations(around.views, around.tokens),
            *self._files(),
            *([self._openai] if self._openai is not None else []),
            WebSockets(streaming, places, max_frame_bytes=self._max_body_bytes),
            EventStreams(streaming, places),
            Description(),
        ]
        self._remote: RemoteDoor | None = None

    @property
    def remote(self) -> RemoteDoor | None:
        """The control protocol, where it is mounted."""
        return self._remote

    def mount(self, control: Mounted) -> None:
        """Serve the control protocol too, to tokens that may."""
        self._remote = RemoteDoor(control, self._around.tokens, body_timeout_s=self._times.body_s)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of all doors."""
        return [route for door in self._all for route in door.routes()]

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks that models answer clients in."""
        return self._openai.tasks() if self._openai is not None else frozenset()

    def close(self) -> None:
        """Let go of the clients that wait for something."""
        self._waits.close()
        if self._remote is not None:
            self._remote.close()
        if self._openai is not None:
            self._openai.close()

    def _max_body_bytes(self) -> int:
        return self._settings().max_body_bytes

    def _messages(self) -> Messages:
        around = self._around
        return Messages(
            self._inbox,
            around.views,
            self._waits,
            around.tokens,
            around.clock,
            models=around.models,
            attachments=self._attachments,
            max_body_bytes=self._max_body_bytes,
            callbacks=lambda: self._settings().callbacks,
            body_timeout_s=self._times.body_s,
        )

    def _files(self) -> list[Door]:
        around = self._around
        if around.artifacts is None:
            return []
        return [Files(around.artifacts, around.tokens, body_timeout_s=self._times.body_s)]

    def _openai_door(self, offered: Callable[[], Offered]) -> OpenAIDoor:
        # 0.4 MB that a daemon whose clients speak otherwise does without.
        from clawd.gateway.openai import OpenAIDoor
        from clawd.gateway.openai_agent import AgentDoor
        from clawd.gateway.openai_kept import KeptResponses

        around = self._around
        agent = AgentDoor(
            self._inbox,
            around.views,
            around.fanout,
            around.clock,
            self._attachments,
            question_s=self._times.question_s,
        )
        return OpenAIDoor(
            agent,
            KeptResponses(agent, around.tokens, self._waits, around.erase),
            offered,
            around.tokens,
            around.clock,
            max_body_bytes=self._max_body_bytes,
            body_timeout_s=self._times.body_s,
            keepalive_s=self._times.keepalive_s,
        )

    def _streaming(self, approvals: Approvals, limits: Limits, callers: Callers) -> Streaming:
        around = self._around
        return Streaming(
            views=around.views,
            fanout=around.fanout,
            callers=callers,
            actions=Actions(
                self._inbox,
                around.views,
                approvals,
                around.clock,
                attachments=self._attachments,
                limits=limits,
                models=around.models,
                draining=lambda: around.readiness().draining,
            ),
            max_subscriptions=lambda: self._settings().max_subscriptions,
            times=self._times.streams,
        )
