"""`python -m clawd.daemon [--config PATH]`: what `clawd start` becomes."""

from __future__ import annotations

import gc
import os
import sys

from clawd.late_trust import import_http

if __name__ == "__main__":
    # A plugin would see every secret of the configuration, and to look for one reads a file of every package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()  # an eighth of the start went into looking for garbage; `settle` enables it
    import_http()  # in front of every other import of it
    from clawd.daemon.serving import main

    sys.exit(main())
