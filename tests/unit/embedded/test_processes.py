"""`clawd.ModelRouter` in programs of others, as real processes: how they end, fork, are interrupted; the documents."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from tests.fakes.openai_api import FakeOpenAI, Reply, Seen

ROOT = Path(__file__).parents[3]


def _write(folder: Path, api: FakeOpenAI) -> Path:
    path = folder / "models.yaml"
    path.write_text(f"models: [{{name: claude-3, type: chat, base_url: '{api.base_url}'}}]")
    return path


async def _run(*arguments: str, cwd: Path = ROOT) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *arguments),
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_nothing_is_left_at_the_interpreters_end_and_nothing_of_the_daemon_is_imported(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from clawd import ModelRouter\n"
        f"router = ModelRouter({str(tmp_path / 'models.yaml')!r})\n"
        "print(router.invoke(prompt='hi'))\n"  # which spends a budget, and that is logged as a warning
        "parts = ('agent', 'journal', 'store', 'daemon', 'cli', 'gateway', 'control')\n"
        "print([m for m in sys.modules if m.startswith(('bridges', *(f'clawd.{p}' for p in parts)))])\n"
    )
    async with FakeOpenAI() as api:
        price = "price: {input: 0, output: 1000000}"
        path = _write(tmp_path, api)
        path.write_text(f"{path.read_text()[:-2]}, {price}}}]\nbudgets: {{day_usd: 1}}\n")
        assert await _run("-c", code) == (0, "you said: hi\n[]\n", "")


async def test_ctrl_c_in_a_blocking_call_breaks_the_request_off(tmp_path: Path) -> None:
    code = (
        "import sys; from clawd import ModelRouter\n"
        f"router = ModelRouter({str(tmp_path / 'models.yaml')!r})\n"
        "try:\n"
        "    router.invoke(prompt='hi')\n"
        "except KeyboardInterrupt:\n"
        "    sys.stdin.read()\n"  # the program goes on
    )
    async with FakeOpenAI(default=Reply(hang="headers")) as api:
        _write(tmp_path, api)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, cwd=ROOT, stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            seen = await api.arrived()
            process.send_signal(signal.SIGINT)
            await seen.ended.wait()
            assert seen.disconnected
        finally:
            process.stdin.close()
            assert await process.wait() == 0


async def test_a_fork_after_the_first_call_starts_anew(tmp_path: Path) -> None:
    code = (
        "import os; from clawd import ModelRouter\n"
        f"router = ModelRouter({str(tmp_path / 'models.yaml')!r})\n"
        "print(router.invoke(prompt='parent'), flush=True)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print(router.invoke(prompt='child'), flush=True)\n"
        "    router.close()\n"
        "    os._exit(0)\n"
        "print(os.waitpid(child, 0)[1], router.invoke(prompt='parent again'))\n"
    )
    async with FakeOpenAI() as api:
        _write(tmp_path, api)
        ended = await _run("-W", "ignore::DeprecationWarning", "-c", code)
    assert ended == (0, "you said: parent\nyou said: child\n0 you said: parent again\n", "")


async def test_the_example_of_the_documents_runs_as_written(tmp_path: Path) -> None:
    replies = [
        Reply(text="Hello, human."),
        Reply(text='{"name": "Ulm", "people": 128000}'),
        Reply(text="你好"),
        Reply(text="1 2 3 4 5"),
    ]
    async with FakeOpenAI(*replies) as api:
        code, out, err = await _run("docs/examples/python_api.py", str(_write(tmp_path, api)))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "invoke: Hello, human. from claude-3",
        "schema: name='Ulm' people=128000",
        "ainvoke: 你好",
        "stream: 1 2 3 4 5 (7 tokens)",
    ]


async def test_the_pieces_of_the_document_run_as_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "python-api.md").read_text()
    script = tmp_path / "pieces.py"
    script.write_text("\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)))
    (tmp_path / "config").mkdir()

    def choose(seen: Seen) -> Reply | None:
        return Reply(text='{"name": "Ulm", "people": 128000}') if "city" in seen.last_user_text else None

    async with FakeOpenAI(choose=choose) as api:
        _write(tmp_path / "config", api)
        code, out, err = await _run(str(script), cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "you said: Hello! claude-3 7 0.0",
        "128000",
        "you said: Tell me a story.claude-3",
    ]
