"""The login: every state of a code, by the bridge; the terminal around it; a daemon that connects by itself."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bridges.weixin.bridge import WeixinBridge
from clawd.bridge import CodeExpired, CodeScanned, CodeToScan, LoggedIn, LoginBridge, NumberNeeded
from clawd.cli.invocation import Invocation
from clawd.cli.login import log_in_here
from clawd.errors import BridgeAuthError, BridgeNotReady, NotFound, NotPossible
from clawd.testing import ManualClock
from tests.fakes.ilink_api import USER, FakeIlink
from tests.fakes.shell import Shell
from tests.fakes.weixin import weixin_bridge, write_login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAIT = {"status": "wait"}
EXPIRED = {"status": "expired"}


class QuickClock(ManualClock):
    """Sleeps by moving on at once, `pace` times as far."""

    pace = 1

    async def sleep(self, seconds: float) -> None:
        self._move_to(self.monotonic() + self.pace * seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def ilink() -> AsyncIterator[FakeIlink]:
    async with FakeIlink() as server:
        yield server


@pytest.fixture
async def bridge(ilink: FakeIlink, tmp_path: Path) -> AsyncIterator[WeixinBridge]:
    bridge = weixin_bridge(ilink, tmp_path, logged_in=False, clock=QuickClock())
    yield bridge
    await bridge.close()


class Person:
    """Types these numbers, one after the other."""

    def __init__(self, *numbers: str) -> None:
        self.numbers = list(numbers)
        self.asked: list[NumberNeeded] = []

    async def __call__(self, needed: NumberNeeded) -> str:
        self.asked.append(needed)
        return self.numbers.pop(0)


async def steps(bridge: WeixinBridge, person: Person | None = None) -> list[Any]:
    return [step async for step in bridge.login(person or Person())]


def kept(folder: Path) -> dict[str, str]:
    read: dict[str, str] = json.loads((folder / "login.json").read_text())
    return read


async def test_a_code_is_shown_scanned_confirmed_and_the_login_kept(
    ilink: FakeIlink, bridge: WeixinBridge, tmp_path: Path
) -> None:
    assert isinstance(bridge, LoginBridge)
    ilink.qr_states = [WAIT, {"status": "scaned"}, {"status": "scaned"}, ilink.confirmed()]
    assert await steps(bridge) == [
        CodeToScan(link=f"https://liteapp.invalid/{ilink.qr_codes[0]}", number=1, of=3),
        CodeScanned(),
        LoggedIn(account=ilink.bot_id, user=USER),
    ]
    assert kept(tmp_path) == {
        "bot_id": ilink.bot_id,
        "token": ilink.token,
        "base_url": ilink.url,
        "user_id": USER,
    }
    assert stat.S_IMODE((tmp_path / "login.json").stat().st_mode) == 0o600
    assert ilink.calls("get_bot_qrcode")[0].body == {"local_token_list": []}


async def test_an_expired_code_is_followed_by_another_one_and_three_are_enough(
    ilink: FakeIlink, bridge: WeixinBridge, tmp_path: Path
) -> None:
    ilink.qr_states = [EXPIRED, WAIT, EXPIRED, ilink.confirmed()]
    found = await steps(bridge)
    assert [type(step) for step in found] == [
        *(CodeToScan, CodeExpired) * 2,
        CodeToScan,
        LoggedIn,
    ]
    ilink.qr_states = [EXPIRED]
    with pytest.raises(BridgeAuthError, match="3 codes expired"):
        await steps(bridge)
    assert len(ilink.qr_codes) == 6


async def test_the_number_on_the_phone_is_asked_for_until_it_is_right(
    ilink: FakeIlink, bridge: WeixinBridge
) -> None:
    person = Person("111", " 12 34 ")
    ilink.qr_states = [{**ilink.confirmed(), "expects": "1234"}]
    assert isinstance((await steps(bridge, person))[-1], LoggedIn)
    assert person.asked == [NumberNeeded(wrong=False), NumberNeeded(wrong=True)]


async def test_too_many_wrong_numbers_bring_a_new_code(ilink: FakeIlink, bridge: WeixinBridge) -> None:
    ilink.qr_states = [{"status": "need_verifycode"}, {"status": "verify_code_blocked"}, ilink.confirmed()]
    found = await steps(bridge, Person("1"))
    assert [type(step) for step in found] == [CodeToScan, CodeExpired, CodeToScan, LoggedIn]
    assert "verify_code" not in ilink.calls("get_qrcode_status")[-1].body


async def test_a_redirect_is_followed_to_the_platforms_hosts_alone(ilink: FakeIlink, tmp_path: Path) -> None:
    async with FakeIlink() as second:
        host = second.url.removeprefix("http://")
        bridge = weixin_bridge(ilink, tmp_path, logged_in=False, clock=QuickClock(), hosts=[host])
        ilink.qr_states = [{"status": "scaned_but_redirect", "redirect_host": host}]
        second.qr_states = [second.confirmed()]
        second.qr_codes = ilink.qr_codes  # one platform
        assert (await steps(bridge))[-1] == LoggedIn(account=second.bot_id, user=USER)
        assert kept(tmp_path)["base_url"] == second.url
        for evil in ("evil.invalid", "127.0.0.1:1", ""):
            ilink.qr_states = [{"status": "scaned_but_redirect", "redirect_host": evil}]
            with pytest.raises(BridgeAuthError, match="not WeChat's"):
                await steps(bridge)
        await bridge.close()


async def test_a_token_for_an_account_that_is_served_elsewhere_is_not_taken(
    ilink: FakeIlink, bridge: WeixinBridge, tmp_path: Path
) -> None:
    ilink.qr_states = [{**ilink.confirmed(), "baseurl": "https://evil.invalid"}]
    with pytest.raises(BridgeAuthError, match="not WeChat's"):
        await steps(bridge)
    ilink.qr_states = [{**ilink.confirmed(), "bot_token": ""}]
    with pytest.raises(BridgeAuthError, match="without a token"):
        await steps(bridge)
    assert not (tmp_path / "login.json").exists()


async def test_a_bot_that_is_bound_here_already_keeps_its_login(
    ilink: FakeIlink, bridge: WeixinBridge, tmp_path: Path
) -> None:
    ilink.qr_states = [{"status": "binded_redirect"}]
    with pytest.raises(BridgeAuthError, match="no login is kept here"):
        await steps(bridge)
    write_login(tmp_path, ilink)
    assert (await steps(bridge))[-1] == LoggedIn(account=ilink.bot_id, user=USER, kept=True)
    assert ilink.calls("get_bot_qrcode")[-1].body == {"local_token_list": [ilink.token]}
    assert kept(tmp_path)["token"] == ilink.token


async def test_what_fails_between_two_looks_is_asked_again(ilink: FakeIlink, bridge: WeixinBridge) -> None:
    for kind in (502, "reset", "reset", b"{", 504):
        ilink.fault("get_qrcode_status", kind)
    ilink.qr_states = [ilink.confirmed()]
    assert isinstance((await steps(bridge))[-1], LoggedIn)


async def test_nobody_waits_longer_than_eight_minutes(
    ilink: FakeIlink, bridge: WeixinBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickClock, "pace", 60)
    ilink.qr_states = [WAIT]
    with pytest.raises(BridgeAuthError, match="8 minutes"):
        await steps(bridge)
    assert len(ilink.calls("get_qrcode_status")) == 10


async def test_without_a_code_there_is_no_login(ilink: FakeIlink, bridge: WeixinBridge) -> None:
    for kind in (502, {"ret": -1}, {"ret": 0}):
        ilink.fault("get_bot_qrcode", kind)
        with pytest.raises(BridgeNotReady, match="gives out no code"):
            await steps(bridge)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def clawd(state_dir: Path, ilink: FakeIlink) -> Shell:
    configure(state_dir, ilink)
    return Shell(state_dir)


def configure(home: Path, ilink: FakeIlink) -> None:
    config = {
        "bridges": {"weixin": ilink.section},
        "gateway": {"port": 0},
        "models": [{"name": "demo", "type": "demo"}],
    }
    (home / "config.yaml").write_text(yaml.safe_dump(config))


async def test_the_command_draws_the_code_and_works_without_a_daemon(
    clawd: Shell, ilink: FakeIlink, state_dir: Path
) -> None:
    ilink.qr_states = [{"status": "scaned"}, {**ilink.confirmed(), "expects": "77"}]
    done = await clawd("bridges", "login", "weixin", stdin="77\n")
    assert done.code == 0, done.err
    assert done.out == f"weixin is logged in: {ilink.bot_id}, by {USER}\n"
    assert "█" in done.err
    for words in (
        f"https://liteapp.invalid/{ilink.qr_codes[0]}",
        "scanned",
        "the number",
        "no daemon is running",
    ):
        assert words in done.err
    file = state_dir / "state" / "bridges" / "weixin" / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept(file.parent)["token"] == ilink.token
    assert ilink.token not in done.out + done.err


@pytest.mark.may_block  # a command has its process for itself
async def test_the_command_says_what_cannot_be_logged_in(ilink: FakeIlink, state_dir: Path) -> None:
    (state_dir / "config.yaml").write_text("bridges: {hook: {type: webhook, secret: longenoughsecret}}")
    call = Invocation(environ={"CLAWD_HOME": str(state_dir)})
    with pytest.raises(NotPossible, match="hook has no login"):
        await log_in_here(call, "hook")
    with pytest.raises(NotFound) as missing:
        await log_in_here(call, "weixin")
    assert missing.value.remedy == "add `bridges: {weixin: {}}` to the configuration"


async def test_the_command_works_on_the_daemons_own_host_alone(clawd: Shell) -> None:
    remote = await clawd("bridges", "login", "weixin", CLAWD_URL="http://127.0.0.1:1")
    assert remote.code == 2
    assert "the daemon's own host" in remote.err


async def test_without_the_extra_the_link_alone_is_shown(
    clawd: Shell, ilink: FakeIlink, state_dir: Path
) -> None:
    (state_dir / "segno.py").write_text("raise ImportError('not here')")
    ilink.qr_states = [ilink.confirmed()]
    done = await clawd("bridges", "login", "weixin", "--json", PYTHONPATH=str(state_dir))
    assert done.code == 0, done.err
    assert 'pip install "clawd-agent[wechat]"' in done.err
    assert f"https://liteapp.invalid/{ilink.qr_codes[0]}" in done.err
    assert done.json["account"] == ilink.bot_id
    assert done.json["state"] == ""
