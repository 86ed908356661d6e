"""`python -m clawd.daemon [--config PATH]`: what `clawd start` becomes."""

from __future__ import annotations

import os
import sys

from clawd.daemon.garbage import look_at_the_young
from clawd.late_trust import import_http

if __name__ == "__main__":
    # A plugin would see every secret of the configuration, and to look for one reads a file of every package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    look_at_the_young()
    import_http()  # in front of every other import of it
    from clawd.daemon.serving import main

    sys.exit(main())
