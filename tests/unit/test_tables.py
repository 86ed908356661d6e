"""Each table has one owner; nobody else reads or writes it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "clawd" / "store" / "migrations"
OWNERS = {
    "principal": "clawd/access.py",
    "pairing": "clawd/access.py",
    "token": "clawd/gateway/token_rows.py",
    "token_use": "clawd/gateway/token_use.py",
    "artifact": "clawd/artifacts/",
    "artifact_use": "clawd/artifacts/",
    "artifact_gone": "clawd/artifacts/",
    "alert": "clawd/alerts/rows.py",
    "alert_silence": "clawd/alerts/rows.py",
}


def tables() -> set[str]:
    sql = "\n".join(path.read_text(encoding="utf-8") for path in MIGRATIONS.glob("*.sql"))
    return set(re.findall(r"CREATE TABLE (\w+)", sql))


def test_a_table_is_named_in_the_statements_of_its_owner_alone() -> None:
    found = tables()
    assert found >= {"conv", "inbox", "journal", "outbox", "spend", *OWNERS}
    statement = re.compile(rf"\b(?:FROM|INTO|UPDATE|JOIN)\s+({'|'.join(sorted(found))})\b")
    users: dict[str, set[str]] = {}
    for package in ("clawd", "bridges"):
        for path in (ROOT / package).rglob("*.py"):
            place = str(path.relative_to(ROOT))
            for table in statement.findall(path.read_text(encoding="utf-8")):
                users.setdefault(table, set()).add(place)
    assert users.keys() == found
    for table, places in users.items():
        owner = OWNERS.get(table, "clawd/journal/")
        assert all(place.startswith(owner) for place in places), (table, places)
