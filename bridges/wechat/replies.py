"""Makes the bytes that answer an open request, encrypted where callbacks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridges.wechat.outbound import encrypted_reply, text_reply
from bridges.wechat.signing import sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridges.wechat.crypto import Crypto
    from clawd.ids import Clock


class Replies:
    """Of one account. `crypto` is None in plain mode; `nonce` makes ten digits or so."""

    def __init__(self, token: str, crypto: Crypto | None, clock: Clock, nonce: Callable[[], str]) -> None:
        self._token = token
        self._crypto = crypto
        self._clock = clock
        self._nonce = nonce

    def text(self, text: str, *, to: str, sender: str) -> bytes:
        """Return a text of at most `MAX_BYTES` as a passive reply."""
        now_s = int(self._clock.now().timestamp())
        plain = text_reply(text, to=to, sender=sender, now_s=now_s).encode()
        if self._crypto is None:
            return plain
        encrypted, nonce = self._crypto.encrypt(plain), self._nonce()
        signature = sign(self._token, str(now_s), nonce, encrypted)
        return encrypted_reply(encrypted, signature=signature, timestamp=now_s, nonce=nonce).encode()
