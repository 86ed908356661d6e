"""The cipher of Feishu's callbacks: AES-256-CBC under the SHA-256 of the Encrypt Key, the IV in front.

Source: open.feishu.cn, "Encrypt Key decryption". The package `cryptography` is in the extra `wechat`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

_BLOCK: Final = 16


def decrypt(key: bytes, encrypted: str) -> bytes:
    """Return what is in a field `encrypt`.

    Raises:
        ValueError: it is not base64, cut off, or not by this key; with one text for all of them.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # an optional dependency

    try:
        raw = base64.b64decode(encrypted, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("it can't be decrypted") from error
    if len(raw) < 2 * _BLOCK or len(raw) % _BLOCK:
        raise ValueError("it can't be decrypted")
    cipher = Cipher(algorithms.AES256(hashlib.sha256(key).digest()), modes.CBC(raw[:_BLOCK]))
    decryptor = cipher.decryptor()
    plain = decryptor.update(raw[_BLOCK:]) + decryptor.finalize()
    count = plain[-1]
    if not 1 <= count <= _BLOCK or plain[-count:] != bytes([count]) * count:
        raise ValueError("it can't be decrypted")
    return plain[:-count]


def encrypt(key: bytes, plain: bytes, iv: bytes) -> str:
    """Return what Feishu would put into a field `encrypt`; `iv` is 16 random bytes."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # an optional dependency

    count = _BLOCK - len(plain) % _BLOCK
    encryptor = Cipher(algorithms.AES256(hashlib.sha256(key).digest()), modes.CBC(iv)).encryptor()
    padded = plain + bytes([count]) * count
    return base64.b64encode(iv + encryptor.update(padded) + encryptor.finalize()).decode()
