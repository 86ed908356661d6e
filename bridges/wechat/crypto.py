"""The cipher of encrypted callbacks: AES-256-CBC around random bytes, length, message and receiver.

Source: WeChat Official Account documentation, "message encryption and decryption".
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Final

from clawd.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import CBC

BLOCK: Final = 32  # padding goes to multiples of this, although AES blocks have 16 bytes
_AES_BLOCK: Final = 16
_PREFIX: Final = 16  # random bytes in front
_LENGTH: Final = 4


class BadCipher(ValueError):
    """What came is not a message encrypted for us. `code` is the number that the platform's samples use."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


class Crypto:
    """Encrypts and decrypts for one receiver.

    Args:
        aes_key: EncodingAESKey, 43 characters.
        receiver: The AppID; what was encrypted for another one is refused.
        random_bytes: Makes the random bytes in front of a message.

    Raises:
        ConfigError: the package `cryptography` is not installed.
    """

    def __init__(self, aes_key: str, receiver: str, random_bytes: Callable[[int], bytes]) -> None:
        key = base64.b64decode(aes_key + "=")
        self._cipher = _cipher(key)
        self._receiver = receiver.encode()
        self._random_bytes = random_bytes

    def encrypt(self, message: bytes) -> str:
        """Return the base64 text of `Encrypt`."""
        plain = b"".join(
            (self._random_bytes(_PREFIX), len(message).to_bytes(_LENGTH, "big"), message, self._receiver)
        )
        pad = BLOCK - len(plain) % BLOCK
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()

    def decrypt(self, text: str) -> bytes:
        """Return the message in the base64 text of `Encrypt`.

        Raises:
            BadCipher: not base64, not whole blocks, wrong padding or length, or for another receiver.
        """
        try:
            raw = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadCipher(-40007, "not base64") from error
        if not raw or len(raw) % _AES_BLOCK:
            raise BadCipher(-40007, "not a number of whole blocks")
        decryptor = self._cipher.decryptor()
        plain = _unpadded(decryptor.update(raw) + decryptor.finalize())
        head = _PREFIX + _LENGTH
        if len(plain) < head:
            raise BadCipher(-40008, "too short")
        end = head + int.from_bytes(plain[_PREFIX:head], "big")
        if end > len(plain):
            raise BadCipher(-40008, "the length goes past the end")
        if not hmac.compare_digest(plain[end:], self._receiver):
            raise BadCipher(-40005, "for another AppID")
        return plain[head:end]


def _unpadded(plain: bytes) -> bytes:
    # By hand: the usual unpadders refuse pads longer than a block of AES, which are usual here.
    pad = plain[-1]
    if not 1 <= pad <= BLOCK or pad > len(plain) or plain[-pad:] != bytes([pad]) * pad:
        raise BadCipher(-40008, "wrong padding")
    return plain[:-pad]


def _cipher(key: bytes) -> Cipher[CBC]:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError as error:
        raise ConfigError(
            [
                ConfigProblem(
                    path="config",
                    key="bridges",
                    message="encrypted callbacks of WeChat need the extra `wechat`",
                    remedy='pip install "clawd-agent[wechat]"',
                )
            ]
        ) from error
    # The vector is the key's beginning: the platform's rule, not a choice.
    return Cipher(algorithms.AES256(key), modes.CBC(key[:_AES_BLOCK]))
