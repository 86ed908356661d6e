"""What a live test that fails tells people to do."""

from __future__ import annotations

import pytest
import typer

from clawd.cli.checks.site import evidence_of
from clawd.cli.probing import Probe, report
from clawd.connection import RemoteError
from clawd.errors import BridgeNotReady


@pytest.mark.parametrize(
    ("given", "told"),
    [("clawd bridges test tg", "DNS, firewall"), ("clawd bridges login tg", "try: clawd bridges login tg")],
)
def test_a_test_that_fails_is_not_its_own_remedy(
    given: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = RemoteError(503, {"what": "the platform is out of reach", "try": given, "exit_code": 69})
    with pytest.raises(typer.Exit) as ended:
        report(
            "bridges", iter([Probe("tg", ok=False, detail="x", duration_s=None, error=error)]), as_json=False
        )
    assert ended.value.exit_code == 69
    said = capsys.readouterr().err
    assert told in said
    assert "clawd bridges test" not in said


def test_evidence_leaves_the_remedy_to_the_fix() -> None:
    error = BridgeNotReady("tg", "the platform is out of reach", why="timeout")
    assert evidence_of(error) == "bridge tg: the platform is out of reach (timeout)"
