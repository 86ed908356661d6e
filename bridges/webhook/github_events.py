"""GitHub's events in words that an agent can read. Pure. Source: docs.github.com, "Webhook events and payloads"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.webhook.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clawd.response import JsonObject

_MAX_COMMITS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened.

    `place` is what a comment is put under in GitHub's REST API, behind `/repos/` and before `/comments`:
    `owner/repo/issues/5` (pull requests too), `owner/repo/commits/SHA`; of all else `owner/repo`.
    """

    place: str
    sender_id: str
    sender: str
    text: str


def told(kind: str, content: JsonObject) -> Event | str:
    """Return an event in words, or why it is none for us.

    Raises:
        Rejected: 400 when what every event of this kind has is not there.
    """
    payload = Fields(content)
    if payload.may("/sender/type") == "Bot":
        return "done by a bot"  # also by ourselves: a comment must not lead to another one for ever
    action = payload.may("/action")
    tell = _TOLD.get((kind, action)) or _TOLD.get((kind, ""))
    if tell is None:
        return f"{kind or 'no event'}{f'.{action}' if action else ''} is not told"
    found = tell(payload)
    if isinstance(found, str):
        return found
    place, text = found
    return Event(
        place=f"{payload.key('/repository/full_name')}{place}",
        sender_id=payload.key("/sender/id"),
        sender=payload.key("/sender/login"),
        text=text,
    )


_Told = tuple[str, str] | str


def _issue(payload: Fields) -> _Told:
    number = payload.need("/issue/number")
    head = f"{_who(payload)} opened issue #{number} of {_repo(payload)}: {payload.need('/issue/title')}"
    return f"/issues/{number}", _with(head, payload.may("/issue/body"))


def _issue_comment(payload: Fields) -> _Told:
    number = payload.need("/issue/number")
    what = "pull request" if payload.may("/issue/pull_request/url") else "issue"
    title = payload.may("/issue/title")
    head = f"{_who(payload)} commented on {what} #{number} of {_repo(payload)} ({title}):"
    return f"/issues/{number}", _with(head, payload.need("/comment/body"))


def _pull_request(payload: Fields) -> _Told:
    number = payload.need("/pull_request/number")
    head = (
        f"{_who(payload)} opened pull request #{number} of {_repo(payload)}: "
        f"{payload.need('/pull_request/title')}"
    )
    return f"/issues/{number}", _with(head, payload.may("/pull_request/body"))


def _review(payload: Fields) -> _Told:
    number = payload.need("/pull_request/number")
    verdict = payload.may("/review/state") or "commented"
    body = payload.may("/review/body")
    if not body and verdict == "commented":
        return "a review without words"  # its comments come as events of their own
    head = f"{_who(payload)} reviewed pull request #{number} of {_repo(payload)}: {verdict}."
    return f"/issues/{number}", _with(head, body)


def _review_comment(payload: Fields) -> _Told:
    number = payload.need("/pull_request/number")
    line = payload.may("/comment/line")
    place = payload.may("/comment/path") + (f":{line}" if line else "")
    head = f"{_who(payload)} commented on {place} in pull request #{number} of {_repo(payload)}:"
    return f"/issues/{number}", _with(head, payload.need("/comment/body"))


def _commit_comment(payload: Fields) -> _Told:
    commit = payload.need("/comment/commit_id")
    head = f"{_who(payload)} commented on commit {commit[:12]} of {_repo(payload)}:"
    return f"/commits/{commit}", _with(head, payload.need("/comment/body"))


def _push(payload: Fields) -> _Told:
    commits = payload.count("/commits")
    head = payload.may("/head_commit/id")
    if not commits or not head:
        return "a push without commits"  # a branch or a tag that was made or removed
    lines = []
    for index in range(min(commits, _MAX_COMMITS)):
        title = payload.may(f"/commits/{index}/message").partition("\n")[0]
        author = payload.may(f"/commits/{index}/author/name")
        lines.append(f"- {payload.may(f'/commits/{index}/id')[:12]} {title} ({author})")
    if commits > _MAX_COMMITS:
        lines.append(f"- and {commits - _MAX_COMMITS} more")
    branch = payload.need("/ref").removeprefix("refs/heads/").removeprefix("refs/tags/")
    plural = "s" if commits > 1 else ""
    text = f"{_who(payload)} pushed {commits} commit{plural} to {branch} of {_repo(payload)}:"
    return f"/commits/{head}", _with(text, "\n".join(lines))


def _release(payload: Fields) -> _Told:
    name = payload.may("/release/name") or payload.need("/release/tag_name")
    return "", _with(
        f"{_who(payload)} published release {name} of {_repo(payload)}.", payload.may("/release/body")
    )


def _workflow_run(payload: Fields) -> _Told:
    outcome = payload.may("/workflow_run/conclusion")
    if outcome in ("", "success", "skipped", "neutral", "cancelled"):
        return f"a workflow that ended as {outcome or 'nothing'}"
    name, branch = payload.need("/workflow_run/name"), payload.may("/workflow_run/head_branch")
    commit = payload.need("/workflow_run/head_sha")
    head = f"Workflow {name} of {_repo(payload)} ended as {outcome} on {branch} ({commit[:12]})."
    return f"/commits/{commit}", _with(head, payload.may("/workflow_run/html_url"))


_TOLD: Final[Mapping[tuple[str, str], Callable[[Fields], _Told]]] = {
    ("issues", "opened"): _issue,
    ("issue_comment", "created"): _issue_comment,
    ("pull_request", "opened"): _pull_request,
    ("pull_request_review", "submitted"): _review,
    ("pull_request_review_comment", "created"): _review_comment,
    ("commit_comment", "created"): _commit_comment,
    ("push", ""): _push,
    ("release", "published"): _release,
    ("workflow_run", "completed"): _workflow_run,
}


def _who(payload: Fields) -> str:
    return payload.need("/sender/login")


def _repo(payload: Fields) -> str:
    return payload.need("/repository/full_name")


def _with(head: str, body: str) -> str:
    return f"{head}\n\n{body}" if body else head
