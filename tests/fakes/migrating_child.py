"""A process that brings a database up to a folder of migrations: `python -m tests.fakes.migrating_child STATE_DIR FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from clawd.store.opening import open_database

if __name__ == "__main__":
    opened = open_database(Path(sys.argv[1]), lambda _: 0, lock_timeout_s=5, migrations=Path(sys.argv[2]))
    os.write(1, b"migrated\n")
    opened.db.close()
