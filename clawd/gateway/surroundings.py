"""What the daemon hands to its gateway, and how long the gateway's clients may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clawd.gateway.bodies import BODY_TIMEOUT_S
from clawd.gateway.connections import HEADER_TIMEOUT_S, WRITE_TIMEOUT_S
from clawd.gateway.places import StreamTimes
from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from clawd.artifacts.store import ArtifactStore
    from clawd.bridge import HttpBridge, Inbox
    from clawd.fanout import Fanout
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.health import Readiness
    from clawd.gateway.metrics import ReadMetrics
    from clawd.gateway.openai_models import Offered
    from clawd.ids import Clock, TurnId
    from clawd.journal.reading import Views
    from clawd.messages import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The rest of the daemon, as its gateway sees it."""

    inbox: Inbox  # where messages go
    views: Views  # where turns are read
    fanout: Fanout  # tells when turns end
    readiness: Callable[[], Readiness]  # the daemon's own view, asked for each `/readyz` and each message
    metrics: ReadMetrics  # what `/metrics` shows
    bridges: Callable[[], Mapping[str, HttpBridge]]  # the bridges to mount, by name, as they are now
    tokens: TokenStore  # who may come in; `Gateway.start` configures it
    clock: Clock  # time of messages
    erase: Callable[
        [Address, TurnId], Awaitable[None]
    ]  # deletes a conversation of this turn alone; raises HoldsMore, or NotPossible where it is open
    models: Callable[[], Collection[str]]  # the names of models and routes that a message may ask for
    # The models in force, for OpenAI's clients; None: those endpoints are not there.
    offered: Callable[[], Offered] | None = None
    artifacts: ArtifactStore | None = None  # where files are kept; None: no files are taken
    counts: Counts = field(default_factory=Counts)  # where requests are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long clients may take, in seconds."""

    header_s: float = HEADER_TIMEOUT_S  # for a new connection's first request's headers
    body_s: float = BODY_TIMEOUT_S  # for a body
    write_s: float = WRITE_TIMEOUT_S  # while taking nothing of what waits for them
    keepalive_s: float = 15.0  # the longest silence of an answer that streams to OpenAI's clients
    question_s: float = 20.0  # such an answer waits for a person's word before it ends without
    streams: StreamTimes = field(default_factory=StreamTimes)
