"""The login that is kept: private, whole, and noticed when it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bridges.weixin.account_lock import sole_receiver
from bridges.weixin.credentials import BadCredentials, Credentials, CredentialStore
from clawd.config.base import Secret
from clawd.errors import BridgeNotReady
from clawd.ids import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = Credentials(bot_id="b@im.bot", token=Secret("a-secret-token"), base_url="https://x", user_id="u")


async def test_a_login_is_readable_by_its_owner_alone_and_comes_back_whole(tmp_path: Path) -> None:
    store = CredentialStore(tmp_path / "state" / "bridges" / "weixin")
    assert await store.load() is None
    await store.save(LOGIN)
    assert await store.load() == LOGIN
    assert store.path.stat().st_mode & 0o777 == 0o600
    for folder in (store.path.parent, store.path.parent.parent, tmp_path / "state"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in store.path.parent.iterdir()] == ["login.json"]
    assert "a-secret-token" not in repr(LOGIN)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"bot_id": 7, "token": "t", "base_url": "", "user_id": ""}']
)
async def test_a_damaged_file_is_an_error_that_does_not_show_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "login.json").write_text(content)
    with pytest.raises(BadCredentials, match=r"login\.json") as caught:
        await CredentialStore(tmp_path).load()
    assert content == "" or content not in str(caught.value)


async def test_a_new_login_is_noticed_by_who_waits_for_it(tmp_path: Path) -> None:
    store = CredentialStore(tmp_path / "weixin")
    other = Credentials(bot_id="b@im.bot", token=Secret("another"), base_url="https://x", user_id="u")
    for known, new in ((None, LOGIN), (LOGIN, other)):
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(store.replaced(known, SystemClock()))
            await asyncio.sleep(0)
            assert not waiting.done()
            await store.save(new)


async def test_two_receivers_of_one_account_are_told_apart_and_the_second_waits() -> None:
    with sole_receiver("weixin", "lock-test@im.bot"):
        with pytest.raises(BridgeNotReady, match="another clawd"), sole_receiver("w2", "lock-test@im.bot"):
            pass
        with sole_receiver("w3", "other-lock-test@im.bot"):
            pass
    with sole_receiver("weixin", "lock-test@im.bot"):
        pass
