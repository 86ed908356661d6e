"""Which callback addresses are let through."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from clawd.webhooks.addresses import check_callback_url, is_public
from clawd.webhooks.resolver import PublicOnly


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.1",
        "0.0.0.0",  # noqa: S104 - looked at, never bound
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",  # 10.0.0.1 behind NAT64
        "2002:a00:1::",  # 10.0.0.1 by 6to4
    ],
)
def test_every_way_to_write_a_private_address_is_seen_through(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook?key=1",
        "http://127.0.0.1:8000/cb",
        "http://localhost:8000/cb",
        "http://[::1]:8000/cb",
        "https://8.8.8.8/",
    ],
)
def test_public_https_and_written_down_loopback_need_no_permission(url: str) -> None:
    assert check_callback_url(url, allow_http=False, allow_private=False) == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("example.com/hook", "https://example.com/hook"),
        ("ftp://example.com/", "expected a URL"),
        ("https:///hook", "expected a URL"),
        ("https://me:pass@example.com/", "password"),
        ("http://example.com/", "allow_http"),
        ("https://10.0.0.1/", "allow_private"),
        ("https://169.254.169.254/latest", "allow_private"),
        ("https://[fe80::1]/", "allow_private"),
        ("https://[::ffff:10.0.0.1]/", "allow_private"),
    ],
)
def test_other_urls_are_refused_with_what_to_set(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_callback_url(url, allow_http=False, allow_private=False)


def test_permissions_let_http_and_private_addresses_pass() -> None:
    assert check_callback_url("http://10.0.0.1/cb", allow_http=True, allow_private=True)


class _Fixed(AbstractResolver):
    """Answers every name with these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=a, port=port, family=family, proto=0, flags=0)
            for a in self._addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    assert await PublicOnly(_Fixed("8.8.8.8")).resolve("example.com", 443)
    with pytest.raises(OSError, match=r"example.com is at 10.0.0.1.*allow_private"):
        await PublicOnly(_Fixed("8.8.8.8", "10.0.0.1")).resolve("example.com", 443)
