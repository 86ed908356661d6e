"""The login that is kept: one file, readable by nobody else, replaced as a whole."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from clawd.config.base import Secret
from clawd.inotify import Inotify, WatchRefused, available

if TYPE_CHECKING:
    from clawd.ids import Clock

_FILE: Final = "login.json"
_LOOK_S: Final = 2.0  # where the kernel does not tell of changes


class BadCredentials(Exception):
    """The file is there and can't be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a login gave."""

    bot_id: str  # `…@im.bot`, the account
    token: Secret
    base_url: str  # where this account is served
    user_id: str  # `…@im.wechat`, who scanned the code


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    bot_id: str
    token: str
    base_url: str
    user_id: str


class CredentialStore:
    """Keeps the login of one bridge."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE

    async def load(self) -> Credentials | None:
        """Return the login, None when there has been none; raises BadCredentials."""
        return await asyncio.to_thread(self._load)

    async def save(self, credentials: Credentials) -> None:
        """Replace the login on the disk for good; raises OSError."""
        await asyncio.to_thread(self._save, credentials)

    async def replaced(self, known: Credentials | None, clock: Clock) -> None:
        """Return once the file holds another login than `known`."""
        try:
            await asyncio.to_thread(_make_private, self.path.parent)
            if not available():
                raise WatchRefused
            with Inotify() as watch:
                watch.watch({self.path.parent: [_FILE]})
                while not await self._is_new(known):
                    await watch.wait()
        except OSError:  # also: no more watches for this user, or a directory that can't be made
            while not await self._is_new(known):
                await clock.sleep(_LOOK_S)

    async def _is_new(self, known: Credentials | None) -> bool:
        try:
            found = await self.load()
        except BadCredentials:
            return False
        return found is not None and found != known

    def _load(self) -> Credentials | None:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadCredentials(f"{self.path}: {error.strerror}") from error
        try:
            stored = _Stored.model_validate_json(raw, strict=True)
        except ValidationError as error:
            raise BadCredentials(f"{self.path} does not hold a login") from error
        return Credentials(
            bot_id=stored.bot_id,
            token=Secret(stored.token, f"file {self.path}"),
            base_url=stored.base_url,
            user_id=stored.user_id,
        )

    def _save(self, credentials: Credentials) -> None:
        folder = self.path.parent
        _make_private(folder)
        stored = {
            "bot_id": credentials.bot_id,
            "token": credentials.token.reveal(),
            "base_url": credentials.base_url,
            "user_id": credentials.user_id,
        }
        descriptor, name = tempfile.mkstemp(prefix=f".{_FILE}.", dir=folder)  # made with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(stored, file)
                file.flush()
                os.fsync(file.fileno())
            _give_to_owner(Path(name), folder)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _make_private(folder: Path) -> None:
    """Make a directory of mode 0700 with its parents."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
        _give_to_owner(place, place.parent)


def _give_to_owner(made: Path, near: Path) -> None:
    """Let root's login for another user's daemon be that user's: what root made goes to who owns its place."""
    if os.geteuid() == 0:
        owner = near.stat()
        os.chown(made, owner.st_uid, owner.st_gid)
