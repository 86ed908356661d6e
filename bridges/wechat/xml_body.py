"""The flat XML of callbacks and replies: read without entities, written with CDATA. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What XML 1.0 can't hold, and what would show up as rubbish: control characters and halves of pairs.
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


class BadXml(ValueError):
    """The bytes are not the XML that was asked for."""


def read_fields(raw: bytes) -> Mapping[str, str]:
    """Return the texts of a message's elements by name, without surrounding white space.

    Elements within elements are left out; of a name that comes twice the first one counts.

    Raises:
        BadXml: not UTF-8, not well-formed, with a DOCTYPE, or not an `<xml>` element.
    """
    try:
        root = fromstring(raw.decode("utf-8"), forbid_dtd=True)
    except (UnicodeDecodeError, ParseError, DefusedXmlException, ValueError) as error:
        raise BadXml(f"not XML that is taken here: {type(error).__name__}") from error
    if root.tag != "xml":
        raise BadXml("the outer element is not <xml>")
    fields: dict[str, str] = {}
    for element in root:
        if isinstance(element.tag, str) and len(element) == 0:
            fields.setdefault(element.tag, (element.text or "").strip())
    return fields


def write_fields(fields: Sequence[tuple[str, str | int]]) -> str:
    """Return an `<xml>` element: numbers as they are, texts as CDATA."""
    inner = "".join(
        f"<{name}>{value if isinstance(value, int) else _cdata(value)}</{name}>" for name, value in fields
    )
    return f"<xml>{inner}</xml>"


def writable(text: str) -> str:
    """Return the text without what XML can't hold; each line end is a line feed."""
    return _UNWRITABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _cdata(text: str) -> str:
    return f"<![CDATA[{writable(text).replace(']]>', ']]]]><![CDATA[>')}]]>"
