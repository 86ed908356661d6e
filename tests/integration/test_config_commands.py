"""`clawd config` and `clawd doctor` as processes: what they print, and with which code they end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.integration.test_config_init import Shell, shell

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["shell"]  # the fixture
KEY = "sk-test-0123456789abcdef"


def write(shell: Shell, text: str) -> Path:
    shell.config.parent.mkdir(mode=0o700, exist_ok=True)
    shell.config.write_text(text)
    shell.config.chmod(0o600)
    return shell.config


async def doctor(shell: Shell, **environ: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ended = await shell.run("doctor", "--json", "--timeout", "30", **environ)
    report = json.loads(ended.out)
    assert report["schema_version"] == 1
    assert report["ok"] == (ended.code == 0)
    assert TOKEN not in ended.out
    assert KEY not in ended.out
    return ended.code, {check["id"]: check for check in report["checks"]}


# --- config -----------------------------------------------------------------------------------------


async def test_check_prints_every_mistake_in_the_error_pattern(shell: Shell) -> None:
    path = write(shell, "agent: {max_stepz: 1}\ngateway:\n  port: many\n")
    ended = await shell.run("config", "check")
    assert (ended.code, ended.out) == (78, "")
    assert ended.err.splitlines()[:4] == [
        "error[E-CONFIG]: the configuration has 2 problems",
        f"where: {path}:1:9",
        "why: agent.max_stepz: unknown key 'max_stepz'; did you mean 'max_steps'? (and 1 more)",
        "",
    ]
    assert (
        f"{path}:3:9: gateway.port: expected a whole number or false, got 'many'\n  port: many\n        ^\n"
        in ended.err
    )


async def test_check_as_json_carries_each_place(shell: Shell) -> None:
    path = write(shell, "agent: {max_stepz: 1}\n")
    ended = await shell.run("config", "check", "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["valid"], report["schema_version"]) == (78, False, 1)
    assert report["problems"] == [
        {
            "path": str(path),
            "line": 1,
            "column": 9,
            "key": "agent.max_stepz",
            "message": "unknown key 'max_stepz'; did you mean 'max_steps'?",
            "remedy": "",
        }
    ]


async def test_check_of_a_good_file_tells_its_notes(shell: Shell) -> None:
    path = write(shell, "access: {owners: ['gone:1']}\n")
    ended = await shell.run("config", "check")
    assert (ended.code, ended.out) == (0, f"{path}: no problems found\n")
    assert "belongs to no configured bridge" in ended.err


async def test_check_and_doctor_tell_tls_files_that_a_start_could_not_use(
    shell: Shell, tmp_path: Path
) -> None:
    tls = f"tls:\n    cert: {tmp_path}/gone.pem\n    key: {tmp_path}/gone.key\n"
    path = write(shell, f"gateway:\n  port: 0\n  {tls}models: [{{name: d, type: demo}}]\n")
    ended = await shell.run("config", "check")
    assert (ended.code, ended.out) == (78, "")
    assert f"where: {path}:4" in ended.err
    assert f"{tmp_path}/gone.pem: No such file" in ended.err
    ended = await shell.run("doctor", "--offline", "--json")
    (check,) = [check for check in json.loads(ended.out)["checks"] if check["id"] == "tls"]
    assert (ended.code, check["status"]) == (1, "fail")
    assert "gone.pem" in check["evidence"]


async def test_check_takes_another_file(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("agent: 1\n")
    assert (await shell.run("config", "check", str(tmp_path / "other.yaml"))).code == 78
    missing = await shell.run("config", "check", str(tmp_path / "nope.yaml"))
    assert missing.code == 78
    assert "no such file" in missing.err


async def test_show_masks_secrets_and_tells_origins(shell: Shell) -> None:
    path = write(
        shell,
        "models: [{name: m, type: chat, base_url: 'http://127.0.0.1:1', api_key: {env: KEY}}]\n"
        "network: {proxy: 'http://me:hunter2@127.0.0.1:3128'}\n",
    )
    plain = await shell.run("config", "show", KEY=KEY)
    assert "api_key: '**********'" in plain.out
    assert KEY not in plain.out
    assert "hunter2" not in plain.out
    report = json.loads((await shell.run("config", "show", "--origin", "--json", KEY=KEY)).out)
    assert report["config"]["models"][0]["api_key"] == "**********"
    assert report["origins"]["models[0].api_key"] == "environment KEY"
    assert report["origins"]["models[0].name"] == f"{path}:1"
    assert report["origins"]["agent.max_steps"] == "default"


async def test_shown_configuration_can_be_loaded_again(shell: Shell, tmp_path: Path) -> None:
    write(
        shell, "tools: {time: {zone: Europe/Berlin}}\nbridges: {b: {type: telegram, token: " + TOKEN + "}}\n"
    )
    shown = (await shell.run("config", "show")).out.replace("'**********'", TOKEN)
    (tmp_path / "again.yaml").write_text(shown)
    again = await shell.run("config", "check", str(tmp_path / "again.yaml"))
    assert again.code == 0, again.err


async def test_path_tells_the_file_in_force_and_every_place(shell: Shell) -> None:
    nothing = await shell.run("config", "path")
    assert (nothing.code, nothing.out) == (0, f"{shell.config}\n")
    write(shell, "state_dir: elsewhere\n")
    assert (await shell.run("config", "path")).out == f"{shell.config}\n"
    places = json.loads((await shell.run("config", "path", "--all", "--json")).out)["places"]
    assert {"what": "state", "path": f"{shell.config.parent}/elsewhere", "exists": False} in places
    assert {"what": "config", "path": str(shell.config), "exists": True} in places


async def test_schema_is_a_schema(shell: Shell) -> None:
    schema = json.loads((await shell.run("config", "schema")).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "telegram" in schema["properties"]["bridges"]["properties"]


# --- doctor -----------------------------------------------------------------------------------------


async def test_doctor_asks_models_and_bridges_and_passes(shell: Shell) -> None:
    async with FakeOpenAI(Reply(text="ok")) as model, FakeBotApi() as telegram:
        write(shell, _both(model.base_url, telegram.url))
        code, checks = await doctor(shell, KEY=KEY, TOKEN=TOKEN)
        assert code == 0, [check for check in checks.values() if check["status"] == "fail"]
        assert checks["model:main"]["status"] == "ok"
        assert "@clawd_test_bot" in checks["bridge:telegram"]["evidence"]
        assert checks["models"]["evidence"] == "the default route is main"
        assert telegram.calls("getUpdates") == []


async def test_doctor_fails_on_refused_credentials(shell: Shell) -> None:
    async with (
        FakeOpenAI(Reply(status=401, body='{"error": {"message": "bad key"}}')) as model,
        FakeBotApi() as telegram,
    ):
        telegram.revoke()
        write(shell, _both(model.base_url, telegram.url))
        code, checks = await doctor(shell, KEY=KEY, TOKEN=TOKEN)
    assert code == 1
    assert "bad key" in checks["model:main"]["evidence"]
    assert "environment KEY" in checks["model:main"]["evidence"]
    assert checks["bridge:telegram"]["status"] == "fail"
    assert "BotFather" in checks["bridge:telegram"]["evidence"] + checks["bridge:telegram"]["fix"]


async def test_doctor_fails_on_endpoints_that_are_gone(shell: Shell) -> None:
    async with FakeOpenAI() as model, FakeBotApi() as telegram:
        text = _both(model.base_url, telegram.url)
    write(shell, text)
    code, checks = await doctor(shell, KEY=KEY, TOKEN=TOKEN)
    assert code == 1
    assert "ECONNREFUSED" in checks["model:main"]["evidence"]
    assert checks["bridge:telegram"]["status"] == "fail"


async def test_doctor_on_a_broken_configuration_still_looks_at_the_rest(shell: Shell) -> None:
    write(shell, "bridges: {telegram: {token: {env: NOPE}}}\n")
    code, checks = await doctor(shell)
    assert code == 1
    assert "NOPE is not set" in checks["config"]["evidence"]
    assert checks["disk"]["status"] in ("ok", "warn")
    assert checks["models"]["status"] == "warn"


async def test_doctor_for_people_names_the_fix_under_the_line(shell: Shell) -> None:
    write(shell, "gateway: {port: false}\nmodels: [{name: d, type: demo}]\n")
    ended = await shell.run("doctor", "--offline")
    assert ended.code == 0
    lines = ended.out.splitlines()
    index = next(index for index, line in enumerate(lines) if line.startswith("warn  daemon"))
    assert lines[index + 1].strip() == "fix: clawd start --detach"
    assert lines[-1].endswith(" broken")


@pytest.mark.parametrize(
    "command", [("config", "check"), ("config", "show"), ("config", "path"), ("doctor",)]
)
async def test_missing_named_file_never_means_another_one(
    shell: Shell, tmp_path: Path, command: tuple[str, ...]
) -> None:
    write(shell, "{}\n# all defaults\n")
    ended = await shell.run("--config", str(tmp_path / "nope.yaml"), *command)
    assert ended.code in (1, 78)
    assert f"{tmp_path}/nope.yaml" in ended.err + ended.out


def _both(model: str, telegram: str) -> str:
    return (
        f"gateway: {{port: 0}}\n"
        f"models: [{{name: main, type: chat, base_url: '{model}', api_key: {{env: KEY}}}}]\n"
        f"bridges: {{telegram: {{token: {{env: TOKEN}}, api_base: '{telegram}'}}}}\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["stop"],
        ["status"],
        ["health"],
        ["logs"],
        ["backup"],
        ["doctor", "--salvage"],
        ["doctor", "--fix", "--dry-run"],
    ],
)
async def test_command_with_a_broken_configuration_touches_no_other_daemon(
    shell: Shell, command: list[str]
) -> None:
    bad = shell.home / "bad.yaml"
    bad.write_text("models: [\n", encoding="utf-8")
    result = await shell.run("--config", str(bad), *command)
    assert (result.code, result.out) == (78, "")
    assert "can't tell which daemon is meant" in result.err


async def test_what_looks_at_a_broken_configuration_still_works_on_it(shell: Shell) -> None:
    bad = shell.home / "bad.yaml"
    bad.write_text("models: [\n", encoding="utf-8")
    assert (await shell.run("--config", str(bad), "doctor", "--offline")).code == 1
    assert "bad.yaml:2" in (await shell.run("--config", str(bad), "config", "check")).err
    assert str(bad) in (await shell.run("--config", str(bad), "config", "path", "--all")).out
    told = await shell.run("--config", str(bad), "status", "--all")
    assert (told.code, "can't tell which daemon is meant" in told.out) == (0, True)
