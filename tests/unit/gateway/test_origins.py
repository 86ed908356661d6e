"""Names of ours and IP addresses pass, a web page's own name does not."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from clawd.gateway.origins import Origins
from clawd.gateway.problems import RequestRefused

ORIGINS = Origins("0.0.0.0", ["Clawd.Example.com"])  # noqa: S104 - never bound


def check(*headers: tuple[str, str]) -> None:
    ORIGINS.check(CIMultiDict(headers))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:7373",
        "app.localhost:1",
        "127.0.0.1:7373",
        "[::1]:7373",
        "10.1.2.3",
        "clawd.example.com",
        "clawd.example.com.:443",
    ],
)
def test_our_names_and_ip_addresses_pass(host: str) -> None:
    check(("Host", host))


@pytest.mark.parametrize(
    "host",
    ["evil.test", "evil.test:7373", "localhost.evil.test", "x@localhost", "localhost:x", "", "a b", "[::1"],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        check(("Host", host))
    assert caught.value.status == 403


@pytest.mark.parametrize("headers", [(), (("Host", "localhost"), ("Host", "localhost"))])
def test_a_request_without_exactly_one_host_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(RequestRefused) as caught:
        check(*headers)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:7373",
        "https://localhost:7373",
        "https://clawd.example.com",
        "https://clawd.example.com:8443",
    ],
)
def test_our_own_pages_pass(origin: str) -> None:
    check(("Host", "localhost:7373"), ("Origin", origin))


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.test",
        "http://localhost:3000",
        "http://127.0.0.1:7373",
        "file://",
        "ftp://clawd.example.com",
        "https://clawd.example.com/path",
    ],
)
def test_pages_of_another_origin_are_refused(origin: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        check(("Host", "localhost:7373"), ("Origin", origin))
    assert caught.value.status == 403
