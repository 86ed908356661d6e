"""Signatures of callbacks: a SHA-1 over sorted words. Pure.

Source: WeChat Official Account documentation, "access guide" and "encryption and decryption".
"""

from __future__ import annotations

import hashlib
import hmac


def sign(*words: str) -> str:
    """Return the signature of these words: hexadecimal SHA-1 of them sorted by bytes, without separator.

    For `signature` they are token, timestamp and nonce; for `msg_signature` also the text of `Encrypt`.
    """
    joined = b"".join(sorted(word.encode("utf-8", "surrogatepass") for word in words))
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


def fits(given: str, *words: str) -> bool:
    """Whether a signature is that of these words; takes equal time wherever it is wrong."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), sign(*words).encode())
