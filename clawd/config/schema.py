"""The configuration's tree. Defaults here are the documented ones; `config.example.yaml` shows each key.

Sections of plugins (bridges, model providers, tools) live with their owners and are validated by
the loader through the plugin's own model.
"""

from __future__ import annotations

from datetime import date
from ipaddress import ip_network
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, InstanceOf, model_validator

from clawd.config.alerts import AlertsConfig
from clawd.config.base import ConfigPath, PluginConfig, Secret, Section
from clawd.config.callbacks import AppCallbackConfig, CallbacksConfig
from clawd.config.otel import OtelConfig

PositiveSeconds = Annotated[float, Field(gt=0, le=7 * 86400)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Owner = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}:.+$")]  # BRIDGE:SENDER
# Platforms' ids are often numbers, which YAML tells apart from text and people do not.
SenderId = Annotated[
    str,
    BeforeValidator(
        lambda value: str(value) if type(value) is int else value, json_schema_input_type=str | int
    ),
]


class NetworkConfig(Section):
    """How outbound connections leave this host."""

    proxy: str | None = None  # http://… or, with the extra `socks`, socks5://…
    ca_file: ConfigPath | None = None  # PEM bundle that replaces the built-in one


class AgentConfig(Section):
    """The agent loop and its limits."""

    instructions: str = "You are clawd, a helpful assistant. Answer in the language of the question."
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 40
    max_turn_s: PositiveSeconds = 900
    max_turn_usd: Annotated[float, Field(gt=0)] = 1.0
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 6
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 32
    busy: Literal["queue", "steer", "interrupt"] = "queue"  # what a message does to a turn in work
    context_tokens: Annotated[int, Field(ge=512)] = 32_000  # window of a model that says nothing of its own
    offline_wait_s: Annotated[float, Field(ge=0, le=30 * 86400)] = (
        0  # a turn waits so long for a network that is away; 0: it fails
    )


Usd = Annotated[float, Field(ge=0)]
OneOrMore = BeforeValidator(
    lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | list[str]
)


class PriceConfig(Section):
    """What a model costs, in US dollars for a million tokens."""

    input: Usd
    output: Usd
    cached: Usd | None = None  # input read from the provider's cache; None: as `input`
    cache_write: Usd | None = None  # input written to it; None: as `input`
    as_of: date | None = None  # when somebody last looked


class ModelConfig(PluginConfig):
    """What every model has; each provider type adds its own keys."""

    name: Name
    type: str
    context_tokens: Annotated[int, Field(ge=512)] | None = None  # its window; None: not known
    price: PriceConfig | None = None  # None: that of the presets, if they know the model
    day_usd: Annotated[float, Field(gt=0)] | None = (
        None  # its own budget; the route's others go on without it
    )
    concurrency: Annotated[int, Field(ge=1)] | None = None  # requests at a time
    requests_per_min: Annotated[int, Field(ge=1)] | None = None
    tokens_per_min: Annotated[int, Field(ge=1)] | None = None
    first_token_s: PositiveSeconds | None = None  # later than that is slow; None: that of `breaker`

    def size(self) -> tuple[int | None, int | None, Literal["large", "small"]]:
        """Return its window and the longest answer in tokens, None where not known, and its vocabulary."""
        return self.context_tokens, None, "large"


class RouteRule(Section):
    """When a route is taken: all that is set must hold. Lists hold if one of their entries does."""

    prefix: Annotated[str, Field(min_length=1)] | None = (
        None  # the message begins with it, such as /think; the model is shown the rest
    )
    keyword: Annotated[tuple[str, ...], OneOrMore] = ()  # occurs in the message, upper or lower case
    has_image: bool | None = None
    length: Annotated[int, Field(ge=1)] | None = None  # the message has at least so many characters
    bridge: Annotated[tuple[str, ...], OneOrMore] = ()
    conversation: Annotated[
        tuple[str, ...], OneOrMore
    ] = ()  # addresses, as `clawd conversations list` has them
    user: Annotated[tuple[Owner, ...], OneOrMore] = ()  # BRIDGE:SENDER

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(value in (None, ()) for _, value in self):
            keys = ", ".join(type(self).model_fields)
            raise ValueError(f"an empty rule holds for every message; say one of {keys}")
        return self


