"""Live tests of models and bridges, told one by one."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import typer

from clawd.cli.printing import clean, duration, emit, out, paint, say
from clawd.client import RemoteError, segment
from clawd.errors import EXIT_OK, four_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.client import Client


_REACH: Final = "see whether this host reaches it (DNS, firewall, network.proxy), and clawd logs"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a test that has several."""

    name: str
    ok: bool
    detail: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What one test showed; `error` is None when it went well."""

    name: str
    ok: bool
    detail: str
    duration_s: float | None
    steps: tuple[Step, ...] = ()
    error: RemoteError | None = None

    @property
    def exit_code(self) -> int:
        """The code that a command ends with for it."""
        if self.error is not None:
            return self.error.exit_code
        return next((step.exit_code for step in self.steps if not step.ok), EXIT_OK)


def probe(client: Client, kind: str, name: str, limit_s: float) -> Probe:
    """Return the outcome of a test by the daemon; raises ControlError when the daemon itself fails."""
    try:
        answer = client.post(f"/{kind}/{segment(name)}/test", timeout_s=limit_s)
    except RemoteError as error:
        return Probe(name, ok=False, detail=error.why or error.what, duration_s=None, error=error)
    steps = tuple(
        Step(each["name"], each["ok"], each["detail"], each["exit_code"]) for each in answer.get("steps", [])
    )
    ok = all(step.ok for step in steps)
    return Probe(name, ok=ok, detail=answer["detail"], duration_s=answer.get("duration_s"), steps=steps)


def report(kind: str, probes: Iterator[Probe], *, as_json: bool) -> None:
    """Print each outcome as it comes; exits with the first failure's code."""
    done = []
    for each in probes:
        done.append(each)
        if not as_json:
            _show(kind, each)
    if as_json:
        emit({kind: [_told(each) for each in done]})
    codes = [each.exit_code for each in done if not each.ok]
    raise typer.Exit(codes[0] if codes else EXIT_OK)


def _told(each: Probe) -> dict[str, object]:
    return {k: v for k, v in asdict(each).items() if k != "error" and (k != "steps" or v)}


def _show(kind: str, each: Probe) -> None:
    for step in each.steps:
        word = paint("ok", "green") + "    " if step.ok else paint("fail", "red") + "  "
        out(f"{word}{step.name}: {clean(step.detail)}")
    if each.error is None and each.ok:
        took = f"  {duration(each.duration_s)}" if each.duration_s is not None else ""
        out(f"{paint('ok', 'green')}    {each.name}{took}  {clean(each.detail)}")
    else:
        out(f"{paint('fail', 'red')}  {each.name}  {clean(each.detail)}")
        sys.stdout.flush()
        if each.error is not None:
            if each.error.remedy == f"clawd {kind} test {each.name}":  # of everything but this command
                each.error.remedy = _REACH
            say(four_lines(each.error))
    sys.stdout.flush()
