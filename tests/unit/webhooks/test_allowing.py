"""Which URLs a stranger may let be called, in all the ways to write one."""

from __future__ import annotations

import pytest

from clawd.webhooks.allowing import Destinations


def destinations(*allow: str, http: bool = False, private: tuple[str, ...] = ()) -> Destinations:
    return Destinations(allow, allow_http=http, allow_private=private)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("https://hooks.example.com/", "https://hooks.example.com/a?key=1"),
        ("https://hooks.example.com", "https://hooks.example.com"),
        ("https://hooks.example.com/", "https://HOOKS.example.com:443/a"),
        ("https://hooks.example.com/in", "https://hooks.example.com/in"),
        ("https://hooks.example.com/in", "https://hooks.example.com/in/1"),
        ("https://hooks.example.com/in", "https://hooks.example.com/in?x=/../"),
        ("https://hooks.example.com:8443/", "https://hooks.example.com:8443/"),
        ("hooks.example.com", "https://hooks.example.com:8443/any"),
        ("*.example.com", "https://a.b.example.com/"),
        ("*", "https://anything.example/"),
        ("8.8.8.8", "https://8.8.8.8/"),
        ("[2606:4700::1111]", "https://[2606:4700::1111]/"),
    ],
)
def test_what_an_entry_names_may_be_called(entry: str, url: str) -> None:
    assert destinations(entry).check(url).startswith("https://")


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("https://hooks.example.com/", "https://hooks.example.com.evil.example/"),
        ("https://hooks.example.com", "https://hooks.example.community/"),
        ("https://hooks.example.com/", "https://hooks.example.com:8443/"),
        ("https://hooks.example.com/in", "https://hooks.example.com/inside"),
        ("https://hooks.example.com/in/", "https://hooks.example.com/out"),
        ("hooks.example.com", "https://example.com/"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://evilexample.com/"),
        ("hooks.example.com", "https://hooks.example.com./"),
    ],
)
def test_what_no_entry_names_may_not(entry: str, url: str) -> None:
    with pytest.raises(ValueError, match="not on the list"):
        destinations(entry).check(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hooks.example.com/", "http://"),
        ("ftp://hooks.example.com/", "expected a URL"),
        ("hooks.example.com", "expected a URL"),
        ("https:///x", "expected a URL"),
        ("https://hooks.example.com@evil.example/", "password"),
        ("https://a:b@hooks.example.com/", "password"),
        ("https://hooks.example.com/#x", "fragment"),
        ("https://hooks.example.com\\@evil.example/", "ASCII"),
        ("https://hooks.example.com/ä", "ASCII"),
        ("https://hooks.example.com/a b", "ASCII"),
        ("https://hooks.example.com/\r\nX: 1", "ASCII"),
        ("https://ⅼocalhost/", "ASCII"),
        ("https://hooks.example.com/in/../admin", r"\.\."),
        ("https://hooks.example.com/in/%2e%2e/admin", r"\.\."),
        ("https://hooks.example.com/in/%252e%252e/admin", r"\.\."),
        ("https://hooks.example.com/in/..%2fadmin", r"\.\."),
        ("https://hooks.example.com/in/..%5cadmin", r"\.\."),
        ("https://hooks.example.com/" + "a" * 2048, "2048"),
    ],
)
def test_a_url_that_readers_may_read_differently_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        destinations("*", "https://hooks.example.com/in").check(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104 - looked at, never bound
        "localhost",
        "a.localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
    ],
)
def test_no_way_to_write_a_private_address_gets_past_a_list_that_allows_all(host: str) -> None:
    with pytest.raises(ValueError, match=r"public|usually written"):
        destinations("*").check(f"https://{host}/")


@pytest.mark.parametrize(
    ("private", "url"),
    [
        ("127.0.0.1", "https://127.0.0.1:8443/"),
        ("10.0.0.0/8", "https://10.1.2.3/"),
        ("localhost", "https://localhost/"),
        ("fc00::/7", "https://[fc00::1]/"),
        ("*.lan", "https://box.lan/"),
    ],
)
def test_a_private_place_that_is_meant_may_be_called(private: str, url: str) -> None:
    allowed = destinations("*", private=(private,))
    assert allowed.check(url)


def test_where_a_name_leads_is_looked_at_again() -> None:
    allowed = destinations("*", private=("box.lan", "10.0.0.0/8"))
    assert allowed.may_reach("example.com", "8.8.8.8")
    assert allowed.may_reach("example.com", "10.0.0.1")
    assert allowed.may_reach("box.lan", "192.168.1.1")
    assert not allowed.may_reach("example.com", "192.168.1.1")
    assert not allowed.may_reach("example.com", "fe80::1%eth0")


@pytest.mark.parametrize(
    "entry", ["", "a b", "hooks.example.com/in", "user@host", "ftp://a/", "https://a/?q=1", "https://a/../"]
)
def test_an_entry_that_names_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        destinations(entry)
