"""Which addresses of files are asked: the platform's own, and none of them in plain text."""

from __future__ import annotations

import pytest

from bridges.weixin.api import IlinkApi
from bridges.weixin.cdn import Cdn
from bridges.weixin.config import WeixinConfig
from clawd.config.schema import NetworkConfig
from clawd.media import NoArtifacts

HOSTS = ("proxy.example:81",)


def cdn(**fields: object) -> Cdn:
    config = WeixinConfig.model_validate({"type": "weixin", "hosts": HOSTS, **fields})
    return Cdn("weixin", IlinkApi(config, NetworkConfig(), version="0"), config, NoArtifacts())


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://novac2c.cdn.weixin.qq.com/c2c/download?a=b", True),
        ("https://other.weixin.qq.com/x?a=b", True),
        ("https://proxy.example:81/x", True),
        ("http://novac2c.cdn.weixin.qq.com/c2c/download?a=b", False),
        ("http://proxy.example:81/x", False),
        ("ftp://novac2c.cdn.weixin.qq.com/x", False),
        ("//novac2c.cdn.weixin.qq.com/x", False),
        ("https://evil.example/x", False),
    ],
)
def test_a_file_is_asked_for_at_the_platform_and_with_tls(url: str, trusted: bool) -> None:
    assert cdn()._trusted(url) is trusted


def test_a_cdn_of_ones_own_without_tls_is_asked_as_it_is_configured() -> None:
    ours = cdn(cdn_base="http://127.0.0.1:9/c2c")
    assert ours._trusted("http://127.0.0.1:9/c2c/download?x=1")
    assert not ours._trusted("ftp://127.0.0.1:9/c2c")
