"""Recognisable secrets everywhere, failures of every kind, and then a search through all that was ever said."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes.doors import Doors, doors
from tests.fakes.openai_api import Reply, Seen
from tests.fakes.webhook_sender import event

MODEL_KEY = "sk-recognisable-model-key-1"
ENVIRON_KEY = "recognisable/environment+key=2"
URL_KEY = "recognisable-url-key-3"
HOOK_KEY = base64.b64encode(b"recognisable-hook-secret-4").decode()
CALLBACK_KEY = base64.b64encode(b"recognisable-callback-key-5").decode()
GATEWAY_TOKEN = "recognisable-gateway-token"  # that of tests.fakes.doors
OPS = {"Authorization": f"Bearer {GATEWAY_TOKEN}"}
BOT_TOKEN = "987654321:RecognisableBotToken_AAAAAAAAAAAAAA"
FILE_KEY = 'recognisable "file" \\ key 6'
CREDENTIAL_KEY = "recognisable-credential-key-7"
INNER_KEY = "recognisable-inner-key-8"  # of `${NAME}` within a string
PROXY_PASSWORD = "recognisable-proxy-password-9"
BASE_PASSWORD = "recognisable-base-password-10"
SECRETS = (
    MODEL_KEY,
    ENVIRON_KEY,
    URL_KEY,
    HOOK_KEY,
    CALLBACK_KEY,
    GATEWAY_TOKEN,
    BOT_TOKEN.partition(":")[2],
    FILE_KEY,
    CREDENTIAL_KEY,
    INNER_KEY,
    PROXY_PASSWORD,
    BASE_PASSWORD,
)


def disguises(secret: str) -> set[str]:
    """Return what may be found of a secret: itself, encoded, and as much of its head as providers show."""
    basic = base64.b64encode(f"user:{secret}".encode()).decode().rstrip("=")[8:-2]
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], basic}


FOUND = {form: secret for secret in SECRETS for form in disguises(secret)} | {
    f"{MODEL_KEY[:12]}**": MODEL_KEY,
    f"{CREDENTIAL_KEY[:16]}**": CREDENTIAL_KEY,
    f"{MODEL_KEY[:20]} ": MODEL_KEY,  # cut off by who quoted it
}

READS = (
    ("status", "--json"),
    ("bridges", "list", "--json"),
    ("bridges", "test"),
    ("models", "list", "--json"),
    ("models", "test"),
    ("config", "show", "--json"),
    ("config", "check"),
    ("turns", "list", "--json"),
    ("dead", "list", "--json"),
    ("conversations", "export", "default", "--json"),
    ("logs", "--json"),
    ("doctor", "--json"),
)


def found(source: str, text: str) -> Iterator[str]:
    """Yield where a secret stands in a text."""
    for form in FOUND:
        if (at := text.find(form)) >= 0:
            yield f"{source}: …{text[max(0, at - 120) : at + 20]}…"


def echoing(here: Doors) -> None:
    """Let the model's server quote the key that it refuses, as real ones do."""

    def refuse(seen: Seen) -> Reply:
        sent = seen.headers.get("authorization", f"nothing to {seen.path}")
        key = sent.removeprefix("Bearer ").removeprefix("Basic ")
        basic = base64.b64encode(f"user:{key}".encode()).decode()
        ways = [
            f"Incorrect API key provided: {key}. You sent Authorization: {sent}",
            f"masked {key[:12]}********{key[-4:]}, escaped {quote(key, safe='')}, encoded {basic}",
            f"{json.dumps({'inner': key})} {key!r} {key.encode()!r}",
            "x" * (2000 - len(key) // 2) + f"{key} " * 40,  # cut somewhere within one of them
        ]
        words = ways[len(here.model.requests) % len(ways)]
        body = json.dumps({"error": {"message": words}})
        return Reply(status=401, body=body, content_type="application/json", split=len(body) // 2 + 1)

    here.model.choose = refuse


async def failures(here: Doors) -> list[str]:
    """Let everything fail once; return what was said about it."""
    said = []
    echoing(here)
    said.append(str(await here.clawd("chat", "hi")))
    said.append((await here.hook(event("hi"), secret=f"whsec_{HOOK_KEY}")).text)
    said.append((await here.hook(event("hi"), secret="some other secret")).text)
    said.append((await here.rest({"text": "hi"}, Authorization=f"Basic {GATEWAY_TOKEN}")).text)
    here.telegram.user_says(74, "hi")
    await here.telegram.wait_for_messages(74, 1)
    # Pasted into the wrong place: the request is refused, and that is logged.
    for secret in (*SECRETS[:3], f"whsec_{HOOK_KEY}", f"whsec_{CALLBACK_KEY}", GATEWAY_TOKEN, BOT_TOKEN):
        await here.world.control(f"trace/{quote(secret, safe='')}")
    here.telegram.fault("*", "502")
    here.telegram.revoke()
    here.telegram.user_says(74, "hi again")
    config = here.world.config_path
    good = config.read_text()
    for bad in (f"models: {{\n{good}", f"{good}\nmodelz: 1\n", good.replace("type: chat", "type: chatt")):
        config.write_text(bad)
        said.append(str(await here.clawd("reload")))
        said.append(str(await here.clawd("config", "check")))
    config.write_text(good)
    return said


@pytest.mark.timeout(300)
async def test_no_secret_is_ever_written_answered_logged_or_sent_where_it_does_not_belong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECOGNISABLE_KEY", ENVIRON_KEY)
    monkeypatch.setenv("RECOGNISABLE_INNER", INNER_KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "recognisable").write_text(f"{CREDENTIAL_KEY}\n")
    (tmp_path / "key").write_text(f"{FILE_KEY}\n")
    models: list[dict[str, Any]] = [
        {"name": "plain", "type": "chat", "api_key": MODEL_KEY},
        {"name": "environ", "type": "chat", "api_key": {"env": "RECOGNISABLE_KEY"}},
        {"name": "url", "type": "chat", "endpoint": f"BASE/chat/completions?api_key={URL_KEY}"},
        {"name": "file", "type": "chat", "api_key": {"file": str(tmp_path / "key")}},
        {"name": "credential", "type": "chat", "api_key": {"credential": "recognisable"}},
        {"name": "inner", "type": "chat", "endpoint": "BASE/chat/completions?api_key=${RECOGNISABLE_INNER}"},
        {
            "name": "proxied",
            "type": "chat",
            "api_key": "x",
            "network": {"proxy": f"http://user:{PROXY_PASSWORD}@127.0.0.1:9"},
        },
        {"name": "userinfo", "type": "chat", "endpoint": f"http://user:{BASE_PASSWORD}@127.0.0.1:9/v1/chat"},
    ]
    hook = {
        "secret": f"whsec_{HOOK_KEY}",
        "callback_url": f"http://127.0.0.1:9/hook?token={URL_KEY}",
        "callback_secret": f"whsec_{CALLBACK_KEY}",
    }
    route = {"default": {"models": [model["name"] for model in models]}}
    async with doors(
        *models, bot_token=BOT_TOKEN, hook=hook, routes=route, logging={"level": "debug"}
    ) as here:
        pid = here.world.daemon.pid if here.world.daemon else 0
        said = await failures(here)
        for words in READS:
            result = await here.clawd(*words)
            said += [f"{words}: {result.out}", f"{words}: {result.err}"]
        for turn in (await here.world.control("turns?limit=50"))["turns"]:
            said.append(json.dumps(await here.world.control(f"trace/{turn['id']}")))
        said.append(Path(f"/proc/{pid}/cmdline").read_text())
        said.append((await here.request("GET", "/metrics", headers=OPS)).text)
        said += [json.dumps(seen.body) for seen in here.model.requests]
        said += [message.text for message in here.telegram.sent(74)]
        await here.world.stop()
        said.append(here.world.output.read_text(encoding="utf-8", errors="replace"))
        state = here.world.state_dir / "state"
        files = [path for path in state.rglob("*") if path.is_file()]
        said += [f"{path.name}: {path.read_bytes().decode('latin-1')}" for path in files]
        sent = {seen.headers.get("authorization") for seen in here.model.requests}
    assert {f"Bearer {MODEL_KEY}", f"Bearer {ENVIRON_KEY}"} <= sent  # they do reach the one they are for
    assert len(said) > 40
    assert [place for text in said for place in found(text[:40], text)] == []
