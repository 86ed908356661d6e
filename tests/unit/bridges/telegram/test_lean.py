"""Importing aiogram cheaply, and falling back where that does not work. Each in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_SCRIPT = """
import json, sys, time
{before}
begun = time.process_time()
from bridges.telegram import lean
cpu = time.process_time() - begun
from aiogram import types
from aiogram.methods import Response
body = {{"message_id": 1, "date": 1, "chat": {{"id": 1, "type": "private"}}, "text": "x"}}
answer = Response[types.Message].model_validate({{"ok": True, "result": body}})
sent = lean.SendMessage(chat_id=1, text="x", entities=[lean.MessageEntity(type="bold", offset=0, length=1)])
gift = types.Gift.model_validate
try:
    gift({{}})
except ValueError as error:
    fields = len(error.errors())
# getrusage would tell the parent's peak: the kernel keeps it across fork and exec.
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
rss = int(peak.split()[1]) / 1024
print(json.dumps({{
    "deferred": lean.DEFERRED, "text": answer.result.text, "sent": sent.model_dump(warnings=False)["text"],
    "gift": fields, "cpu": cpu, "rss": rss, "same": types.Message is lean.Message,
}}))
"""

_DRIFTED = """
import bridges.telegram, importlib.util
spec = importlib.util.find_spec("bridges.telegram.lean")
source = open(spec.origin).read().replace("    entity = MessageEntity", "    raise TypeError('drift')\\n    entity = MessageEntity")
import types as t
module = t.ModuleType("bridges.telegram.lean")
module.__file__ = spec.origin
sys.modules["bridges.telegram.lean"] = module
bridges.telegram.lean = module
exec(compile(source, spec.origin, "exec"), module.__dict__)
"""


def fresh(before: str = "") -> tuple[dict[str, Any], str]:
    """Run the script in a new interpreter; return what it printed and what it complained of."""
    done = subprocess.run(  # the interpreter itself, with a fixed script
        [sys.executable, "-c", _SCRIPT.format(before=before)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result, done.stderr


def test_the_cheap_import_serves_every_model_and_costs_a_fraction() -> None:
    result, complaints = fresh()
    assert result["deferred"]
    assert (result["text"], result["sent"], result["same"]) == ("x", "x", True)
    assert result["gift"] > 0
    assert complaints == ""
    assert result["rss"] < 110  # 165 MB and more with the stock import


def test_an_aiogram_that_was_imported_before_is_left_alone() -> None:
    result, _ = fresh("import aiogram")
    assert not result["deferred"]
    assert (result["text"], result["sent"]) == ("x", "x")


def test_a_failing_self_test_falls_back_to_the_import_as_it_comes_and_says_so() -> None:
    result, complaints = fresh(_DRIFTED)
    assert not result["deferred"]
    assert (result["text"], result["sent"], result["same"]) == ("x", "x", True)
    assert "aiogram_imported_whole" in complaints


def test_other_models_are_rebuilt_as_ever() -> None:
    result, _ = fresh(
        "from pydantic import BaseModel\n"
        "stock = BaseModel.__dict__['model_rebuild']\n"
        "import bridges.telegram.lean\n"
        "assert BaseModel.__dict__['model_rebuild'] is stock\n"
    )
    assert result["deferred"]


def test_the_plugin_is_cheap_to_import() -> None:
    script = "import sys, bridges.telegram; print('aiogram' in sys.modules, 'aiohttp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.split() == ["False", "False"]
