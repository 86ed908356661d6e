"""Where things are, for the daemon and for its clients: both must come to the same place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd import paths
from clawd.errors import ConfigError

SOCK = "clawd.sock"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def write(path: Path, text: str = "{}\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- configuration -------------------------------------------------------------------------------


def test_named_file_wins_over_every_other(tmp_path: Path, environ: dict[str, str]) -> None:
    named, variable = write(tmp_path / "a.yaml"), write(tmp_path / "b.yaml")
    write(tmp_path / "home/.config/clawd/config.yaml")
    environ["CLAWD_CONFIG"] = str(variable)
    assert paths.config_path(str(named), environ) == named
    assert paths.config_path(None, environ) == variable


def test_home_of_clawd_stands_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path / "home/.config/clawd/config.yaml")
    environ["CLAWD_HOME"] = str(tmp_path / "clawd")
    assert paths.config_path(None, environ) is None
    own = write(tmp_path / "clawd/config.yaml")
    assert paths.config_path(None, environ) == own


def test_user_file_is_found_by_home_and_by_xdg(tmp_path: Path, environ: dict[str, str]) -> None:
    by_home = write(tmp_path / "home/.config/clawd/config.yaml")
    assert paths.config_path(None, environ) == by_home
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    by_xdg = write(tmp_path / "xdg/clawd/config.yaml")
    assert paths.config_path(None, environ) == by_xdg
    environ["XDG_CONFIG_HOME"] = "relative/is/ignored"
    assert paths.config_path(None, environ) == by_home


@pytest.mark.parametrize("variable", [None, "CLAWD_CONFIG"])
def test_named_file_that_is_missing_is_an_error_and_not_the_next_one(
    tmp_path: Path, environ: dict[str, str], variable: str | None
) -> None:
    write(tmp_path / "home/.config/clawd/config.yaml")
    missing = str(tmp_path / "nope.yaml")
    if variable:
        environ[variable] = missing
    with pytest.raises(ConfigError) as raised:
        paths.config_path(None if variable else missing, environ)
    assert raised.value.where == missing
    assert ("$CLAWD_CONFIG" if variable else "--config") in raised.value.why


# --- state ---------------------------------------------------------------------------------------


def test_state_dir_follows_configuration_home_systemd_xdg_in_this_order(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    assert paths.state_dir(None, environ) == tmp_path / "home/.local/state/clawd"
    environ["XDG_STATE_HOME"] = "/xdg"
    assert paths.state_dir(None, environ) == Path("/xdg/clawd")
    environ["STATE_DIRECTORY"] = "/var/lib/clawd:/var/lib/second"
    assert paths.state_dir(None, environ) == Path("/var/lib/clawd")
    environ["CLAWD_HOME"] = str(tmp_path / "ch")
    assert paths.state_dir(None, environ) == tmp_path / "ch/state"
    assert paths.state_dir("/configured", environ) == Path("/configured")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state_dir: /abs/path\n", "/abs/path"),
        ("a: 1\nstate_dir:   rel/path   # why\nb: 2\n", "CONF/rel/path"),
        ('state_dir: "with space"\n', "CONF/with space"),
        ("state_dir: 'x'\r\n", "CONF/x"),
        ("state_dir: ~/mine\n", "HOME/mine"),
        ("state_dir: a#b\n", "CONF/a#b"),
        ("{state_dir: /flow}\n", "/flow"),
        ("state_dir: ${BASE}/x\n", "/base/x"),
        ("include: [one.yaml, two.yaml]\n", "CONF/deep/here"),
        ("include: loop.yaml\n", None),
        ("state_dir: null\n", None),
        ("state_dir: ~\n", None),
        ("state_dir:\n", None),
        ("# state_dir: /commented\n", None),
        ("agent: {state_dir: /nested}\n", None),
        ("state_dir: [broken\n", None),
        ("- state_dir\n", None),
        ("", None),
    ],
)
def test_state_dir_of_a_file_is_read_without_loading_it(
    tmp_path: Path, environ: dict[str, str], text: str, expected: str | None
) -> None:
    conf = tmp_path / "conf"
    environ["BASE"] = "/base"
    write(conf / "one.yaml", "agent: {}\n")
    write(conf / "two.yaml", "include: deep/three.yaml\n")
    write(conf / "deep/three.yaml", "state_dir: here\n")
    write(conf / "loop.yaml", "include: loop.yaml\n")
    path = write(conf / "config.yaml", text)
    wanted = expected and expected.replace("CONF", str(conf)).replace("HOME", environ["HOME"])
    assert paths.configured_state_dir(path, environ) == wanted


# --- socket --------------------------------------------------------------------------------------


def test_socket_is_in_a_chosen_state_dir(tmp_path: Path, environ: dict[str, str]) -> None:
    environ |= {"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": "/run/clawd"}
    assert paths.socket_path("/s", environ) == Path("/s") / SOCK
    environ["CLAWD_HOME"] = str(tmp_path / "h")
    assert paths.socket_path(None, environ) == tmp_path / "h/state" / SOCK


def test_socket_of_a_service_is_in_its_runtime_directory(environ: dict[str, str]) -> None:
    environ["RUNTIME_DIRECTORY"] = "/run/clawd:/run/other"
    assert paths.socket_path(None, environ) == Path("/run/clawd") / SOCK


def test_socket_of_a_user_is_in_the_runtime_dir_if_that_exists(
    state_dir: Path, environ: dict[str, str]
) -> None:
    environ |= {"HOME": str(state_dir / "home"), "XDG_RUNTIME_DIR": str(state_dir)}
    assert paths.socket_path(None, environ) == state_dir / "clawd" / SOCK
    environ["XDG_RUNTIME_DIR"] = str(state_dir / "gone")
    assert paths.socket_path(None, environ) == state_dir / "home/.local/state/clawd" / SOCK


def test_socket_path_of_107_bytes_is_the_longest(environ: dict[str, str]) -> None:
    folder = "/x" + "é" * 47
    assert len(f"{folder}/{SOCK}".encode()) == paths.MAX_SOCKET_BYTES
    assert paths.socket_path(folder, environ) == Path(folder) / SOCK
    with pytest.raises(ConfigError, match="108 bytes") as raised:
        paths.socket_path(folder + "x", environ)
    assert "has 108 bytes, a Unix socket allows 107" in raised.value.why


def test_client_looks_only_at_a_named_socket(environ: dict[str, str]) -> None:
    environ |= {"CLAWD_SOCKET": "/by/environ", "CLAWD_HOME": "/h"}
    assert paths.socket_candidates("/named", None, environ) == [Path("/named")]
    assert paths.socket_candidates(None, None, environ) == [Path("/by/environ")]


def test_client_that_names_a_configuration_never_reaches_another_daemon(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    config = write(tmp_path / "test.yaml", "state_dir: mine\n")
    assert paths.socket_candidates(None, str(config), environ) == [tmp_path / "mine" / SOCK]
    environ["CLAWD_HOME"] = str(tmp_path / "h")
    assert paths.socket_candidates(None, None, environ) == [tmp_path / "h/state" / SOCK]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("models: [\n", "expected the node content"),
        ("# state_dir: /elsewhere\nmodels: [\n", "expected the node content"),
        ("state_dir: [broken\n", "expected ',' or ']'"),
        ("state_dir: 5\n", "its state_dir is no path"),
        ("state_dir: ${NOT_SET_HERE}/x\n", "its state_dir needs $NOT_SET_HERE"),
        ("include: gone.yaml\n", "No such file or directory"),
        ("- one\n", "it holds no settings"),
        (None, "Is a directory"),
    ],
)
@pytest.mark.parametrize("named", ["--config", "$CLAWD_CONFIG"])
def test_named_file_that_does_not_tell_its_daemon_means_no_other(
    tmp_path: Path, environ: dict[str, str], text: str | None, why: str, named: str
) -> None:
    path = tmp_path / "bad.yaml"
    if text is None:
        path.mkdir()
    else:
        write(path, text)
    option = str(path) if named == "--config" else None
    if option is None:
        environ["CLAWD_CONFIG"] = str(path)
    with pytest.raises(ConfigError, match="can't tell which daemon is meant") as raised:
        paths.socket_candidates(None, option, environ)
    assert why in raised.value.why
    assert raised.value.exit_code == 78
    assert paths.configured_state_dir(path, environ) is None
    assert paths.socket_candidates("/named", option, environ) == [Path("/named")]


def test_named_file_with_mistakes_behind_its_state_dir_still_tells_its_daemon(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    config = write(tmp_path / "bad.yaml", f"state_dir: {tmp_path}/mine\nmodels: [\n")
    assert paths.socket_candidates(None, str(config), environ) == [tmp_path / "mine" / SOCK]


def test_file_of_a_home_means_another_place_only_when_it_says_so(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    environ["CLAWD_HOME"] = str(tmp_path)
    config = write(tmp_path / "config.yaml", "models: [\n")
    assert paths.socket_candidates(None, None, environ) == [tmp_path / "state" / SOCK]
    config.write_text("models: [\nstate_dir: {\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="can't tell which daemon is meant"):
        paths.socket_candidates(None, None, environ)


def test_broken_file_that_nobody_named_leaves_the_usual_places(environ: dict[str, str]) -> None:
    write(Path(environ["HOME"]) / ".config/clawd/config.yaml", "state_dir: [\n")
    assert Path("/run/clawd") / SOCK in paths.socket_candidates(None, None, environ)


def test_client_without_a_choice_tries_the_user_then_the_system(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    environ["XDG_RUNTIME_DIR"] = "/run/user/1"
    state = tmp_path / "home/.local/state/clawd"
    assert paths.socket_candidates(None, None, environ) == [
        Path("/run/user/1/clawd") / SOCK,
        state / SOCK,
        Path("/run/clawd") / SOCK,
    ]
    write(tmp_path / "home/.config/clawd/config.yaml", "state_dir: /chosen\n")
    assert paths.socket_candidates(None, None, environ)[0] == Path("/chosen") / SOCK


@given(
    configured=st.sampled_from([None, "state"]),
    variables=st.sets(
        st.sampled_from(["CLAWD_HOME", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "XDG_STATE_HOME"])
    ),
    named=st.booleans(),
)
def test_client_always_finds_the_daemon_of_the_same_environment(
    tmp_path_factory: pytest.TempPathFactory, configured: str | None, variables: set[str], named: bool
) -> None:
    base = tmp_path_factory.getbasetemp() / "same"
    environ = {"HOME": str(base / "home"), **{name: str(base / name) for name in variables}}
    for name in variables:
        (base / name).mkdir(parents=True, exist_ok=True)
    place = base / "CLAWD_HOME" if "CLAWD_HOME" in variables and not named else base / "home/.config/clawd"
    config = write(place / "config.yaml", f"state_dir: {configured}\n" if configured else "{}\n")
    option = str(config) if named else None
    daemon = paths.socket_path(paths.configured_state_dir(config, environ), environ)
    assert daemon in paths.socket_candidates(None, option, environ)


# --- how a person calls clawd --------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = write(tmp_path / "here/.venv/bin/clawd")
    path.chmod(0o755)
    return path


def test_program_that_the_shell_finds_is_called_by_its_name(program: Path, environ: dict[str, str]) -> None:
    environ["PATH"] = f"/nonexistent:{program.parent}"
    assert paths.own_call(None, program, environ) == "clawd"


def test_program_that_the_shell_does_not_find_is_called_by_its_path(
    tmp_path: Path, program: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other/clawd")
    other.chmod(0o755)
    environ["PATH"] = str(other.parent)  # another clawd is as bad as none
    assert paths.own_call(None, program, environ) == str(program)
    monkeypatch.chdir(tmp_path / "here")
    assert paths.own_call(None, program, environ) == ".venv/bin/clawd"
    monkeypatch.chdir("/")
    assert paths.own_call(None, program, environ) == str(program)


def test_only_a_configuration_that_commands_do_not_find_is_named(
    tmp_path: Path, program: Path, environ: dict[str, str]
) -> None:
    environ["PATH"] = str(program.parent)
    own = write(tmp_path / "home/.config/clawd/config.yaml")
    assert paths.own_call(str(own), program, environ) == "clawd"
    named = str(write(tmp_path / "a b.yaml"))
    assert paths.own_call(named, program, environ) == f"clawd --config '{named}'"
    environ["CLAWD_CONFIG"] = named
    assert paths.own_call(named, program, environ) == "clawd"
