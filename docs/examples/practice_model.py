"""A stand-in for a model, for the tutorial: `python docs/examples/practice_model.py` listens on port 8099.

It speaks OpenAI's chat completions, needs no key, and does what it is told: "run: COMMAND" asks for that
command by the tool `shell`, "slowly" makes the answer last ten seconds, and all else is repeated.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8099
PIECES = 20  # of a slow answer


def answer(messages: list[dict[str, Any]], tools: list[str]) -> tuple[str, str | None]:
    """Return the text of the answer, and the command that it wants to run instead."""
    last = messages[-1]
    asked = str(next(m["content"] for m in reversed(messages) if m["role"] == "user"))
    if last["role"] == "tool":
        return f"It is done. The tool told me:\n\n{last['content']}", None
    if "run:" in asked and "shell" in tools:
        return "", asked.partition("run:")[2].strip()
    if "run:" in asked:
        return "I would, but nobody offers me the tool `shell`.", None
    return f"You said: {asked}", None


class Handler(BaseHTTPRequestHandler):
    """Answers every request in the form of a stream."""

    def do_POST(self) -> None:
        """Answer one request: with text, or with a call of the tool `shell`."""
        request = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(request)
        with suppress(ConnectionError):  # who asked was killed, as the tutorial does
            self.stream(body, len(request))

    def stream(self, body: dict[str, Any], size_of_request: int) -> None:
        """Write the answer as it comes, and then what it cost."""
        tools = [tool["function"]["name"] for tool in body.get("tools", [])]
        text, command = answer(body["messages"], tools)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        slow = command is None and "slowly" in text
        if command is not None:
            call = {"name": "shell", "arguments": json.dumps({"command": command})}
            self.send(
                {
                    "tool_calls": [
                        {"index": 0, "id": f"call_{time.time_ns()}", "type": "function", "function": call}
                    ]
                }
            )
        else:
            words = text.split(" ")
            size = max(1, len(words) // PIECES)
            for start in range(0, len(words), size):
                if slow:
                    time.sleep(10 * size / len(words))
                self.send({"content": ("" if start == 0 else " ") + " ".join(words[start : start + size])})
        self.send({}, "tool_calls" if command is not None else "stop")
        count = {"prompt_tokens": size_of_request // 4, "completion_tokens": len(text) // 4 + 5}
        self.write({"choices": [], "usage": {**count, "total_tokens": sum(count.values())}})
        self.wfile.write(b"data: [DONE]\n\n")

    def send(self, delta: dict[str, Any], finish: str | None = None) -> None:
        """Write one piece of the answer."""
        self.write({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def write(self, event: dict[str, Any]) -> None:
        """Write one event of the stream, at once."""
        self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing of each request."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    print(f"the practice model listens on http://127.0.0.1:{port}/v1; Ctrl-C ends it")
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
