"""The section `reply`: the request that carries a reply to a service of any shape."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from bridges.webhook.templates import NAMES, PLAIN_NAMES, TextTemplate, parse_structure
from clawd.config.base import Secret, Section

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS: Final = frozenset({"content-type", "content-length", "host", "transfer-encoding", "connection"})


def _header_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("this is no name of a header")
    if name.lower() in _OURS:
        raise ValueError("this header is made by clawd itself")
    return str(name)


def _header_value(secret: Secret) -> Secret:
    text = secret.reveal()
    if not text.isprintable() or not text.isascii():
        raise ValueError("a header holds printable ASCII")
    TextTemplate.parse(text, PLAIN_NAMES)
    return secret


class ReplyConfig(Section):
    """One request for each reply; strings may have names in braces, such as {text} and {conversation}."""

    url: str | None = None  # may have names in its path and query; None: `callback_url`
    method: Literal["POST", "PUT"] = "POST"
    content_type: Literal["json", "form"] = "json"
    headers: dict[
        Annotated[str, AfterValidator(_header_name)], Annotated[Secret, AfterValidator(_header_value)]
    ] = {}
    # Any structure; a string that is nothing but one name becomes that value with its type.
    body: Annotated[Any, BeforeValidator(parse_structure), WithJsonSchema({})]
    text_limit: Annotated[int, Field(ge=100, le=200_000)] = (
        200_000  # characters of one reply; more is cut in parts
    )
    idempotent: bool = False  # the service knows a repeat by {id}, so that a repeat needs no mark

    @field_validator("url")
    @classmethod
    def _fixed_host(cls, url: str | None) -> str | None:
        if url is None:
            return None
        template = TextTemplate.parse(str(url))
        first = template.parts[0] if template.parts else ""
        # What a stranger's message fills in must not choose who is called.
        if not isinstance(first, str) or not urlsplit(first).path.startswith("/"):
            raise ValueError(
                "expected a URL such as https://example.com/api/{conversation}, its host written out"
            )
        return str(url)

    @model_validator(mode="after")
    def _flat(self) -> ReplyConfig:
        if self.content_type == "form" and not (
            isinstance(self.body, dict)
            and not any(isinstance(value, dict | tuple) for value in self.body.values())
        ):
            raise ValueError("body: a form has names with texts or numbers, and nothing below them")
        return self

    @property
    def sample_url(self) -> str | None:
        """The URL with a word in the place of each name, to be looked at."""
        if self.url is None:
            return None
        return TextTemplate.parse(self.url).in_url(dict.fromkeys(NAMES, "x"))
