"""A photo that somebody sends to the bot reaches a model that can see, as data."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.crash.world import world

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(90)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


async def test_a_photo_reaches_a_model_that_can_see_as_data(state_dir: Path) -> None:
    async with world(state_dir) as here:
        seeing = {"name": "main", "type": "chat", "base_url": here.model.base_url, "vision": True}
        here.configure(models=[seeing])
        here.telegram.files.user_sends(7, "photo", PNG, caption="what is this?")
        await here.start()
        await here.telegram.wait_for_messages(7, 1)
        asked = here.model.requests[-1].body["messages"][-1]["content"]
        kinds = {part["type"]: part for part in asked}
        assert kinds["text"]["text"] == "what is this?"
        head, _, data = kinds["image_url"]["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == PNG
