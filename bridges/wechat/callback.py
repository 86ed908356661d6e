"""One request of the platform, checked: what it says is looked at only once its signature is found good."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.wechat.crypto import BadCipher
from bridges.wechat.signing import fits
from bridges.wechat.xml_body import BadXml, read_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridges.wechat.crypto import Crypto
    from clawd.bridge import HttpRequest

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_MAX_WORD: Final = 128  # characters of a nonce or a signature
_MAX_ECHO: Final = 256
_MAX_NONCES: Final = 20_000


class Refused(Exception):
    """The request is answered with `status` and nothing else; the reason is for our own log."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A message of the platform, decrypted where it was encrypted."""

    fields: Mapping[str, str]
    raw: bytes  # the XML that they stand in


class Nonces:
    """Which requests came within the window: the same one again may only say the same.

    Plain callbacks sign no body. Without this, whoever saw one could send other words under its signature.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._seen: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()

    def check(self, timestamp: str, nonce: str, message: bytes, now: float) -> None:
        """Remember a request; raises Refused when another one carried the same time and nonce."""
        while self._seen and (
            len(self._seen) > _MAX_NONCES or next(iter(self._seen.values()))[0] < now - self._keep_s
        ):
            self._seen.popitem(last=False)
        digest = hashlib.sha256(message).digest()
        first = self._seen.setdefault((timestamp, nonce), (now, digest))
        if first[1] != digest:
            raise Refused(403, "another message under a signature that was used")


class Door:
    """Checks requests by token, time, and in encrypted mode by cipher.

    Args:
        token: As set at the platform.
        crypto: None in plain mode. It is the configuration that decides: a request which is not encrypted
            is refused where one has to be, whatever it says of itself.
        tolerance_s: Greatest difference between the platform's clock and ours.
    """

    def __init__(self, token: str, crypto: Crypto | None, *, tolerance_s: float) -> None:
        self._token = token
        self._crypto = crypto
        self._tolerance_s = tolerance_s
        self._nonces = Nonces(2 * tolerance_s)

    def echo(self, request: HttpRequest, now: float) -> bytes:
        """Return what a request that verifies our address wants to have back.

        Raises:
            Refused: 403 for a wrong signature or time, 400 for an echo that no platform sends.
        """
        self._check_signature(request, now)
        echo = request.query.get("echostr", "")
        if not echo or len(echo) > _MAX_ECHO or not echo.isascii() or not echo.isprintable():
            raise Refused(400, "no echostr that may be given back")
        return echo.encode()

    def read(self, request: HttpRequest, now: float) -> Callback:
        """Return the message in a request.

        Raises:
            Refused: 403 when it is not by the platform, for us and of now, 400 when it is no XML.
        """
        timestamp, nonce = self._check_signature(request, now)
        try:
            outer = read_fields(request.body)
            if self._crypto is None:
                fields, raw = outer, request.body
                if "Encrypt" in outer and "MsgType" not in outer:
                    raise Refused(400, "an encrypted message, but `mode` is plain: set aes_key")
            else:
                raw = self._decrypted(self._crypto, request, outer, timestamp, nonce)
                fields = read_fields(raw)
        except BadXml as error:
            raise Refused(400, f"{error} (-40002)") from error
        self._nonces.check(timestamp, nonce, raw, now)
        return Callback(fields=fields, raw=raw)

    def _check_signature(self, request: HttpRequest, now: float) -> tuple[str, str]:
        """Return timestamp and nonce of a request whose `signature` is good; raises Refused."""
        query = request.query
        signature, timestamp, nonce = (query.get(name, "") for name in ("signature", "timestamp", "nonce"))
        if not (signature and timestamp and nonce) or max(len(signature), len(nonce)) > _MAX_WORD:
            raise Refused(403, "without signature, timestamp or nonce")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Refused(403, "a timestamp that is no number of seconds")
        if not fits(signature, self._token, timestamp, nonce):
            raise Refused(403, "a wrong signature: is `token` the one set at the platform? (-40001)")
        off_s = now - int(timestamp)
        if abs(off_s) > self._tolerance_s:
            raise Refused(
                403,
                f"{abs(off_s):.0f} s too {'old' if off_s > 0 else 'new'} at a tolerance of"
                f" {self._tolerance_s:.0f} s: a repeat, or a clock is wrong",
            )
        return timestamp, nonce

    def _decrypted(
        self, crypto: Crypto, request: HttpRequest, outer: Mapping[str, str], timestamp: str, nonce: str
    ) -> bytes:
        encrypted = outer.get("Encrypt", "")
        signature = request.query.get("msg_signature", "")
        if not encrypted or not signature or len(signature) > _MAX_WORD:
            raise Refused(403, "not encrypted, which it has to be")
        if not fits(signature, self._token, timestamp, nonce, encrypted):
            raise Refused(403, "a wrong msg_signature (-40001)")
        try:
            return crypto.decrypt(encrypted)
        except BadCipher as error:
            raise Refused(403, f"can't be decrypted: {error}") from error
