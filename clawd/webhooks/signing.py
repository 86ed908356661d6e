"""Standard Webhooks signatures: made and checked over the raw bytes of the body. Pure.

Source: Standard Webhooks specification 1.0.0 (signed content `id.timestamp.body`, HMAC-SHA256, base64,
scheme `v1`, several signatures separated by spaces; the secret is `whsec_` and base64 of the key).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 16  # the specification wants 24 to 64; other senders' keys are shorter
MAX_SIGNATURES: Final = 10  # of one request; a sender that rotates keys has two


def key_of(secret: str) -> bytes:
    """Return the key of a secret: of `whsec_…` the decoded base64 (padding may be missing), else its UTF-8 bytes.

    Raises:
        ValueError: what follows `whsec_` is not base64, or the key has fewer than `MIN_KEY_BYTES`.
    """
    key = _decoded(secret.removeprefix(PREFIX)) if secret.startswith(PREFIX) else secret.encode()
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes can be guessed; use at least {MIN_KEY_BYTES}, better 32")
    return key


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"what follows {PREFIX} is not base64") from error


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`: one `v1,…` per key."""
    return " ".join(f"v1,{_mac(key, message_id, str(timestamp), body)}" for key in keys)


def verify(keys: Sequence[bytes], message_id: str, timestamp: str, body: bytes, header: str) -> bool:
    """Return whether one of the header's signatures is by one of the keys.

    Every key is compared with each of the first `MAX_SIGNATURES` signatures, in constant time each, so
    that the time taken says nothing about which one fits. Signatures of other schemes are passed over.
    """
    given = [
        value.encode("utf-8", "surrogateescape")
        for scheme, _, value in (entry.partition(",") for entry in header.split(" ")[:MAX_SIGNATURES])
        if scheme == "v1"
    ]
    good = False
    for key in keys:
        expected = _mac(key, message_id, timestamp, body).encode()
        for signature in given:
            good |= hmac.compare_digest(expected, signature)
    return good


def _mac(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode(), hashlib.sha256)
    mac.update(body)
    return base64.b64encode(mac.digest()).decode()
