"""The child process that runs a model file: `python -m clawd.models.local_child`.

It reads one JSON line of `Settings` from standard input, answers with one JSON line on standard output
(`{"port": N}` or `{"error": "…"}`), and serves llama.cpp's HTTP API on loopback until it is killed.
llama.cpp writes what it likes to both outputs, so they lead nowhere from the first line on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from urllib.parse import urlsplit


def main() -> None:
    """Load the model, report, serve until killed."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    settings = json.loads(sys.stdin.readline())
    try:
        server = _serve(settings)
        port = urlsplit(server.listening_address).port  # type: ignore[attr-defined]
        report.write(json.dumps({"port": port}) + "\n")
    except (ImportError, RuntimeError, ValueError) as error:
        report.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        sys.exit(1)
    finally:
        report.close()
    signal.pause()


def _serve(settings: dict[str, object]) -> object:
    """Return the server; it answers from threads of its own as soon as it is made."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.n_ctx = settings["context"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.n_parallel = 1
    params.n_threads_http = 2
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["api_key"]]  # other users of this host get nothing from it
    params.ui = False
    params.warmup = False  # the first request does it
    # Small models fall into loops; "don't repeat yourself" sampling ends them.
    params.sampling.dry_multiplier = 0.8
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
