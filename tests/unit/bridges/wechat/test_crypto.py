"""Signatures and cipher: fixed vectors, and wechatpy as an independent hand, both ways."""

from __future__ import annotations

import base64
import hashlib
import secrets
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException

from bridges.wechat.crypto import BadCipher, Crypto
from bridges.wechat.signing import fits, sign
from tests.fakes.wechat_sender import AES_KEY, APP_ID, TOKEN, signature

TIME, NONCE = "1700000000", "1234567890"
PREFIX = b"0123456789abcdef"

INBOUND = (
    "<xml><ToUserName><![CDATA[gh_clawd]]></ToUserName><FromUserName><![CDATA[oUser1]]></FromUserName>"
    "<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    "<Content><![CDATA[你好 clawd]]></Content><MsgId>23456789012345678</MsgId></xml>"
).encode()
INBOUND_ENCRYPTED = (
    "4j/AuRx71kQlxVlzbpsMWLui+qp98So49qicgcn7dJhBmAUGupPABYRi+2sx0ZTYyHfmzPrEQP88WJOaW5/5HRkxJDbpXfU/xGpjlInFvVds"
    "qp+a/0KXAnB8hmHiuqVu/uKT5GiWUiL7CMydLAbNJhJZL7A17a0isH+MamMeBPvqw9rntcdJgGQfAF6g+vgVj75gFfIqu0rA3m0bk6N0aMvC"
    "az+15WcjhGj1saDh5XbiTABCtsQIx1OVKd8t0tAyiCP88sMtn8+d8mX+6NjUpm4ph2v+fxSgPrFx5b/yi4/lviObJ8zhKvS9pHulzjJu+6Jl"
    "tB+/eE/oqjv7W0AdAgIpG7yuI5GSU3MzGfJ0ZqxLqeiMvfRqcbaNNbLBFvBE"
)
OUTBOUND = (
    "<xml><ToUserName><![CDATA[oUser1]]></ToUserName><FromUserName><![CDATA[gh_clawd]]></FromUserName>"
    "<CreateTime>1700000001</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    "<Content><![CDATA[收到]]></Content></xml>"
).encode()
OUTBOUND_ENCRYPTED = (
    "4j/AuRx71kQlxVlzbpsMWLl7smx12fyLdjLgAtq483SVo/Fk7V+7Y0WpLMMgeYwdbkZMTw3JdMi+59HY1yJd84XuUG64aOtBAQLRKvuh+lcm"
    "CdZY3eJ4FPnjKnXk6YqfNwpysq0R/6fRtXUf7e5QPDOiJejomiTEW6S7WJDPDGnVjjk1NiOFwL3NwGLLdtq9YjYVaCm8JX6R/sBhTlKA1SlY"
    "CUxAHOuqz71LfCn/n/EUpKtwTWsV8lfQoSz4xphI66dmCTS+YagVmYQJ4udWQfdilDqls1IQ4w4SBSpTDzir/4Mk2cfWOaOtodRzeskb/aEs"
    "nbKzqy4TnvUds+itFQ=="
)
FULL_BLOCK = b"x" * 58
FULL_BLOCK_ENCRYPTED = (
    "4j/AuRx71kQlxVlzbpsMWDYbJ5dp12EMVhMa/SRDfNFaCgARE3bxn5pov/RUVOv+w6tbSQs8uDUnl4TMOgCpwu5/3frELSF7qp4myb1d3lCD"
    "FKmDERkCrs3bOcRaFI6G2aJl1BBpqrACa8utRE1hufTjHOvsAAqEhiS+fI+gnb8="
)
VECTORS = [
    (INBOUND, INBOUND_ENCRYPTED, TIME, "61ca0f3ee7d3a292510718176e3bced73edc40c4"),
    (OUTBOUND, OUTBOUND_ENCRYPTED, "1700000001", "855733d69b42aaac1b569f63dba11cbe1daba391"),
    (FULL_BLOCK, FULL_BLOCK_ENCRYPTED, TIME, "62c648289800eb88e1429528758ee85597fda448"),
]


def crypto(receiver: str = APP_ID) -> Crypto:
    return Crypto(AES_KEY, receiver, lambda count: PREFIX[:count])


def encrypted_plain(plain: bytes) -> str:
    """Encrypt bytes as they are, without any frame."""
    key = base64.b64decode(AES_KEY + "=")
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def test_a_plain_signature_is_the_sha1_of_the_sorted_words() -> None:
    assert sign(TOKEN, TIME, NONCE) == "3a2c794b052172cdfe2a746f26bce14a89118cfa"
    assert fits("3a2c794b052172cdfe2a746f26bce14a89118cfa", NONCE, TOKEN, TIME)
    assert not fits("3a2c794b052172cdfe2a746f26bce14a89118cfb", TOKEN, TIME, NONCE)
    assert not fits("3a2c794b052172cdfe2a746f26bce14a89118cfa", TOKEN, TIME, "1234567891")


