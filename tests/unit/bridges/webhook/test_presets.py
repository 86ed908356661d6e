"""Each preset takes what its service signs, and nothing else. Vectors are the vendors' own where they publish any."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from bridges.webhook import WebhookConfig
from bridges.webhook.building import preset_of
from bridges.webhook.envelope import Rejected
from bridges.webhook.feishu_cipher import decrypt, encrypt
from bridges.webhook.presets.dingtalk import signature_of
from bridges.webhook.presets.feishu import Feishu
from bridges.webhook.presets.github import GitHub
from bridges.webhook.replies.feishu import robot_signature
from clawd.bridge import HttpRequest
from clawd.strict_json import parse_object
from tests.fakes import hook_senders as senders
from tests.fakes.webhook_sender import SECRET, event, request, signed

if TYPE_CHECKING:
    from bridges.webhook.envelope import Envelope
    from bridges.webhook.presets.base import Preset

NOW = datetime.fromtimestamp(1_700_000_000, UTC)
VECTOR = '{"type":"message.created","timestamp":"2023-11-14T22:13:20Z","data":{"text":"你好"}}'.encode()
SECRETS = {
    "standard": SECRET,
    "github": senders.GITHUB,
    "slack": senders.SLACK,
    "feishu": senders.FEISHU,
    "dingtalk": senders.DINGTALK,
    "bearer": senders.BEARER,
    "header": senders.BEARER,
}


def preset(name: str, **section: Any) -> Preset:
    if name == "header":
        section.setdefault("header", "X-Gitlab-Token")
    return preset_of(
        "hook", WebhookConfig.model_validate({"preset": name, "secret": SECRETS[name]} | section)
    )


def good(name: str, now: datetime = NOW) -> HttpRequest:
    body = senders.packed({"hello": "你好"})
    match name:
        case "standard":
            return request(body, signed(body, now))
        case "github":
            return request(body, senders.github(body))
        case "slack":
            return request(body, senders.slack(body, now))
        case "feishu":
            return request(*senders.feishu(body, now))
        case "dingtalk":
            return request(body, senders.dingtalk(now))
        case "bearer":
            return request(body, senders.bearer())
        case _:
            return request(body, {"x-gitlab-token": senders.BEARER, "content-type": "application/json"})


def refused(by: Preset, given: HttpRequest, now: datetime = NOW) -> int:
    with pytest.raises(Rejected) as caught:
        by.verify(given, now)
    return caught.value.status


def taken(by: Preset, given: HttpRequest, now: datetime = NOW) -> Envelope:
    return by.verify(given, now)


@pytest.mark.parametrize("name", SECRETS)
def test_what_the_service_signs_is_taken(name: str) -> None:
    assert parse_object(taken(preset(name), good(name)).body) == {"hello": "你好"}


@pytest.mark.parametrize("name", SECRETS)
def test_both_secrets_of_a_rotation_are_taken_and_a_third_is_not(name: str) -> None:
    other = "another-secret-of-this-length"
    assert taken(preset(name, secret=[other, SECRETS[name]]), good(name)).body
    assert taken(preset(name, secret=[SECRETS[name], other]), good(name)).body
    assert refused(preset(name, secret=[other, other + "2"]), good(name)) == 401


@pytest.mark.parametrize("name", SECRETS)
def test_without_a_signature_nothing_is_taken(name: str) -> None:
    given = good(name)
    for header in set(given.headers) - {"content-type", "x-github-event", "x-github-delivery"}:
        kept = {key: value for key, value in given.headers.items() if key != header}
        assert refused(preset(name), request(given.body, kept)) == 401, header


@pytest.mark.parametrize("name", SECRETS)
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    given = good(name)
    header = next(h for h in given.headers if "sign" in h or h in ("authorization", "x-gitlab-token"))
    assert (
        refused(preset(name), request(given.body, dict(given.headers), repeated=frozenset({header}))) == 400
    )


@pytest.mark.parametrize("name", SECRETS)
def test_another_kind_of_body_is_refused(name: str) -> None:
    given = good(name)
    for kind in ("text/plain", "", "application/jsonp"):
        assert refused(preset(name), request(given.body, {**given.headers} | {"content-type": kind})) == 415


@pytest.mark.parametrize("name", ["standard", "github", "slack", "feishu"])
def test_a_signature_is_over_the_raw_bytes(name: str) -> None:
    given = good(name)
    for body in (given.body + b" ", given.body.replace(b'": ', b'":', 1), b""):
        assert refused(preset(name), request(body, dict(given.headers))) == 401


@pytest.mark.parametrize("name", ["standard", "slack", "feishu", "dingtalk"])
@pytest.mark.parametrize("ahead", [1, -1])
def test_a_time_too_far_off_is_refused_either_way(name: str, ahead: int) -> None:
    by = preset(name, tolerance_s=300)
    assert taken(by, good(name, NOW + ahead * timedelta(seconds=299))).body
    assert refused(by, good(name, NOW + ahead * timedelta(seconds=301))) == 401


@pytest.mark.parametrize("name", ["standard", "slack", "feishu", "dingtalk"])
@pytest.mark.parametrize(
    "time", ["1e9", "-1700000000", "1700000000.0", "9" * 20, "１７００００００００", "0x1"]
)
def test_a_time_that_is_none_is_refused(name: str, time: str) -> None:
    given = good(name)
    header = next(h for h in given.headers if "timestamp" in h)
    assert refused(preset(name), request(given.body, {**given.headers} | {header: time})) == 400


@pytest.mark.parametrize(("name", "tolerance_s"), [("feishu", 28_800), ("dingtalk", 3600), ("slack", 300)])
def test_a_service_that_tries_again_for_long_is_given_as_long(name: str, tolerance_s: int) -> None:
    assert taken(preset(name), good(name, NOW - timedelta(seconds=tolerance_s - 1))).body
    assert refused(preset(name), good(name, NOW - timedelta(seconds=tolerance_s + 1))) == 401


@pytest.mark.parametrize("name", SECRETS)
def test_a_sample_of_ours_is_one_of_the_services(name: str) -> None:
    sample = preset(name).sample(VECTOR, NOW)
    headers = {key.lower(): value for key, value in sample.headers.items()}
    assert taken(preset(name), request(sample.body, headers)).body == VECTOR
    match name:
        case "standard":
            fresh = preset(name).sample(VECTOR, datetime.now(UTC))
            assert Webhook(SECRET).verify(fresh.body, dict(fresh.headers)) == parse_object(VECTOR)
        case "slack":
            assert senders.slack_verifies(sample.body, headers, NOW)
        case "github":
            assert headers["x-hub-signature-256"] == senders.github(VECTOR)["x-hub-signature-256"]
        case "dingtalk":
            assert headers["sign"] == senders.dingtalk(NOW)["sign"]
        case "feishu":
            nonce = headers["x-lark-request-nonce"]
            again = senders.feishu_signed(sample.body, NOW, nonce=nonce)
            assert again["x-lark-signature"] == headers["x-lark-signature"]
        case _:
            pass


# --- published vectors --------------------------------------------------------------------------------------


def test_standard_webhooks_and_svix_sign_what_is_taken() -> None:
    want = "v1,SAqqL8Grd4Q9CH2Xq3cV1DklpKhag3gtGtdBJo57nk0="
    assert Webhook(SECRET).sign("msg_clawd_0001", NOW, VECTOR.decode()) == want
    assert SvixWebhook(SECRET).sign("msg_clawd_0001", NOW, VECTOR.decode()) == want
    for family in ("webhook", "svix"):
        headers = {
            f"{family}-id": "msg_clawd_0001",
            f"{family}-timestamp": "1700000000",
            f"{family}-signature": f"v1,AAAA {want}",
            "content-type": "application/json",
        }
        assert taken(preset("standard"), request(VECTOR, headers)).id == "msg_clawd_0001"
        assert refused(preset("standard"), request(VECTOR, headers | {f"{family}-id": "msg_2"})) == 401


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [
        (
            "It's a Secret to Everybody",
            b"Hello, World!",
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (
            "clawd-github-secret",
            VECTOR,
            "a3867ec490df38cc8a041af8540bbd0b0d71fdf61ba8f7428897c20eb99d2502",
        ),
    ],
)
def test_githubs_vectors(secret: str, body: bytes, signature: str) -> None:
    by = GitHub("hook", [secret.encode()])
    headers = {
        "x-hub-signature-256": f"sha256={signature}",
        "x-github-event": "ping",
        "x-github-delivery": "guid",
        "content-type": "application/json",
    }
    assert taken(by, request(body, headers)).id == "guid"
    for wrong in (signature, "sha1=" + signature, "sha256=" + signature.upper(), f"sha256={signature}0"):
        assert refused(by, request(body, headers | {"x-hub-signature-256": wrong})) == 401


def test_slacks_vector() -> None:
    body = b'{"type":"url_verification","challenge":"abc123"}'
    headers = {
        "x-slack-request-timestamp": "1700000000",
        "x-slack-signature": "v0=187937922a15f711ddff38a0ef9fb9779c830cc6d6a74bcea694b3efa5595889",
        "content-type": "application/json",
    }
    by = preset("slack")
    envelope = taken(by, request(body, headers))
    assert by.answer(envelope, parse_object(envelope.body)) == {"challenge": "abc123"}


FEISHU_EVENT = (
    b'{"schema":"2.0","header":{"event_id":"ev1","event_type":"im.message.receive_v1",'
    b'"create_time":"1700000000000","token":"vtok","app_id":"cli_x","tenant_key":"t"},"event":{}}'
)
FEISHU_BODY = (
    b'{"encrypt":"AAECAwQFBgcICQoLDA0ODxhYu99jSWK/WSrYlNRuvquFuxj6Clp70g19cd6OVugSpuW3ZJW3ebKJxEiUJgHMfp98'
    b"flOpRE2xdcJayb+wkXfyJ4lN0SWxdtTBoZc+rkqvvrEHQlmrCiEdNkYKBg5DgwODCSLTmMWzotaVU32K1ZPkdW5Lkl4UUpI5W/GF7ef"
    b'vl3KEra2ZYIeJZB2SzYoeIzVTIDc8oKJvAj35rDE3c6G+o+U6L8qRHx+0pUlPLMfm"}'
)
FEISHU_CHALLENGE = (
    "AAECAwQFBgcICQoLDA0ODygIwKRs/xtr+XOGEqLGusejD5hc+Zdva/Z5P6qFaI77X3SPYkqCYwi8mOduuh+eVOOWUoXyJAOJAFjX/cDp"
    "DqZG9xxde4bnIe+oQZvD1tW6"
)


def test_feishus_vectors() -> None:
    by = Feishu("hook", [b"clawdEncryptKey"], 300, "vtok")
    headers = {
        "x-lark-request-timestamp": "1700000000",
        "x-lark-request-nonce": "nonce1",
        "x-lark-signature": "2b3e4025a152d4e0dfc38445c48e5bbcdc522972a487c713a77520cf425ba670",
        "content-type": "application/json; charset=utf-8",
    }
    assert taken(by, request(FEISHU_BODY, headers)).body == FEISHU_EVENT
    assert decrypt(b"test key", "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=") == b"hello world"
    challenge = json.dumps({"encrypt": FEISHU_CHALLENGE}).encode()
    envelope = taken(by, request(challenge, {"content-type": "application/json"}))
    assert by.answer(envelope, parse_object(envelope.body)) == {"challenge": "ajls384kdjx98XX"}
    assert (
        robot_signature(b"clawdFeishuSecret", "1700000000") == "A3hus5usRYrmBZPcLZ27BB5IBhz6x+6O7LqL9R1K864="
    )


def test_dingtalks_vector() -> None:
    want = "lNHMJHcykNxoA046EzvNhXcbRegb+D0hkqpoZ9ltMTI="
    assert signature_of(b"SECclawd0123456789", "1700000000000") == want
    headers = {"timestamp": "1700000000000", "sign": want, "content-type": "application/json"}
    assert taken(preset("dingtalk"), request(b"{}", headers)).timestamp == 1_700_000_000


# --- Feishu's cipher, and what goes without a signature -----------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 1000])
def test_the_cipher_is_the_one_that_others_use_both_ways(length: int) -> None:
    plain, iv = bytes(range(256)) * 4, bytes(16)
    plain = plain[:length]
    body, _ = senders.feishu(plain, NOW, key="k", iv=iv)
    encrypted = json.loads(body)["encrypt"]
    assert encrypt(b"k", plain, iv) == encrypted
    assert decrypt(b"k", encrypted) == plain


def raw_encrypted(plain: bytes) -> str:
    import base64
    import hashlib

    key = hashlib.sha256(b"k").digest()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return base64.b64encode(bytes(16) + encryptor.update(plain) + encryptor.finalize()).decode()


@pytest.mark.parametrize(
    "encrypted",
    [
        "",
        "not base64!",
        "AAAA",
        "AAECAwQFBgcICQoLDA0ODw==",  # an IV alone
        raw_encrypted(b"x" * 15 + b"\x00"),
        raw_encrypted(b"x" * 15 + b"\x11"),
        raw_encrypted(b"x" * 14 + b"\x01\x02"),
        raw_encrypted(b"x" * 16)[:-4],
    ],
)
def test_what_was_cut_or_padded_wrongly_is_refused_in_one_way(encrypted: str) -> None:
    with pytest.raises(ValueError, match=r"^it can't be decrypted$"):
        decrypt(b"k", encrypted)


def test_without_a_signature_feishu_is_let_ask_whether_the_address_is_ours_and_nothing_else() -> None:
    ask = senders.packed({"type": "url_verification", "challenge": "c", "token": "vtok"})
    by = preset("feishu", verification_token="vtok")
    body, headers = senders.feishu(ask, NOW, signs=False)
    envelope = taken(by, request(body, headers))
    assert by.answer(envelope, parse_object(envelope.body)) == {"challenge": "c"}
    said, headers = senders.feishu(senders.packed(senders.feishu_message()), NOW, signs=False)
    assert refused(by, request(said, headers)) == 401
    assert refused(by, request(ask, headers)) == 401, "in the clear"
    foreign, headers = senders.feishu(ask, NOW, key="another key of them", signs=False)
    assert refused(by, request(foreign, headers)) == 401


def test_another_verification_token_is_refused() -> None:
    by = preset("feishu", verification_token="vtok")
    for token, is_ours in (("vtok", True), ("other", False), ("", False)):
        message = senders.feishu_message()
        message["header"]["token"] = token
        envelope = taken(by, request(*senders.feishu(senders.packed(message), NOW)))
        payload = parse_object(envelope.body)
        if is_ours:
            assert by.answer(envelope, payload) is None
        else:
            with pytest.raises(Rejected) as caught:
                by.answer(envelope, payload)
            assert caught.value.status == 401


# --- GitHub's forms, bearers' ids ---------------------------------------------------------------------------


def test_githubs_form_is_read_once_its_bytes_are_known_to_be_good() -> None:
    content = senders.github_comment("ünïcode & = +")
    body, headers = senders.github_form(content)
    assert parse_object(taken(preset("github"), request(body, headers)).body) == content
    for wrong in (b"payload=%ff", b"x=1", b"payload={}&payload={}", "payload=ü".encode(), b"payload"):
        form = senders.github(wrong) | {"content-type": headers["content-type"]}
        assert refused(preset("github"), request(wrong, form)) == 400


@pytest.mark.parametrize("delivery", ["", "x" * 257, "a b", "é"])
def test_a_delivery_of_github_needs_an_id(delivery: str) -> None:
    body = b"{}"
    assert refused(preset("github"), request(body, senders.github(body, delivery=delivery))) == 400


def test_a_bearer_may_give_its_request_an_id() -> None:
    body = event()
    by = preset("bearer")
    assert taken(by, request(body, senders.bearer())).id is None
    for name in ("idempotency-key", "webhook-id"):
        assert taken(by, request(body, senders.bearer(**{name: "k1"}))).id == "k1"
    for wrong in ("Basic " + senders.BEARER, senders.BEARER, "Bearer", "Bearer  "):
        assert refused(by, request(body, senders.bearer() | {"authorization": wrong})) == 401
    assert taken(by, request(body, senders.bearer() | {"authorization": f"bearer {senders.BEARER}"})).body
