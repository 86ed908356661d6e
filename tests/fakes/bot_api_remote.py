"""The fake Bot API in a process of its own, scripted from a test: it outlives every kill of the daemon."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.fakes.bot_api import CONTROL, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator


class RemoteBotApi:
    """The script of `FakeBotApi`, over loopback HTTP and blocking; results are plain JSON.

    Every name in `bot_api.CONTROL` is a method here: `api.user_says(7, "hi")`, `api.sent(7)` (a list of
    objects with `text`, `history` …), `api.wait_for_messages(7, 2, timeout_s=5)` (raises TimeoutError).
    """

    def __init__(self, url: str, token: str = TOKEN) -> None:
        self.url = url
        self.token = token
        self.bot_id = int(token.partition(":")[0])
        self._netloc = urlsplit(url).netloc

    def __getattr__(self, name: str) -> Any:
        if name not in CONTROL:
            raise AttributeError(name)

        def ask(*args: Any, **kwargs: Any) -> Any:
            return self.control(name, args, kwargs)

        return ask

    def control(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call one method of the script and return its result."""
        connection = http.client.HTTPConnection(self._netloc, timeout=kwargs.get("timeout_s", 10) + 10)
        try:
            connection.request("POST", f"/_control/{name}", json.dumps({"args": args, "kwargs": kwargs}))
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status == 504:
            raise TimeoutError(f"{name}{args}")
        if response.status != 200:
            raise RuntimeError(f"{name}{args}: {response.status} {body[:500]!r}")
        return json.loads(body)["result"]


@contextmanager
def bot_api_process(token: str = TOKEN) -> Iterator[RemoteBotApi]:
    """Run the fake in its own process for the length of the `with` block."""
    command = [sys.executable, "-m", "tests.fakes.bot_api", "--port", "0", "--token", token]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield RemoteBotApi(process.stdout.readline().strip(), token)
        finally:
            process.kill()
