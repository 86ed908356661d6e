"""The tutorial's practice model: it does what it is told, in the form of OpenAI's streams."""

from __future__ import annotations

import http.client
import json
import threading
from http.server import ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "practice_model.py"
SHELL = [{"type": "function", "function": {"name": "shell", "parameters": {}}}]


def practice() -> Any:
    """Return the script as a module."""
    spec = spec_from_file_location("practice_model", SCRIPT)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ask(*messages: dict[str, str], tools: Any = ()) -> list[dict[str, Any]]:
    """Return the events of one answer."""
    with ThreadingHTTPServer(("127.0.0.1", 0), practice().Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request(
                "POST", "/v1/chat/completions", json.dumps({"messages": messages, "tools": tools})
            )
            lines = connection.getresponse().read().decode().split("\n\n")
            connection.close()
        finally:
            server.shutdown()
            thread.join()
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def said(events: list[dict[str, Any]]) -> str:
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])


def test_it_repeats_what_it_is_told_and_counts_it() -> None:
    events = ask({"role": "user", "content": "Hello you"})
    assert said(events) == "You said: Hello you"
    assert events[-1]["usage"]["total_tokens"] > 10


def test_it_asks_for_a_command_where_the_shell_is_offered() -> None:
    events = ask({"role": "user", "content": "run: date"}, tools=SHELL)
    (call,) = events[0]["choices"][0]["delta"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"command": "date"}
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert "nobody offers me" in said(ask({"role": "user", "content": "run: date"}))


def test_it_tells_what_the_tool_said() -> None:
    asked = {"role": "user", "content": "run: date"}
    assert said(ask(asked, {"role": "tool", "content": "Friday"}, tools=SHELL)).endswith("Friday")