class RouteConfig(Section):
    """A named choice of models, and when it is taken: by one of its rules, or by its name."""

    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    strategy: Literal["priority", "fastest", "cheapest"] = "priority"
    strict: bool = False  # only the first model: no other takes over when it fails
    hedge: bool | None = None  # None: as `breaker.hedge`
    rules: tuple[RouteRule, ...] = ()


class BreakerConfig(Section):
    """When a model counts as slow, failed or out of service; a model may set its own time-outs."""

    connect_s: PositiveSeconds = 5
    first_token_timeout_s: PositiveSeconds = 20
    idle_s: PositiveSeconds = 30
    total_s: PositiveSeconds = 300
    first_token_s: PositiveSeconds = 8
    error_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    slow_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    window_s: PositiveSeconds = 60
    min_calls: Annotated[int, Field(ge=1)] = 5
    open_s: PositiveSeconds = 30
    hedge: bool = True


class BudgetsConfig(Section):
    """Money limits in US dollars; None is no limit. Days and months are those of UTC."""

    day_usd: Annotated[float, Field(gt=0)] | None = None
    month_usd: Annotated[float, Field(gt=0)] | None = None
    user_day_usd: Annotated[float, Field(gt=0)] | None = None  # of each sender
    conversation_day_usd: Annotated[float, Field(gt=0)] | None = None  # of each conversation
    warn_at: Annotated[float, Field(gt=0, le=1)] = 0.8  # share of a budget from which on people are told


class BridgeConfig(PluginConfig):
    """What every bridge has; each platform adds its own keys."""

    # Whether owners are asked there, by buttons, to let strangers in: a private chat has its person's id.
    asks_owners: ClassVar[bool] = False

    type: str
    enabled: bool = True
    allow: tuple[SenderId, ...] = ()  # sender ids let in without pairing; "*" lets everybody in
    on_ambiguous: Literal["resend", "hold"] = "resend"
    network: NetworkConfig | None = None


TokenScope = Literal["chat", "read", "metrics", "admin"]
CONVERSATION_PREFIX = r"^[A-Za-z0-9_.:@+=~-]{0,64}$"
REQUEST_RATE = r"^[1-9]\d{0,5}/(s|min|h)$"
ORIGIN = r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$"  # as browsers write it


class TokenConfig(Section):
    """A bearer token for the gateway."""

    name: Name
    token: Secret
    scopes: tuple[TokenScope, ...] = ("chat",)
    conversations: Annotated[str, Field(pattern=CONVERSATION_PREFIX)] = (
        ""  # what names of its conversations begin with
    )
    expires: AwareDatetime | None = None
    rate: Annotated[str, Field(pattern=REQUEST_RATE)] | None = None  # requests; None: no limit
    day: Annotated[int, Field(ge=1)] | None = None  # messages from midnight to midnight UTC


class TlsConfig(Section):
    """Certificate and key in PEM; files that are renewed are read again."""

    cert: ConfigPath  # with the chain
    key: ConfigPath


def _network(text: str) -> str:
    """Return the text if it names addresses, raise ValueError otherwise."""
    ip_network(text, strict=False)
    return text


WebOrigin = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
Network = Annotated[str, AfterValidator(_network)]


class AppConfig(Section):
    """A chat front end of somebody's own: its conversations, and the web pages that may speak for it."""

    app_id: Name  # also the account of its conversations
    token: Secret
    origins: tuple[Annotated[str, Field(pattern=ORIGIN)], ...] = ()  # pages that may connect
    conversations: Annotated[str, Field(pattern=CONVERSATION_PREFIX)] = (
        ""  # what names of its conversations begin with
    )
    callback: AppCallbackConfig | None = None  # told what happens in its conversations


