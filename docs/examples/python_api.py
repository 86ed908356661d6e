"""Asks models from Python, without a daemon: `python python_api.py MODELS.yaml`."""

from __future__ import annotations

import asyncio
import sys

from pydantic import BaseModel

from clawd import ConfigError, ModelError, ModelRouter


class City(BaseModel):
    """The form that one of the answers is wanted in."""

    name: str
    people: int


async def talk(router: ModelRouter) -> None:
    """Ask as programs with an event loop do."""
    answer = await router.ainvoke(prompt="Say it in Chinese.", system="Answer in one word.")
    print("ainvoke:", answer)

    stream = router.stream(prompt="Count to five.")
    print("stream: ", end="")
    async for text in stream:
        if text.restart:  # another model took over: what was shown so far is void
            print("\nstream: ", end="")
        print(text, end="", flush=True)
    print(f" ({stream.answer.usage.output_tokens} tokens)")


def main(path: str) -> int:
    """Ask in every way that there is."""
    try:
        with ModelRouter(path) as router:
            answer = router.invoke(model_name="claude-3", prompt="Hello!", user_id="user_123")
            print("invoke:", answer, "from", answer.model)
            city = router.invoke(prompt="Tell me a city as JSON.", schema=City).parsed
            print("schema:", city)
            asyncio.run(talk(router))
    except (ConfigError, ModelError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
