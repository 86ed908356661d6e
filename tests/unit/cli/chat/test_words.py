"""The prompt: words, then what came by the pipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clawd.cli.chat.words import MAX_BYTES, InputError, compose, read_pipe


@pytest.mark.parametrize(
    ("words", "message", "piped", "prompt"),
    [
        (("hi",), None, "", "hi"),
        (("hi", "there"), None, "", "hi there"),
        ((), "review", "diff\n", "review\n\ndiff"),
        ((), None, "  indented\n", "  indented"),
        ((), None, "\n\n", ""),
        ((), "  ", "", ""),
    ],
)
def test_words_come_first_and_the_pipe_follows(
    words: tuple[str, ...], message: str | None, piped: str, prompt: str
) -> None:
    assert compose(words, message, piped) == prompt


def test_a_message_given_twice_is_refused() -> None:
    with pytest.raises(InputError):
        compose(("a",), "b", "")


def pipe(data: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def test_a_pipe_is_read_to_its_end() -> None:
    with os.fdopen(pipe("größe\n".encode()), "rb") as source:
        assert read_pipe(source, pytest.fail) == "größe\n"


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    with os.fdopen(pipe(b"ok\xff"), "rb") as source, pytest.raises(InputError, match="no text") as caught:
        read_pipe(source, pytest.fail)
    assert "byte 2" in caught.value.why
    assert caught.value.exit_code == 2


def test_an_endless_pipe_is_refused_instead_of_read_for_ever() -> None:
    with Path("/dev/zero").open("rb") as source, pytest.raises(InputError, match="too long") as caught:
        read_pipe(source, pytest.fail)
    assert f"{MAX_BYTES:,}" in caught.value.why


def test_no_standard_input_is_no_error() -> None:
    assert read_pipe(None, pytest.fail) == ""
    with Path("/dev/null").open("rb") as source:
        assert read_pipe(source, pytest.fail) == ""