def test_the_inbound_vector_is_the_message_that_it_says_it_is() -> None:
    assert len(INBOUND) == 248
    assert hashlib.sha256(INBOUND).hexdigest() == (
        "2fe33419d57b30c2b9e4987af2c3d2b60e70c800b7b4ca59e743a5c515cc6b10"
    )


@pytest.mark.parametrize(("plain", "encrypted", "time", "signed"), VECTORS)
def test_every_vector_holds_in_both_directions(plain: bytes, encrypted: str, time: str, signed: str) -> None:
    assert crypto().encrypt(plain) == encrypted
    assert crypto().decrypt(encrypted) == plain
    assert sign(TOKEN, time, NONCE, encrypted) == signed


@pytest.mark.parametrize("size", [*range(40, 110), 2048, 100_000])
def test_wechatpy_reads_what_we_encrypt_and_we_what_it_encrypts(size: int) -> None:
    text = ("emoji 👩‍👩‍👧 和中文 " * (size // 8 + 1)).encode()[:size].decode("utf-8", "ignore")
    theirs = WeChatCrypto(TOKEN, AES_KEY, APP_ID)
    ours = Crypto(AES_KEY, APP_ID, secrets.token_bytes)
    encrypted = ours.encrypt(text.encode())
    envelope = f"<xml><Encrypt>{encrypted}</Encrypt></xml>"
    assert theirs.decrypt_message(envelope, sign(TOKEN, TIME, NONCE, encrypted), TIME, NONCE) == text
    envelope = theirs.encrypt_message(text, NONCE, TIME)
    body = envelope.partition("<Encrypt><![CDATA[")[2].partition("]]>")[0]
    assert ours.decrypt(body) == text.encode()
    assert signature(TOKEN, TIME, NONCE, body) == sign(TOKEN, TIME, NONCE, body)


def test_a_message_for_another_appid_is_refused_by_both() -> None:
    with pytest.raises(BadCipher, match="another AppID"):
        crypto("wxother").decrypt(INBOUND_ENCRYPTED)
    with pytest.raises(InvalidAppIdException):
        WeChatCrypto(TOKEN, AES_KEY, "wxother").decrypt_message(
            f"<xml><Encrypt>{INBOUND_ENCRYPTED}</Encrypt></xml>", VECTORS[0][3], TIME, NONCE
        )


def frame(message: bytes, *, length: int | None = None, receiver: bytes = APP_ID.encode()) -> bytes:
    return PREFIX + (len(message) if length is None else length).to_bytes(4, "big") + message + receiver


def padded(plain: bytes, pad: int | None = None) -> bytes:
    count = 32 - len(plain) % 32 if pad is None else pad
    return plain + bytes([count]) * count


@pytest.mark.parametrize(
    ("encrypted", "why"),
    [
        (INBOUND_ENCRYPTED[:-1], "base64"),
        (INBOUND_ENCRYPTED[:100], "blocks|base64"),
        ("*" * 64, "base64"),
        ("", "blocks"),
        ("你好", "base64"),
        (encrypted_plain(padded(frame(b"hi", length=2**31))), "past the end"),
        (encrypted_plain(padded(frame(b"hi", length=3))), "another AppID"),
        (encrypted_plain(padded(frame(b"hi", receiver=b"wx0123456789abcde"))), "another AppID"),
        (encrypted_plain(padded(frame(b"hi", receiver=b""))), "another AppID"),
        (encrypted_plain(b"h" * 48 + b"\x00" * 16), "padding"),
        (encrypted_plain(b"\x21" * 64), "padding"),
        (encrypted_plain(b"\x05" * 13 + b"\x01\x02\x03"), "padding"),
        (encrypted_plain(b"\x20" * 32), "too short"),
        (encrypted_plain(b"a" * 12 + b"\x04" * 4), "too short"),
    ],
)
def test_what_is_cut_changed_or_made_up_is_refused(encrypted: str, why: str) -> None:
    with pytest.raises(BadCipher, match=why):
        crypto().decrypt(encrypted)


def test_without_the_package_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['cryptography.hazmat.primitives.ciphers'] = None\n"
        "from bridges.wechat.crypto import Crypto\n"
        f"try: Crypto('{AES_KEY}', 'wx', bytes)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigError")
    assert 'pip install "clawd-agent[wechat]"' in done.stdout
