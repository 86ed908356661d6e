"""Tokens that people make: kept as hashes, limited in scope, conversations and time, and revoked at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

from clawd.config.base import Secret
from clawd.config.schema import TokenConfig
from clawd.errors import NotFound, NotPossible
from clawd.gateway.auth import TokenStore
from clawd.gateway.problems import RequestRefused
from clawd.gateway.token import Token
from clawd.store.sqlite import Store
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.config.schema import TokenScope


@pytest.fixture
async def store(state_dir: Path) -> AsyncIterator[Store]:
    store = await Store.open(state_dir, highest=lambda _: 0)
    yield store
    await store.close()


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


async def tokens_of(state_dir: Path, store: Store, clock: ManualClock, *given: TokenConfig) -> TokenStore:
    tokens = TokenStore(state_dir, clock=clock, store=store)
    await tokens.configure(given)
    return tokens


def ask(tokens: TokenStore, value: str, scope: TokenScope = "chat", *others: TokenScope) -> Token:
    return tokens.require(CIMultiDict([("Authorization", f"Bearer {value}")]), scope, *others)


async def test_a_created_token_counts_after_a_restart_and_its_value_is_nowhere_kept(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    value = await tokens.create("phone", scopes=["chat"], conversations="p-", rate="60/min", day=5)
    again = await tokens_of(state_dir, store, clock)
    assert ask(again, value) == ask(tokens, value)
    assert ask(again, value).conversations == "p-"
    rows = await store.read("SELECT * FROM token")
    assert value not in repr(rows)
    files = b"".join(path.read_bytes() for path in state_dir.iterdir() if path.is_file())
    assert value.encode() not in files


async def test_the_generated_token_goes_on_beside_created_ones(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    await tokens.create("phone", scopes=["chat"])
    assert ask(tokens, tokens.path.read_text().strip(), "admin").name == "default"
    with pytest.raises(NotPossible, match="taken"):
        await tokens.create("default", scopes=["chat"])
    with pytest.raises(NotPossible, match="taken"):
        await tokens.create("phone", scopes=["admin"])


async def test_a_token_is_refused_from_its_last_moment_on(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    value = await tokens.create("guest", scopes=["chat"], expires_at=clock.now() + timedelta(days=30))
    await clock.advance(30 * 86400 - 1)
    assert ask(tokens, value).name == "guest"
    await clock.advance(1)
    with pytest.raises(RequestRefused, match="expired") as caught:
        ask(tokens, value)
    assert caught.value.status == 401
    assert tokens.find(value) is None
    assert [token.name for token in tokens.all()] == ["default", "guest"]  # listed until it is revoked


async def test_who_holds_a_token_open_is_told_when_it_expires(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    value = await tokens.create("guest", scopes=["chat"], expires_at=clock.now() + timedelta(milliseconds=10))
    told = asyncio.Event()
    with tokens.revoked(ask(tokens, value), told.set):
        assert not told.is_set()
        await told.wait()


async def test_a_revoked_token_is_refused_at_once_and_who_holds_it_open_is_told(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    value = await tokens.create("phone", scopes=["chat"])
    other = await tokens.create("desk", scopes=["chat"])
    told: list[str] = []
    with (
        tokens.revoked(ask(tokens, value), lambda: told.append("phone")),
        tokens.revoked(ask(tokens, other), lambda: told.append("desk")),
    ):
        await tokens.revoke("phone")
        assert told == ["phone"]
    with pytest.raises(RequestRefused, match="a valid token"):
        ask(tokens, value)
    assert ask(tokens, other).name == "desk"
    with pytest.raises(NotFound):
        await tokens.revoke("phone")
    assert (await tokens_of(state_dir, store, clock)).find(value) is None
    await tokens.revoke("desk")
    assert told == ["phone"]  # who left in time is not called


async def test_a_reload_that_drops_a_token_or_changes_its_rights_tells_its_holders(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    ops = TokenConfig(name="ops", token=Secret("o" * 32), scopes=("admin",))
    tokens = await tokens_of(state_dir, store, clock, ops)
    told: list[str] = []
    with tokens.revoked(ask(tokens, "o" * 32), lambda: told.append("ops")):
        await tokens.configure((ops,))
        assert told == []
        await tokens.configure((ops.model_copy(update={"scopes": ("chat",)}),))
        assert told == ["ops"]


async def test_a_configured_name_hides_the_created_token_of_that_name(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    value = await tokens.create("ops", scopes=["admin"])
    await tokens.configure((TokenConfig(name="ops", token=Secret("o" * 32)),))
    assert tokens.find(value) is None
    await tokens.configure((TokenConfig(name="other", token=Secret("o" * 32)),))
    assert tokens.find(value) is not None


@pytest.mark.parametrize(
    ("scopes", "asked", "allowed"),
    [
        (("chat",), ("chat",), True),
        (("chat",), ("read",), False),
        (("read",), ("chat",), False),
        (("read",), ("chat", "read"), True),
        (("metrics",), ("chat", "read"), False),
        (("admin",), ("read",), True),
        ((), ("chat",), False),
    ],
)
async def test_a_scope_allows_what_it_says_and_admin_everything(
    state_dir: Path,
    store: Store,
    clock: ManualClock,
    scopes: tuple[TokenScope, ...],
    asked: tuple[TokenScope, ...],
    allowed: bool,
) -> None:
    tokens = await tokens_of(
        state_dir, store, clock, TokenConfig(name="x", token=Secret("x" * 32), scopes=scopes)
    )
    if allowed:
        assert ask(tokens, "x" * 32, *asked).name == "x"
    else:
        with pytest.raises(RequestRefused, match="lacks the scope") as caught:
            ask(tokens, "x" * 32, *asked)
        assert caught.value.status == 403


async def test_use_is_written_now_and_then_and_at_the_end(
    state_dir: Path, store: Store, clock: ManualClock
) -> None:
    tokens = await tokens_of(state_dir, store, clock)
    value = await tokens.create("phone", scopes=["chat"])

    async def written() -> list[tuple[object, ...]]:
        await store.ping()  # after what was posted
        return [tuple(row) for row in await store.read("SELECT name, used_ms, messages FROM token_use")]

    ask(tokens, value)
    first = await written()
    assert len(first) == 1
    await clock.advance(59)
    tokens.use.note("phone", messages=2)
    assert await written() == first
    await clock.advance(1)
    ask(tokens, value)
    assert (await written())[0][2] == 2
    await clock.advance(1)
    tokens.use.note("phone", messages=1)
    await tokens.close()
    again = await tokens_of(state_dir, store, clock)
    assert (again.use.messages_today("phone"), again.use.last("phone")) == (3, clock.now())
    await clock.advance(86400)
    assert again.use.messages_today("phone") == 0


def token(*scopes: TokenScope, conversations: str = "") -> Token:
    return Token(name="shop", scopes=frozenset(scopes), digest=b"", conversations=conversations)


def test_a_token_reads_and_changes_its_own_and_no_more_than_its_scopes_and_prefix_say() -> None:
    own, others, chat = ("api", "shop", "s-1"), ("api", "desk", "s-1"), ("telegram", "1", "s-1")
    assert token("chat").may_read(*own)
    assert token("chat").may_change(*own)
    assert not token("chat").may_read(*others)
    assert not token("chat").may_change(*others)
    for reader in (token("read"), token("admin")):
        assert all(reader.may_read(*where) for where in (own, others, chat))
    assert not token("read").may_change(*others)
    assert token("admin").may_change(*chat)
    narrow = token("chat", "read", conversations="s-")
    assert narrow.may_read(*others)
    assert not narrow.may_read("api", "shop", "t-1")
    assert not narrow.may_change("api", "shop", "t-1")
    assert not narrow.may_read(*chat)  # a name that somebody else chose says nothing
