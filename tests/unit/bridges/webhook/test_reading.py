"""What people and repositories say, in words for the agent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bridges.webhook import WebhookConfig
from bridges.webhook.building import preset_of
from bridges.webhook.envelope import Envelope, Rejected
from bridges.webhook.presets.base import Heard, Ignored
from clawd.messages import Address
from tests.fakes import hook_senders as senders

if TYPE_CHECKING:
    from clawd.messages import InboundMessage

SECRET = "a-secret-of-enough-characters"


def read(preset: str, payload: dict[str, Any], kind: str = "", **section: Any) -> Heard | Ignored:
    config = WebhookConfig.model_validate({"preset": preset, "secret": SECRET} | section)
    envelope = Envelope(id="guid-1", timestamp=1_700_000_000, body=senders.packed(payload), kind=kind)
    return preset_of("hook", config).read(envelope, payload)


def heard(preset: str, payload: dict[str, Any], kind: str = "", **section: Any) -> InboundMessage:
    found = read(preset, payload, kind, **section)
    assert isinstance(found, Heard), found
    return found.message


def ignored(preset: str, payload: dict[str, Any], kind: str = "") -> str:
    found = read(preset, payload, kind)
    assert isinstance(found, Ignored), found
    return found.why


# --- GitHub -------------------------------------------------------------------------------------------------

PULL = {"number": 7, "title": "Mend it", "body": "As asked."}
REPO = {"repository": {"full_name": "octo/hello"}, "sender": {"id": 77, "login": "ann", "type": "User"}}


def test_a_comment_on_an_issue_is_told_with_its_place() -> None:
    message = heard("github", senders.github_comment("Why?"), "issue_comment")
    assert message.text == "ann commented on issue #5 of octo/hello (It breaks):\n\nWhy?"
    assert message.address == Address(bridge="hook", account="github", chat="octo/hello/issues/5")
    assert (message.sender.id, message.sender.name, message.group) == ("77", "ann", True)
    assert (message.id, message.reference) == ("github:hook:guid-1", "guid-1")


@pytest.mark.parametrize(
    ("kind", "payload", "place", "text"),
    [
        (
            "issues",
            {"action": "opened", "issue": {"number": 1, "title": "It breaks", "body": None}},
            "octo/hello/issues/1",
            "ann opened issue #1 of octo/hello: It breaks",
        ),
        (
            "pull_request",
            {"action": "opened", "pull_request": PULL},
            "octo/hello/issues/7",
            "ann opened pull request #7 of octo/hello: Mend it\n\nAs asked.",
        ),
        (
            "pull_request_review",
            {"action": "submitted", "pull_request": PULL, "review": {"state": "approved", "body": "Fine."}},
            "octo/hello/issues/7",
            "ann reviewed pull request #7 of octo/hello: approved.\n\nFine.",
        ),
        (
            "pull_request_review_comment",
            {
                "action": "created",
                "pull_request": PULL,
                "comment": {"body": "Why?", "path": "a.py", "line": 3},
            },
            "octo/hello/issues/7",
            "ann commented on a.py:3 in pull request #7 of octo/hello:\n\nWhy?",
        ),
        (
            "commit_comment",
            {"action": "created", "comment": {"body": "Why?", "commit_id": "0123456789abcdef"}},
            "octo/hello/commits/0123456789abcdef",
            "ann commented on commit 0123456789ab of octo/hello:\n\nWhy?",
        ),
        (
            "release",
            {"action": "published", "release": {"tag_name": "v1", "name": "", "body": "New."}},
            "octo/hello",
            "ann published release v1 of octo/hello.\n\nNew.",
        ),
        (
            "workflow_run",
            {
                "action": "completed",
                "workflow_run": {
                    "name": "CI",
                    "conclusion": "failure",
                    "head_sha": "abcdefabcdefabcdef",
                    "head_branch": "main",
                    "html_url": "https://x.test/1",
                },
            },
            "octo/hello/commits/abcdefabcdefabcdef",
            "Workflow CI of octo/hello ended as failure on main (abcdefabcdef).\n\nhttps://x.test/1",
        ),
    ],
)
def test_what_happens_in_a_repository_is_told(
    kind: str, payload: dict[str, Any], place: str, text: str
) -> None:
    message = heard("github", REPO | payload, kind)
    assert (message.address.chat, message.text) == (place, text)


def test_a_push_is_told_with_its_commits() -> None:
    commits = [
        {"id": f"{n:040x}", "message": f"Change {n}\n\nlong", "author": {"name": "Ann"}} for n in range(25)
    ]
    payload = REPO | {"ref": "refs/heads/main", "commits": commits, "head_commit": {"id": "f" * 40}}
    message = heard("github", payload, "push")
    lines = message.text.splitlines()
    assert lines[0] == "ann pushed 25 commits to main of octo/hello:"
    assert lines[2] == "- 000000000000 Change 0 (Ann)"
    assert (len(lines), lines[-1]) == (23, "- and 5 more")
    assert message.address.chat == f"octo/hello/commits/{'f' * 40}"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("issue_comment", senders.github_comment(action="deleted")),
        ("issue_comment", senders.github_comment(sender={"id": 1, "login": "x[bot]", "type": "Bot"})),
        ("star", REPO | {"action": "created"}),
        ("push", REPO | {"ref": "refs/heads/x", "commits": [], "head_commit": None}),
        ("workflow_run", REPO | {"action": "completed", "workflow_run": {"conclusion": "success"}}),
        ("", {}),
    ],
)
def test_what_bots_do_and_what_is_not_told_is_ignored(kind: str, payload: dict[str, Any]) -> None:
    assert ignored("github", payload, kind)


def test_an_event_without_what_each_has_is_refused_with_the_pointer() -> None:
    payload = senders.github_comment()
    del payload["comment"]
    with pytest.raises(Rejected, match=r"^/comment/body: there is nothing$"):
        read("github", payload, "issue_comment")


# --- Slack --------------------------------------------------------------------------------------------------


def test_a_direct_message_of_slack() -> None:
    message = heard("slack", senders.slack_message("hi &lt;b&gt; &amp; <https://x.test|there> <@U2|bo>"))
    assert message.text == "hi <b> & there (https://x.test) @bo"
    assert message.address == Address(bridge="hook", account="T1", chat="D1")
    assert (message.sender.id, message.group, message.addressed) == ("U1", False, True)
    assert message.sent_at == datetime.fromtimestamp(1_700_000_000.0001, UTC)
    assert message.reference == "1700000000.000100"


def test_a_mention_in_a_channel_is_one_message_in_either_of_its_events() -> None:
    common = {"channel": "C1", "channel_type": "channel"}
    plain = heard("slack", senders.slack_message("<@U0BOT> help", **common))
    mention = heard("slack", senders.slack_message("<@U0BOT> help", **common | {"type": "app_mention"}))
    assert plain == mention
    assert plain.text == "help"
    assert plain.address == Address(bridge="hook", account="T1", chat="C1", thread="1700000000.000100")
    assert (plain.group, plain.addressed) == (True, True)


def test_what_is_said_to_others_in_a_channel_is_not_addressed_to_us() -> None:
    message = heard("slack", senders.slack_message("<@U2> hi", channel="C1", channel_type="channel"))
    assert not message.addressed


def test_a_reply_belongs_to_the_conversation_of_its_thread() -> None:
    event = {"channel": "C1", "channel_type": "channel", "thread_ts": "1.2"}
    assert heard("slack", senders.slack_message("hi", **event)).address.thread == "1.2"


def test_a_file_is_named() -> None:
    event: dict[str, Any] = {"subtype": "file_share", "files": [{"name": "a.pdf"}, {"name": "b.png"}]}
    assert heard("slack", senders.slack_message("see", **event)).text == "see\n[file: a.pdf]\n[file: b.png]"


@pytest.mark.parametrize(
    "event",
    [
        {"bot_id": "B1"},
        {"user": "U0BOT"},
        {"subtype": "message_changed", "hidden": True},
        {"subtype": "channel_join"},
        {"type": "reaction_added"},
        {"text": ""},
    ],
)
def test_bots_and_what_is_no_new_message_of_slack_are_ignored(event: dict[str, Any]) -> None:
    assert ignored("slack", senders.slack_message(**event) | {})


# --- Feishu -------------------------------------------------------------------------------------------------


def test_a_private_message_of_feishu() -> None:
    message = heard("feishu", senders.feishu_message("你好"))
    assert message.text == "你好"
    assert message.address == Address(bridge="hook", account="cli_x", chat="oc_1")
    assert (message.id, message.reference) == ("feishu:hook:om_1", "om_1")
    assert (message.sender.id, message.group) == ("ou_1", False)
    assert message.sent_at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_in_a_group_of_feishu_the_bot_has_to_be_mentioned() -> None:
    mentions = [
        {"key": "@_user_1", "name": "clawd", "mentioned_type": "bot"},
        {"key": "@_user_10", "name": "Bo", "mentioned_type": "user"},
    ]
    group = {"chat_type": "group", "thread_id": "omt_1"}
    asked = heard("feishu", senders.feishu_message("@_user_1 ask @_user_10", mentions=mentions, **group))
    assert (asked.text, asked.addressed, asked.group) == ("ask @Bo", True, True)
    assert asked.address.thread == "omt_1"
    others = heard("feishu", senders.feishu_message("@_user_10 hi", mentions=mentions[1:], **group))
    assert not others.addressed


def test_a_rich_text_of_feishu_is_read_line_by_line() -> None:
    rows = [
        [{"tag": "text", "text": "see "}, {"tag": "a", "text": "this", "href": "https://x.test"}],
        [{"tag": "at", "user_id": "@_user_1"}, {"tag": "img", "image_key": "k"}],
    ]
    content = json.dumps({"title": "Plan", "content": rows})
    mentions = [{"key": "@_user_1", "name": "Bo", "mentioned_type": "user"}]
    message = senders.feishu_message(message_type="post", content=content, mentions=mentions)
    assert heard("feishu", message).text == "Plan\nsee this (https://x.test)\n@Bo"


def test_bots_and_what_is_no_text_of_feishu_are_ignored() -> None:
    assert ignored("feishu", senders.feishu_message(message_type="image", content='{"image_key":"k"}'))
    by_app = senders.feishu_message()
    by_app["event"]["sender"]["sender_type"] = "app"
    assert ignored("feishu", by_app)
    assert ignored("feishu", {"header": {"event_type": "im.chat.updated_v1"}})


# --- DingTalk -----------------------------------------------------------------------------------------------


def test_a_private_message_of_dingtalk_and_where_it_can_be_answered() -> None:
    url = "https://oapi.dingtalk.com/robot/sendBySession?session=s"
    found = read(
        "dingtalk",
        senders.dingtalk_message(" 你好 ", sessionWebhook=url, sessionWebhookExpiredTime=1_700_005_400_000),
    )
    assert isinstance(found, Heard)
    message, cursor = found.message, found.cursor
    assert message.text == "你好"
    assert message.address == Address(bridge="hook", account="robot_1", chat="cid_1")
    assert (message.sender.id, message.sender.name) == ("staff_1", "Ann")
    assert cursor is not None
    assert (cursor.key, json.loads(cursor.value)) == ("dingtalk:hook:cid_1", [url, 1_700_005_400_000])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/robot",
        "http://oapi.dingtalk.com/robot",
        "https://oapi.dingtalk.com.evil.test/",
        "https://oapi.dingtalk.com@evil.test/",
        "https://oapi.dingtalk.com:444/",
        "file:///etc/passwd",
        "https://127.0.0.1/",
    ],
)
def test_a_reply_is_never_sent_where_an_unsigned_body_says(url: str) -> None:
    payload = senders.dingtalk_message(sessionWebhook=url, sessionWebhookExpiredTime=1)
    with pytest.raises(Rejected, match="not a host of DingTalk"):
        read("dingtalk", payload)


def test_in_a_group_of_dingtalk_the_robot_has_to_be_mentioned() -> None:
    for mentioned in (True, False):
        payload = senders.dingtalk_message(conversationType="2", isInAtList=mentioned)
        message = heard("dingtalk", payload)
        assert (message.group, message.addressed) == (True, mentioned)


def test_rich_texts_and_voices_of_dingtalk_are_read() -> None:
    rich: dict[str, Any] = {
        "msgtype": "richText",
        "content": {"richText": [{"text": "a "}, {"type": "picture"}, {"text": "b"}]},
    }
    assert heard("dingtalk", senders.dingtalk_message(**rich)).text == "a b"
    voice: dict[str, Any] = {"msgtype": "audio", "content": {"recognition": "spoken"}}
    assert heard("dingtalk", senders.dingtalk_message(**voice)).text == "spoken"
    assert ignored("dingtalk", senders.dingtalk_message(msgtype="picture"))


def test_without_a_staff_id_the_sender_is_who_dingtalk_says() -> None:
    assert heard("dingtalk", senders.dingtalk_message(senderStaffId=None)).sender.id == "$:LWCP_v1:$x"
    with pytest.raises(Rejected, match=r"^/conversationId: more than 256 characters"):
        read("dingtalk", senders.dingtalk_message(conversationId="x" * 300))
