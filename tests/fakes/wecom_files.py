"""The files of the fake WeCom: encrypted ones to fetch, and what the bot uploads."""

from __future__ import annotations

import base64
import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.fakes.wecom_rules import need

CHUNK = 512 * 1024
LIMITS = {"image": 10, "voice": 2, "video": 10, "file": 20}  # MiB


@dataclass(slots=True)
class _Upload:
    kind: str
    name: str
    size: int
    chunks: int
    md5: str
    data: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Served:
    body: bytes
    status: int = 200
    sized: bool = True  # tell the length beforehand
    cut: int | None = None  # so many bytes, then the connection breaks
    asked: int = 0


class Files:
    """What can be fetched under `base`, and what was uploaded."""

    def __init__(self) -> None:
        self.base = ""
        self.served: dict[str, _Served] = {}
        self._uploads: dict[str, _Upload] = {}
        self._media: dict[str, tuple[str, str, bytes]] = {}  # kind, name, content
        self._numbers = itertools.count(1)

    def put(
        self, content: bytes, *, key: bytes = bytes(range(0x20, 0x40)), status: int = 200
    ) -> dict[str, str]:
        """Keep a file; return the `url` and `aeskey` of its callback."""
        name = f"f{next(self._numbers)}"
        self.served[name] = _Served(encrypt(content, key), status)
        return {"url": f"{self.base}/{name}?sign=s3cr3t-sign", "aeskey": base64.b64encode(key).decode()}

    def of(self, media: dict[str, str]) -> _Served:
        """Return what is served for this callback."""
        return self.served[media["url"].rpartition("/")[2].partition("?")[0]]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one GET."""
        served = self.served[request.match_info["name"]]
        served.asked += 1
        if served.status != 200:
            return web.Response(status=served.status, body=b"expired")
        if not served.sized:
            stream = web.StreamResponse()
            stream.enable_chunked_encoding()
            await stream.prepare(request)
            await stream.write(served.body)
            return stream
        if served.cut is None:
            return web.Response(body=served.body)
        response = web.StreamResponse(headers={"Content-Length": str(len(served.body))})
        await response.prepare(request)
        await response.write(served.body[: served.cut])
        assert request.transport is not None
        request.transport.close()
        return response

    def upload(self, cmd: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Take a step of an upload; return the answer's body."""
        if cmd == "aibot_upload_media_init":
            need(body["type"] in LIMITS and 5 < body["total_size"] <= LIMITS[body["type"]] * 1024 * 1024)
            need(body["total_chunks"] == -(-body["total_size"] // CHUNK) <= 100)
            need(bool(body["filename"]) and "/" not in body["filename"])
            upload_id = f"upload-{next(self._numbers)}"
            self._uploads[upload_id] = _Upload(
                body["type"], body["filename"], body["total_size"], body["total_chunks"], body["md5"]
            )
            return {"upload_id": upload_id}
        upload = self._uploads.get(body["upload_id"])
        need(upload is not None)
        assert upload is not None
        if cmd == "aibot_upload_media_chunk":
            need(body["chunk_index"] in range(upload.chunks))
            piece = base64.b64decode(body["base64_data"], validate=True)
            need(len(piece) <= CHUNK)
            upload.data[body["chunk_index"]] = piece
            return None
        content = b"".join(upload.data[n] for n in sorted(upload.data))
        need(len(upload.data) == upload.chunks and len(content) == upload.size)
        need(hashlib.md5(content, usedforsecurity=False).hexdigest() == upload.md5)
        media_id = f"media-{next(self._numbers)}"
        self._media[media_id] = (upload.kind, upload.name, content)
        return {"type": upload.kind, "media_id": media_id}

    def uploaded(self, kind: str, media_id: str) -> tuple[str, bytes]:
        """Return name and content of an uploaded file, refused as another kind than its own."""
        need(media_id in self._media and self._media[media_id][0] == kind)
        return self._media[media_id][1:]


def encrypt(content: bytes, key: bytes) -> bytes:
    """Return the content as the platform stores it: AES-256-CBC, PKCS#7 to 32 bytes."""
    count = 32 - len(content) % 32
    aes = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return aes.update(content + bytes([count]) * count) + aes.finalize()
