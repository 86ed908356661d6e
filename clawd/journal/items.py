"""What the inbox hands to the journal, and what the journal says of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clawd.messages import Edited, Moved, Unreadable

if TYPE_CHECKING:
    from clawd.ids import DeliveryId, QuestionId, TurnId
    from clawd.messages import Address, Choice, InboundControl, InboundMessage, Media, MessageId


Right = Literal["chat", "tools", "owner"]
"""Of who wrote a message: to talk, to let tools run, or to everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedMessage:
    """A message that access let in, with the sender's right; `app` is to be told that it came.

    `chooses`: it asks for another model, which a turn that waits for the network in front of it may use.
    """

    message: InboundMessage
    right: Right
    app: str | None = None
    chooses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedControl:
    """A control that access let in.

    `own_only` holds approve and deny to a question that is open at the control's own address and that its
    sender asked for: the id in a control may be made up.
    """

    control: InboundControl
    own_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A message that no turn made: a command's answer, a pairing code, `clawd send`.

    `id` is its dedup key: the same push is never written twice.
    """

    id: MessageId
    address: Address
    text: str
    reference: str | None = None
    files: tuple[Media, ...] = ()  # stored ones
    question: QuestionId | None = None  # that no turn asks, such as whether to let a stranger in
    choices: tuple[Choice, ...] = ()
    kind: Literal["push", "alert"] = "push"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A push was written."""

    delivery: DeliveryId


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An update was kept or a control noted; `turn` is that of the control or the edit, if it had one."""

    turn: TurnId | None = None
    fetched: bool = False  # of a `fetch`: something is on its way to the sender


Item = AdmittedMessage | AdmittedControl | Push | Edited | Moved | Unreadable
