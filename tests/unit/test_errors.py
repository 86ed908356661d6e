from __future__ import annotations

from clawd.errors import (
    ClawdError,
    ConfigError,
    ConfigProblem,
    ModelAuthError,
    ModelRateLimited,
    ModelsExhausted,
    four_lines,
)


def test_what_others_wrote_into_an_error_cannot_steer_a_terminal() -> None:
    error = ClawdError("refused", why="HTTP 401: \x1b]0;title\x07\x9b2J\u202ebad", remedy="wait")
    assert four_lines(error) == (
        "error[E-CLAWD]: refused\nwhy: HTTP 401: \\x1b]0;title\\x07\\x9b2J\\u202ebad\ntry: wait"
    )


def test_each_part_of_an_error_stays_one_line() -> None:
    error = ClawdError("a\nwhy: forged", where="file\r\nname", why="it's 坏了\u3000哦 😀")
    assert four_lines(error) == "error[E-CLAWD]: a why: forged\nwhere: file  name\nwhy: it's 坏了 哦 😀"


def test_a_command_in_one_line_stands_behind_a_verb() -> None:
    assert (
        str(ClawdError("refused", why="HTTP 401", remedy="clawd doctor"))
        == "refused (HTTP 401; try: clawd doctor)"
    )
    assert str(ClawdError("refused", remedy="wait")) == "refused (wait)"


def test_half_a_character_can_be_shown() -> None:
    assert four_lines(ClawdError("a\ud800b")) == "error[E-CLAWD]: a\\ud800b"


def test_models_that_fail_alike_give_their_common_exit_code() -> None:
    busy, refused = ModelRateLimited("a"), ModelAuthError("b", "no")
    assert ModelsExhausted("default", [busy, busy]).exit_code == 75
    assert ModelsExhausted("default", [refused]).exit_code == 4
    assert ModelsExhausted("default", [busy, refused]).exit_code == 69
    assert ModelsExhausted("default", []).exit_code == 69


def test_a_configurations_error_says_every_mistake() -> None:
    first = ConfigProblem(path="a.yaml", key="agent.x", message="unknown key 'x'", line=2, column=3)
    second = ConfigProblem(path="b.yaml", key="", message="can't be read", remedy="chmod 600 b.yaml")
    assert str(ConfigError([first])) == "a.yaml:2:3: agent.x: unknown key 'x'"
    assert str(ConfigError([first, second])).splitlines() == [
        "the configuration has 2 problems:",
        "a.yaml:2:3: agent.x: unknown key 'x'",
        "b.yaml: can't be read; chmod 600 b.yaml",
    ]