class GatewayConfig(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | Literal[False] = 7373  # 0 = any free one, false = off
    tokens: tuple[TokenConfig, ...] = ()
    hosts: tuple[str, ...] = ()  # further Host names that requests may carry
    cors: tuple[WebOrigin, ...] = ()  # origins whose pages may use /v1
    tls: TlsConfig | None = None
    trusted_proxies: tuple[Network, ...] = ()  # whose X-Forwarded-* headers are believed
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    max_connections: Annotated[int, Field(ge=1)] = 2048
    apps: tuple[AppConfig, ...] = ()
    callbacks: CallbacksConfig | None = None  # which callback_url a message may carry; None: none
    max_sockets: Annotated[int, Field(ge=1, le=100_000)] = 2000  # WebSockets and event streams at a time
    max_subscriptions: Annotated[int, Field(ge=1, le=10_000)] = 100  # conversations on one WebSocket


class AccessConfig(Section):
    """Who may talk to clawd."""

    default: Literal["pair", "allow", "deny"] = "pair"
    grant: Literal["chat", "tools"] = "chat"  # the right of those let in
    owners: tuple[Owner, ...] = ()
    rate: Annotated[str, Field(pattern=r"^\d{1,6}/(s|min|h)$")] = "20/min"  # per sender


class ToolConfig(PluginConfig):
    """What every tool has; each tool adds its own keys."""

    enabled: bool = True


class ToolsConfig(Section):
    """The tools offered to the model."""

    on_unknown: Literal["report", "ask", "retry"] = "report"  # for a call that a crash cut off
    approval_timeout_s: PositiveSeconds = 3600  # a question without an answer by then means no
    settings: dict[str, InstanceOf[ToolConfig]] = {}  # the other keys of `tools:`, one per tool


class DeliveryConfig(Section):
    """How replies go out."""

    repeat_mark: str = "(may be a repeat)"
    max_age_s: PositiveSeconds = 86400
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    send_timeout_s: PositiveSeconds = 60


class JournalConfig(Section):
    """The database."""

    max_queue: Annotated[int, Field(ge=1)] = 10_000  # open turns before new messages are refused
    dedup_days: Annotated[int, Field(ge=7)] = 7
    keep_days: Annotated[int, Field(ge=1)] | None = None  # finished turns that are older go; None: for ever
    lock_timeout_s: PositiveSeconds = 5
    max_file_bytes: Annotated[int, Field(ge=1)] = 20_000_000  # of a single file
    max_files_bytes: Annotated[int, Field(ge=1)] = 1_000_000_000  # of all files together
    cache_kb: Annotated[int, Field(ge=64, le=1_000_000)] = 2000  # of pages in memory, for each connection


class LoggingConfig(Section):
    """Where and how much is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    file: bool = True  # STATE_DIR/clawd.log, read by `clawd logs`
    max_bytes: Annotated[int, Field(ge=10_000)] = 10_000_000
    backups: Annotated[int, Field(ge=0, le=100)] = 3
    otel: OtelConfig | None = None  # None: the standard variables of OpenTelemetry alone


class ShutdownConfig(Section):
    """How long a stop may take."""

    grace_s: PositiveSeconds = 20  # running turns may finish
    delivery_s: PositiveSeconds = 5  # replies that are ready may go out


class Config(Section):
    """The whole configuration."""

    state_dir: ConfigPath | None = None
    profile: Literal["default", "edge"] = "default"  # what the defaults are: `clawd/config/profiles.py`
    # What says nothing is not checked: each check would be built in each start, for defaults that are ours.
    network: NetworkConfig = NetworkConfig.model_construct()
    agent: AgentConfig = AgentConfig.model_construct()
    models: tuple[InstanceOf[ModelConfig], ...] = ()  # empty: found by itself at start
    routes: dict[Name, RouteConfig] = {}
    breaker: BreakerConfig = BreakerConfig.model_construct()
    budgets: BudgetsConfig = BudgetsConfig.model_construct()
    bridges: dict[Name, InstanceOf[BridgeConfig]] = {}
    gateway: GatewayConfig = GatewayConfig.model_construct()
    access: AccessConfig = AccessConfig.model_construct()
    tools: ToolsConfig = ToolsConfig.model_construct()
    delivery: DeliveryConfig = DeliveryConfig.model_construct()
    alerts: AlertsConfig = AlertsConfig.model_construct()
    journal: JournalConfig = JournalConfig.model_construct()
    logging: LoggingConfig = LoggingConfig.model_construct()
    shutdown: ShutdownConfig = ShutdownConfig.model_construct()
