"""How a person at the terminal names a conversation."""

from __future__ import annotations

from clawd.control.answers import BadRequest
from clawd.messages import Address

TERMINAL = "terminal"
DEFAULT_CONVERSATION = "default"
NAME_LENGTH = 128


def terminal_address(account: str, name: str) -> Address:
    """Return the address of a user's own conversation."""
    return Address(bridge=TERMINAL, account=account, chat=name)


def address_named(text: str, account: str) -> Address:
    """Return the address that `text` means to this user: `bridge:account:chat[:thread]`, or a plain name.

    Raises:
        BadRequest: neither an address nor a usable name.
    """
    if ":" in text:
        return parsed_address(text)
    if not text.strip() or len(text) > NAME_LENGTH or not text.isprintable():
        raise BadRequest(
            "the conversation's name can't be used", why=f"1 to {NAME_LENGTH} printable characters are taken"
        )
    return terminal_address(account, text)


def parsed_address(text: str) -> Address:
    """Return the address that `text` spells out; raises BadRequest when it does not."""
    try:
        return Address.parse(text)
    except ValueError as error:
        raise BadRequest(
            "the address can't be read", why=str(error), remedy="clawd conversations list shows addresses"
        ) from error
