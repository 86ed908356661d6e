"""`python -m clawd.cli.completion`: writes `commands.json` anew, from the commands themselves."""

from __future__ import annotations

import sys

from clawd.cli.completion.generating import tree_text
from clawd.cli.completion.tree import TREE_FILE

if __name__ == "__main__":
    TREE_FILE.write_text(tree_text(), encoding="utf-8")
    sys.stdout.write(f"wrote {TREE_FILE}\n")
