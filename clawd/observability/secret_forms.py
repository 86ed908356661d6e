"""The forms in which a secret may stand in text: plain, encoded, in the middle of something encoded. Pure."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_SECRET: Final = 6  # a shorter value would blank out ordinary words
_MIN_LINE: Final = 12  # of a secret of several lines: shorter ones may be anything
_URLSAFE: Final = str.maketrans("+/", "-_")
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")


def forms_of(secret: str) -> set[str]:
    """Return all forms of a secret; none of one with less than `MIN_SECRET` characters.

    Each long line of a secret of several lines, such as a key in PEM, is a secret of its own: logs and protocols
    take such a value apart.
    """
    secret = secret.strip()
    if len(secret) < MIN_SECRET:
        return set()
    whole = [secret]
    if "\n" in secret:
        lines = (line.strip() for line in secret.splitlines())
        whole += [line for line in lines if len(line) >= _MIN_LINE and not line.startswith("-----")]
    return {form for each in whole for form in _encoded(each)}


def _encoded(secret: str) -> Iterator[str]:
    yield secret
    for escaped in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield escaped
        yield _ESCAPE.sub(lambda found: found[0].lower(), escaped)
    in_json = json.dumps(secret)[1:-1]
    yield in_json
    yield json.dumps(in_json)[1:-1]  # an answer that quotes an answer
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    for form in _in_base64(secret.encode("utf-8", "surrogatepass")):
        yield form
        yield form.translate(_URLSAFE)


def _in_base64(secret: bytes) -> Iterator[str]:
    """Yield what base64 makes of the bytes wherever they stand in what is encoded, as in `Basic` credentials.

    Three bytes become four characters, so there are three ways to begin; characters at the ends that depend on
    the neighbours are left out.
    """
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret).decode()
        begin = (0, 2, 3)[before]
        left_over = (before + len(secret)) % 3
        end = len(encoded) - (0, 3, 2)[left_over]
        if end - begin >= MIN_SECRET:
            yield encoded[begin:end]
