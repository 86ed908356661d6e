"""Imports the HTTP library without the certificate authorities that it reads at import; see `import_http`.

It makes two TLS contexts then and fills both from the system's file of some 150 authorities: 60 ms of CPU and
3 MB of memory, before anything is known of what will be connected to. A daemon whose models and platforms are
on this host never needs them.
"""

from __future__ import annotations

import mimetypes
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final


class _LateContext(ssl.SSLContext):
    """A context without authorities yet: it reads them and turns into a usual one as soon as it is used."""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        _fill(self)
        return self.wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        _fill(self)
        return self.wrap_socket(*args, **options)

    def get_ca_certs(self, *args: Any, **options: Any) -> Any:
        _fill(self)
        return self.get_ca_certs(*args, **options)

    def cert_store_stats(self) -> dict[str, int]:
        _fill(self)
        return self.cert_store_stats()


_PURE_LISTS: Final = "FROZENLIST_NO_EXTENSIONS"  # source: frozenlist/__init__.py


def import_http() -> None:
    """Import aiohttp; what it would read of authorities is read at the first use. Not for several threads.

    Its lists of handlers are taken in their Python form: the compiled one alone brings the C++ runtime in, 1.1 MB,
    for lists of some ten entries. The system's table of media types, for files that a server serves from a folder,
    is not read, 0.4 MB; whoever asks for a type later reads it then.
    """
    said = os.environ.get(_PURE_LISTS)
    os.environ[_PURE_LISTS] = "1"
    try:
        with _put_off(), _without_media_types():
            import aiohttp.web  # noqa: F401 - this import is what the module is for
    finally:
        if said is None:
            del os.environ[_PURE_LISTS]
        else:
            os.environ[_PURE_LISTS] = said


@contextmanager
def _without_media_types() -> Iterator[None]:
    """Let a table that is made inside the block hold what Python itself knows of, as if the rest were read."""
    before, mimetypes.inited = mimetypes.inited, True
    try:
        yield
    finally:
        mimetypes.inited = before


@contextmanager
def _put_off() -> Iterator[None]:
    """Let contexts of clients that are made inside the block read the system's authorities later."""
    made: list[ssl.SSLContext] = []
    usual = ssl.SSLContext.set_default_verify_paths

    def note(context: ssl.SSLContext) -> None:
        made.append(context)

    ssl.SSLContext.set_default_verify_paths = note  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ssl.SSLContext.set_default_verify_paths = usual  # type: ignore[method-assign]
        for context in made:
            context.__class__ = _LateContext


def _fill(context: ssl.SSLContext) -> None:
    context.__class__ = ssl.SSLContext
    context.set_default_verify_paths()
