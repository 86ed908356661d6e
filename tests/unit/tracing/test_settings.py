"""Where spans go: the configuration first, the standard variables behind it."""

from __future__ import annotations

import pytest

from clawd.config.base import Secret
from clawd.config.otel import OtelConfig
from clawd.config.schema import NetworkConfig
from clawd.tracing.settings import Settings, read_settings

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def read(config: OtelConfig | None = None, **environ: str) -> tuple[Settings | None, str]:
    return read_settings(config, environ, NetworkConfig(), instance="abcd")


def settings(config: OtelConfig | None = None, **environ: str) -> Settings:
    found, hindrance = read(config, **environ)
    assert found is not None, hindrance
    assert hindrance == ""
    return found


def test_nothing_is_sent_where_nobody_asked_for_it() -> None:
    assert read() == (None, "")
    assert read(OTEL_SERVICE_NAME="x", OTEL_EXPORTER_OTLP_HEADERS="a=b") == (None, "")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://c.example", "https://c.example/v1/traces"),
        ("https://c.example/", "https://c.example/v1/traces"),
        ("https://c.example/otlp/", "https://c.example/otlp/v1/traces"),
        ("https://c.example/v1/traces", "https://c.example/v1/traces"),
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
    ],
)
def test_the_path_is_appended_where_it_is_missing(endpoint: str, url: str) -> None:
    assert settings(OtelConfig(endpoint=endpoint)).url == url
    assert settings(None, **{ENDPOINT: endpoint}).url == url


def test_the_endpoint_of_traces_alone_is_taken_as_it_is() -> None:
    assert (
        settings(None, **{TRACES: "https://c.example/in", ENDPOINT: "https://other"}).url
        == "https://c.example/in"
    )


def test_what_the_configuration_says_wins_over_the_environment() -> None:
    config = OtelConfig(
        endpoint="https://config.example", service_name="mine", headers={"X-Key": Secret("from-config")}
    )
    found = settings(
        config,
        **{TRACES: "https://environment.example/v1/traces"},
        OTEL_SERVICE_NAME="theirs",
        OTEL_EXPORTER_OTLP_HEADERS="x-key=from-environment,x-other=a%20b,broken, =c,bad header=d",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=home,service.name=third,service.version=9,service.instance.id=z",
    )
    assert found.url == "https://config.example/v1/traces"
    assert found.headers == {"x-key": "from-config", "x-other": "a b"}
    assert found.resource["service.name"] == "mine"
    assert found.resource["service.version"] != "9"
    assert found.resource["service.instance.id"] == "abcd"
    assert found.resource["deployment.environment.name"] == "home"
    assert "from-config" not in repr(found)


def test_a_service_has_the_name_that_is_said_first() -> None:
    on = {ENDPOINT: "https://c.example"}
    assert settings(None, **on).resource["service.name"] == "clawd"
    assert settings(None, **on, OTEL_RESOURCE_ATTRIBUTES="service.name=a").resource["service.name"] == "a"
    both = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}
    assert settings(None, **on, **both).resource["service.name"] == "b"


def test_the_switch_of_the_standard_turns_all_of_it_off_and_says_so_where_a_configuration_wants_it() -> None:
    assert read(None, **{ENDPOINT: "https://c.example"}, OTEL_SDK_DISABLED="true") == (None, "")
    found, hindrance = read(OtelConfig(endpoint="https://c.example"), OTEL_SDK_DISABLED=" TRUE ")
    assert found is None
    assert "OTEL_SDK_DISABLED" in hindrance
    assert settings(None, **{ENDPOINT: "https://c.example"}, OTEL_SDK_DISABLED="no").url


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "http/json"),
        ({ENDPOINT: "http://collector:4318"}, "allow_http"),
        ({ENDPOINT: "https://user:word@c.example"}, "password"),
        ({ENDPOINT: "c.example:4318"}, "expected a URL"),
    ],
)
def test_what_the_environment_wants_and_can_not_be_done_is_said_and_harms_nothing(
    environ: dict[str, str], word: str
) -> None:
    found, hindrance = read(None, **{ENDPOINT: "https://c.example", **environ})
    assert found is None
    assert word in hindrance
    assert "user:word" not in hindrance


def test_an_environment_that_wants_no_traces_gets_none() -> None:
    assert read(None, **{ENDPOINT: "https://c.example"}, OTEL_TRACES_EXPORTER="none") == (None, "")


def test_the_environment_may_use_plain_http_once_the_configuration_lets_it() -> None:
    found = settings(OtelConfig(allow_http=True), **{ENDPOINT: "http://collector:4318"})
    assert found.url == "http://collector:4318/v1/traces"


def test_a_section_without_any_endpoint_is_told() -> None:
    assert "no endpoint" in read(OtelConfig())[1]


def test_the_certificate_of_the_collector_is_its_own() -> None:
    on = {ENDPOINT: "https://c.example"}
    assert settings(None, **on).network.ca_file is None
    assert settings(None, **on, OTEL_EXPORTER_OTLP_CERTIFICATE="/a.pem").network.ca_file == "/a.pem"
    own = settings(OtelConfig(ca_file="/b.pem"), **on, OTEL_EXPORTER_OTLP_CERTIFICATE="/a.pem")
    assert own.network.ca_file == "/b.pem"
