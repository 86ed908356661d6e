"""Tokens: configured ones with their scopes, else one that is generated and kept private."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.errors import ConfigError
from clawd.gateway.auth import TokenStore
from clawd.gateway.off import NoGateway
from clawd.gateway.problems import RequestRefused
from clawd.gateway.token import Token
from clawd.gateway.token_file import unusable

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.config.schema import TokenScope


def require(store: TokenStore, scope: TokenScope, *values: str) -> Token:
    headers = CIMultiDict(("Authorization", value) for value in values)
    return store.require(headers, scope)


async def test_a_generated_token_is_private_and_stays_the_same(state_dir: Path) -> None:
    store = TokenStore(state_dir)
    await store.configure(())
    value = (state_dir / "gateway.token").read_text().strip()
    assert len(value) > 40
    assert stat.S_IMODE((state_dir / "gateway.token").stat().st_mode) == 0o600
    assert require(store, "admin", f"Bearer {value}").name == "default"
    again = TokenStore(state_dir)
    await again.configure(())
    assert require(again, "chat", f"bearer  {value}").name == "default"
    assert [path.name for path in state_dir.iterdir()] == ["gateway.token"]


async def test_without_a_server_no_token_is_generated(state_dir: Path) -> None:
    store = TokenStore(state_dir)
    await NoGateway(store).configure(GatewayConfig(port=False))
    assert not [*state_dir.iterdir()]
    assert store.named("default") is None


def test_a_token_that_a_full_disk_leaves_no_room_for_is_told_as_that(tmp_path: Path) -> None:
    (problem,) = unusable(tmp_path, OSError(errno.ENOSPC, "No space left on device")).problems
    assert problem.remedy == "free some space"


async def test_a_token_file_that_others_could_read_is_closed(state_dir: Path) -> None:
    path = state_dir / "gateway.token"
    path.write_text("abc\n")
    path.chmod(0o644)
    store = TokenStore(state_dir)
    await store.configure(())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert require(store, "chat", "Bearer abc").name == "default"


async def test_an_empty_token_file_lets_nobody_in_and_is_replaced(state_dir: Path) -> None:
    (state_dir / "gateway.token").write_text("\n")
    store = TokenStore(state_dir)
    await store.configure(())
    assert store.find("") is None
    assert (state_dir / "gateway.token").read_text().strip()


async def test_configured_tokens_replace_the_generated_one_and_carry_scopes(state_dir: Path) -> None:
    store = TokenStore(state_dir)
    await store.configure(())
    generated = (state_dir / "gateway.token").read_text().strip()
    await store.configure(
        [
            TokenConfig(name="shop", token=Secret("s-1")),
            TokenConfig(name="ops", token=Secret("o-1"), scopes=("admin",)),
        ]
    )
    assert require(store, "chat", "Bearer s-1").name == "shop"
    assert require(store, "chat", "Bearer o-1").name == "ops"  # admin includes chat
    assert store.find(generated) is None
    with pytest.raises(RequestRefused) as caught:
        require(store, "admin", "Bearer s-1")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer wrong",),
        ("Basic s-1",),
        ("s-1",),
        ("Bearer s-1", "Bearer s-1"),
        ("Bearer \udcff",),
    ],
)
async def test_without_one_valid_token_the_answer_is_401_with_a_challenge(
    state_dir: Path, values: tuple[str, ...]
) -> None:
    store = TokenStore(state_dir)
    await store.configure([TokenConfig(name="shop", token=Secret("s-1"))])
    with pytest.raises(RequestRefused) as caught:
        require(store, "chat", *values)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["a directory", "no text"])
async def test_a_token_file_that_cannot_be_used_is_told_with_its_place(
    state_dir: Path, content: bytes | None
) -> None:
    path = state_dir / "gateway.token"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        await TokenStore(state_dir).configure(())
    assert caught.value.where == str(path)
    assert "gateway.tokens" in caught.value.remedy
