"""Foreign payloads and replies by configuration alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bridges.webhook import WebhookConfig
from bridges.webhook.envelope import Envelope, Rejected
from bridges.webhook.mapping import FieldMap, MapConfig, holds
from bridges.webhook.pointers import NotFound, Pointer, Template, parse_source
from bridges.webhook.templates import TextTemplate, fill_structure, parse_structure

if TYPE_CHECKING:
    from clawd.messages import InboundMessage
    from clawd.response import JsonObject

# The document and the pointers of RFC 6901, section 5, but for those into the whole document.
RFC_6901: JsonObject = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


def read(payload: JsonObject, *, envelope_id: str | None = "e1", **fields: Any) -> InboundMessage:
    envelope = Envelope(id=envelope_id, timestamp=1_700_000_000, body=b"{}")
    return FieldMap("hook", MapConfig.model_validate(fields)).read(envelope, payload, new_id="drawn")


def refusal(payload: JsonObject, **fields: Any) -> str:
    with pytest.raises(Rejected) as caught:
        read(payload, **fields)
    assert caught.value.status == 400
    return caught.value.message


def problem(**section: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        WebhookConfig.model_validate({"secret": "x" * 24, "preset": "bearer"} | section)
    return str(caught.value)


# --- pointers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_pointers_find_what_the_standard_says(pointer: str, value: object) -> None:
    assert Pointer.parse(pointer).find(RFC_6901) == value


@pytest.mark.parametrize(
    "pointer", ["/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/-1", "/none", "/foo/0/x", "/a/b"]
)
def test_a_pointer_that_leads_nowhere_says_so(pointer: str) -> None:
    with pytest.raises(NotFound) as caught:
        Pointer.parse(pointer).find(RFC_6901)
    assert str(caught.value) == f"{pointer}: there is nothing"


@pytest.mark.parametrize("text", ["foo", "", "#/foo", "/a~2", "/a~"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON pointer"):
        Pointer.parse(text)


def test_a_template_is_filled_in_and_braces_can_be_written() -> None:
    template = Template.parse("{/a}: {{{/b}}} {/c/0}")
    assert template.plain({"a": "x", "b": 1, "c": [True]}) == "x: {1} true"
    with pytest.raises(ValueError, match=r"did you mean .\{/repo\}"):
        parse_source("{repo}: x")


# --- map ----------------------------------------------------------------------------------------------------


def test_all_fields_of_a_message_are_found_by_their_pointers() -> None:
    message = read(
        {
            "data": {"message": "hi", "n": 7},
            "user": {"id": 12, "name": "Ann\x07"},
            "room": "r/1",
            "kind": "room",
        },
        text="{/data/message} ({/data/n})",
        sender="/user/id",
        name="/user/name",
        conversation="/room",
        id="/data/n",
        language={"value": "zh-CN"},
        group={"/kind": ["room", "channel"]},
    )
    assert message.text == "hi (7)"
    assert (message.sender.id, message.sender.name, message.sender.language) == ("12", "Ann", "zh-CN")
    assert message.address.chat == "r/1"
    assert (message.id, message.reference, message.group) == ("webhook:hook:7", "7", True)


def test_the_first_source_that_finds_something_counts() -> None:
    fields: dict[str, Any] = {"text": ["/a", "/b", {"value": "nothing was said"}]}
    assert read({"a": "x", "b": "y"}, **fields).text == "x"
    assert read({"a": None, "b": "y"}, **fields).text == "y"
    assert read({"a": " ", "b": ""}, **fields).text == "nothing was said"


def test_a_pointer_that_finds_nothing_is_named_to_the_sender() -> None:
    assert refusal({"b": 1}, text="/a") == "map.text: /a: there is nothing"
    assert (
        refusal({"b": []}, text=["/a", "{/b/0}"]) == "map.text: /a: there is nothing; /b/0: there is nothing"
    )
    assert refusal({"a": "x", "u": {}}, text="/a", sender="/u") == (
        "map.sender: /u: a text or a number was expected"
    )
    assert "map.conversation: more than 128" in refusal({"a": "x" * 200}, text="/a", conversation="/a")


def test_lists_and_sections_are_shown_in_a_text_as_json() -> None:
    assert read({"alerts": [{"a": 1}]}, text="see {/alerts}").text == 'see [{"a": 1}]'


def test_without_a_conversation_each_sender_has_one_and_without_a_sender_there_is_one_for_all() -> None:
    assert read({"t": "x", "u": "u1"}, text="/t", sender="/u").address.chat == "user:u1"
    assert read({"t": "x"}, text="/t").address.chat == "default"
    assert read({"t": "x"}, text="/t").sender.id == "webhook"


def test_the_id_is_the_maps_then_the_services_then_a_new_one() -> None:
    assert read({"t": "x"}, text="/t", id="/t").id == "webhook:hook:x"
    assert read({"t": "x"}, text="/t").id == "webhook:hook:e1"
    assert read({"t": "x"}, text="/t", envelope_id=None).id == "webhook:hook:drawn"
    long = [read({"t": "x", "id": "k" * 300 + end}, text="/t", id="/id").id for end in "aab"]
    assert long[0] == long[1] != long[2]
    assert len(long[0]) < 100


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"/action": "deleted"}, True),
        ({"/action": ["edited", "deleted"]}, True),
        ({"/action": "created"}, False),
        ({"/bot": True}, True),
        ({"/bot": 1}, False),
        ({"/n": 1}, True),
        ({"/n": True}, False),
        ({"/none": None}, True),
        ({"/action": None}, False),
        ({"/user/login": "me", "/n": 1}, True),
    ],
)
def test_a_condition_compares_values_of_the_same_type(conditions: dict[str, Any], found: bool) -> None:
    config = WebhookConfig.model_validate({"secret": "x" * 24, "ignore_when": conditions})
    payload: JsonObject = {"action": "deleted", "bot": True, "n": 1}
    assert (holds(config.ignore_when, payload) is not None) is found


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"map": {"text": "message"}}, "expected a JSON pointer such as /data/text"),
        ({"map": {"text": "{message}"}}, "did you mean '{/message}'"),
        ({"map": {"sender": "/u"}}, "map.text"),
        ({"map": {"text": []}}, "map.text"),
        ({"map": {"text": "/a", "sendr": "/u"}}, "map.sendr"),
        ({"map": {"text": {"value": 1, "x": 2}}}, "expected a JSON pointer"),
        ({"map": {"text": "/a~3"}}, "~ is written ~0"),
        ({"ignore_when": {"action": "x"}}, "has to begin with /"),
        ({"ignore_when": {"/action": {"a": 1}}}, "expected a text, a number"),
        ({"preset": "slack", "map": {"text": "/a"}}, "map.id"),
    ],
)
def test_a_map_that_can_not_work_is_refused(section: dict[str, Any], words: str) -> None:
    assert words in problem(**section)


# --- reply --------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "text": 'a "quoted" {text}\n',
    "conversation": "room/1 & 2",
    "in_reply_to": None,
    "seq": 3,
    "id": "msg_1",
    "part": 0,
    "final": True,
    "type": "message.reply",
}


def test_values_are_put_into_the_structure_with_their_types() -> None:
    structure = parse_structure(
        {
            "msg": "{text}",
            "to": ["{conversation}", "re: {in_reply_to}"],
            "re": "{in_reply_to}",
            "n": "{seq}",
            "last": "{final}",
            "s": "no {seq}",
            "x": "{{text}} {",
            "fixed": [1, None, True, 0.5],
        }
    )
    assert fill_structure(structure, VALUES) == {
        "msg": 'a "quoted" {text}\n',
        "to": ["room/1 & 2", "re: "],
        "re": None,
        "n": 3,
        "last": True,
        "s": "no 3",
        "x": "{text} {",
        "fixed": [1, None, True, 0.5],
    }
    assert json.loads(json.dumps(fill_structure(structure, VALUES)))["msg"] == VALUES["text"]


def test_a_value_in_a_url_stays_where_it_is() -> None:
    url = TextTemplate.parse("https://x.test/rooms/{conversation}/send?re={id}")
    assert url.in_url(VALUES) == "https://x.test/rooms/room/1%20%26%202/send?re=msg_1"
    for conversation in ("..", "a/../b", "../x", "", "."):
        with pytest.raises(ValueError, match=r"step such as|is empty"):
            url.in_url(VALUES | {"conversation": conversation})
    assert url.in_url(VALUES | {"conversation": "@evil.test:1\\..?#"}) == (
        "https://x.test/rooms/%40evil.test%3A1%5C..%3F%23/send?re=msg_1"
    )


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"body": {"text": "{txt}"}}, "did you mean 'text'"),
        ({"body": {"text": "{nothing_like_it}"}}, "known: text, conversation"),
        ({}, "reply.body"),
        ({"url": "https://{conversation}/x", "body": {}}, "its host written out"),
        ({"url": "https://x.test{conversation}", "body": {}}, "its host written out"),
        ({"url": "{text}", "body": {}}, "its host written out"),
        ({"url": "http://x.test/", "body": {}}, "allow_http"),
        ({"url": "https://10.0.0.1/", "body": {}}, "allow_private"),
        ({"body": {"a": {"b": 1}}, "content_type": "form"}, "a form has names"),
        ({"body": ["x"], "content_type": "form"}, "a form has names"),
        ({"body": {}, "headers": {"X-A": "{text}"}}, "there is no {text} here"),
        ({"body": {}, "headers": {"X A": "b"}}, "no name of a header"),
        ({"body": {}, "headers": {"Content-Type": "b"}}, "made by clawd itself"),
        ({"body": {}, "headers": {"X-A": "b\r\nX-B: c"}}, "printable ASCII"),
        ({"body": {}, "method": "GET"}, "reply.method"),
    ],
)
def test_a_reply_that_can_not_work_is_refused(reply: dict[str, Any], words: str) -> None:
    url = {} if "url" in reply else {"url": "https://x.test/"}
    assert words in problem(reply=url | reply)


def test_a_reply_needs_somewhere_to_go() -> None:
    assert "there is no callback_url" in problem(reply={"body": {}})
    assert WebhookConfig.model_validate(
        {"secret": "x" * 24, "callback_url": "https://x.test/", "reply": {"body": {}}}
    ).reply


def test_a_header_of_a_reply_is_never_shown() -> None:
    config = WebhookConfig.model_validate(
        {
            "secret": "x" * 24,
            "callback_url": "https://x.test/",
            "reply": {"body": {}, "headers": {"X-Key": "very-secret-value"}},
        }
    )
    assert "very-secret" not in repr(config)
    assert "very-secret" not in config.model_dump_json()


# --- keys of presets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"preset": "slak"}, "preset"),
        ({"reply_token": "xoxb-1"}, "only the preset slack has this key"),
        ({"preset": "slack", "app_id": "cli_x"}, "only the preset feishu has this key"),
        ({"preset": "feishu", "app_id": "cli_x"}, "app_id and app_secret"),
        ({"preset": "header"}, "needs header"),
        ({"preset": "header", "header": "Authorization"}, "preset bearer"),
        ({"preset": "header", "header": "X Y"}, "name of a header"),
        ({"api_base": "https://x.test"}, "only the preset slack or feishu or dingtalk"),
        ({"preset": "slack", "api_base": "http://x.test"}, "allow_http"),
    ],
)
def test_keys_that_do_not_fit_the_preset_are_refused(section: dict[str, Any], words: str) -> None:
    assert words in problem(**section)


@pytest.mark.parametrize("preset", ["github", "slack", "feishu", "dingtalk"])
def test_who_writes_to_a_service_is_nobody_until_let_in(preset: str) -> None:
    section = {"secret": "x" * 24, "preset": preset}
    assert WebhookConfig.model_validate(section).allow == ()
    assert WebhookConfig.model_validate(section | {"allow": ["7"]}).allow == ("7",)
