"""What the suite needs of a chat platform's double: a person at its other side, and its faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.messages import Address, Part

Feature = Literal[
    "redelivery",  # what was not acknowledged is delivered again by the platform
    "repeats",  # so may be what was acknowledged
    "connection",  # the bridge holds a connection or polls, so that it can be out of reach
    "credentials",  # they can be revoked, for receiving and for sending
    "limit",  # a send can be refused for some seconds
    "gone",  # a chat can be gone for good
    "reset",  # the connection can break when the platform has taken a message
    "refused",  # nobody listens at the platform's address
    "garbage",  # the platform can deliver what no version of it should
    "files_in",  # people can send files
    "files_out",  # files can be sent to people
]

MediaKind = Literal["image", "audio", "file"]


class Platform(Protocol):
    """A platform under the test's control, with one account on it.

    `say` and its like return once the platform has the message, not once it is delivered. Chats are named
    by short digit strings and made when first named; a private chat has one person in it.
    """

    features: Collection[Feature]
    secrets: Sequence[str]  # what must never be seen in an error or a log

    def bridge(self, context: BridgeContext) -> Bridge:
        """Return a new bridge for the account; the suite closes it."""
        ...

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        """From now on this bridge receives: a platform that calls us calls its `handle`."""
        ...

    def detach(self) -> None:
        """Nobody receives from now on; what comes waits at the platform, if it has `redelivery`."""
        ...

    def address(self, chat: str) -> Address:
        """Return the address of a chat, as an outbound message names it."""
        ...

    async def say(self, text: str, *, chat: str = "1") -> None:
        """Let a person write."""
        ...

    async def say_again(self) -> None:
        """Deliver the last message once more, though it was acknowledged. Feature `repeats`."""
        ...

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        """Let a person send a file. Feature `files_in`."""
        ...

    async def send_garbage(self) -> None:
        """Deliver, with good credentials, what can't be read. Feature `garbage`."""
        ...

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        """Return the texts in a chat that came from us once there are at least `count`, oldest first."""
        ...

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        """Return the files in a chat that came from us once there are `count`. Feature `files_out`."""
        ...

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        """Let things go wrong until `mend`.

        `connection`: receiving fails as in an outage. `credentials`: revoked. `limit`: sends to the chat are
        refused for `wait_s` seconds. `gone`: the chat is gone. `reset`: the next send is taken and its
        connection broken. `refused`: nobody listens at the address.
        """
        ...

    async def mend(self) -> None:
        """Let everything work again."""
        ...

    def text_of(self, parts: Sequence[Part]) -> str:
        """Return what the suite said, found in an inbound message's parts: most platforms carry it as it is."""
        ...
