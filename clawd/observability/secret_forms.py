"""The forms in which a secret may stand in text: plain, or within something encoded. Pure.

What escapes make of it is no form: they are undone before a text is searched (`unescaping.py`).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from clawd.observability.unescaping import unescape

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_SECRET: Final = 6  # a shorter value would blank out ordinary words
_MIN_LINE: Final = 12  # of a secret of several lines: shorter ones may be anything
_URLSAFE: Final = str.maketrans("+/", "-_")


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


def without_escapes(form: str) -> str:
    """Return a form as it stands in text without escapes; empty where too little of it is left.

    A stroke at its end looks like the escape of whatever follows.
    """
    text = unescape(form).text.rstrip("\\")
    return text if len(text) >= MIN_SECRET else ""


def _encoded(secret: str) -> Iterator[str]:
    yield secret
    if " " in secret:
        yield secret.replace(" ", "+")  # as forms write it
    raw = secret.encode("utf-8", "surrogatepass")
    yield raw.hex()
    yield raw.hex().upper()
    for form in _in_base64(raw):
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
