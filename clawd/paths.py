"""Where configuration, state and control socket are. Standard library only: every command imports this.

The environment is handed in; an empty variable counts as unset, and so does a relative XDG directory.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from clawd.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG_NAME = "config.yaml"
SOCKET_NAME = "clawd.sock"
SYSTEM_CONFIG = Path("/etc/clawd") / CONFIG_NAME
SYSTEM_SOCKET = Path("/run/clawd") / SOCKET_NAME
MAX_SOCKET_BYTES = 107  # Linux, unix(7): sun_path has 108 bytes, the last one is NUL

# The common ways to write it; anything else is left to the YAML parser.
_STATE_DIR_LINE = re.compile(
    r"""^state_dir:[ ]+(?:"([^"\\$]*)"|'([^'$]*)'|([^\s"'#&*!|>{\[$][^#$]*?))[ ]*(?:[ ]#.*)?$""", re.M
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def config_path(explicit: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file in force, None when there is none (the defaults then hold).

    Args:
        explicit: The value of `--config`.
        environ: The environment; $CLAWD_CONFIG names a file as firmly as `--config` does.

    Raises:
        ConfigError: the file that was named does not exist. The places of `config_candidates` may be empty.
    """
    named = explicit or environ.get("CLAWD_CONFIG")
    if named:
        path = _absolute(named, environ)
        if not path.exists():
            source = "--config" if explicit else "$CLAWD_CONFIG"
            problem = ConfigProblem(
                path=str(path),
                key="",
                message=f"no such file (named by {source})",
                remedy=f"clawd --config {path} init",
            )
            raise ConfigError([problem])
        return path
    return next((path for path in config_candidates(environ) if path.exists()), None)


def config_candidates(environ: Mapping[str, str]) -> list[Path]:
    """Return where a configuration file is looked for when none is named; the first that exists is used.

    $CLAWD_HOME stands alone: a clawd that lives in one folder must not pick up another one's tokens.
    """
    if home := environ.get("CLAWD_HOME"):
        return [_absolute(home, environ) / CONFIG_NAME]
    return [_xdg("XDG_CONFIG_HOME", ".config", environ) / "clawd" / CONFIG_NAME, SYSTEM_CONFIG]


def state_dir(configured: str | None, environ: Mapping[str, str]) -> Path:
    """Return the directory of database, lock and log; it need not exist.

    Args:
        configured: `state_dir` of the loaded configuration, which is absolute already.
        environ: $CLAWD_HOME, $STATE_DIRECTORY (systemd; of a colon list the first), $XDG_STATE_HOME.
    """
    if configured:
        return _absolute(configured, environ)
    if home := environ.get("CLAWD_HOME"):
        return _absolute(home, environ) / "state"
    if given := _first(environ.get("STATE_DIRECTORY")):
        return given
    return _xdg("XDG_STATE_HOME", ".local/state", environ) / "clawd"


def socket_path(configured_state_dir: str | None, environ: Mapping[str, str]) -> Path:
    """Return where the daemon opens its control socket.

    In the state directory when that was chosen ($CLAWD_HOME or `state_dir`), else in $RUNTIME_DIRECTORY (systemd:
    /run/clawd), else in $XDG_RUNTIME_DIR/clawd, else in the state directory.

    Raises:
        ConfigError: the path is longer than a Unix socket's may be.
    """
    path = _socket_place(configured_state_dir, environ) / SOCKET_NAME
    size = len(str(path).encode())
    if size > MAX_SOCKET_BYTES:
        problem = ConfigProblem(
            path=str(path),
            key="state_dir",
            message=f"the control socket's path has {size} bytes, a Unix socket allows {MAX_SOCKET_BYTES}",
            remedy="choose a shorter state_dir or CLAWD_HOME",
        )
        raise ConfigError([problem])
    return path


def socket_candidates(explicit: str | None, config: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Return where a client looks for the daemon, best first; none of them need exist.

    A socket, state directory or home that was named is the only candidate: `clawd --config test.yaml stop` must not
    stop another daemon. Otherwise the user's come first, then the system's.

    Args:
        explicit: The value of `--socket`.
        config: The value of `--config`.
        environ: $CLAWD_SOCKET, and what the functions above read.

    Raises:
        ConfigError: the configuration file that was named does not exist, or can't be read as far as `state_dir`.
    """
    named = explicit or environ.get("CLAWD_SOCKET")
    if named:
        return [_absolute(named, environ)]
    configured = meant_state_dir(config, environ)
    if configured and (config or environ.get("CLAWD_CONFIG")):
        return [Path(configured) / SOCKET_NAME]
    if environ.get("CLAWD_HOME"):
        return [state_dir(configured, environ) / SOCKET_NAME]
    found = [Path(configured) / SOCKET_NAME] if configured else []
    found += [directory / SOCKET_NAME for directory in _runtime_dirs(environ)]
    found += [state_dir(None, environ) / SOCKET_NAME, SYSTEM_SOCKET]
    return list(dict.fromkeys(found))


def meant_state_dir(config: str | None, environ: Mapping[str, str]) -> str | None:
    """Return `state_dir` of the configuration in force as an absolute path, None when unset.

    Without it the default's daemon would be meant, so a file that was named must say whether it has one. A file that
    was not named only adds a place, as long as it can be read.

    Args:
        config: The value of `--config`.
        environ: What `config_path` reads.

    Raises:
        ConfigError: the file that was named, or is in $CLAWD_HOME, does not exist or can't be read so far.
    """
    path = config_path(config, environ)
    if path is None:
        return None
    if config or environ.get("CLAWD_CONFIG"):
        return _state_dir_in(path, environ, whole=True)
    if environ.get("CLAWD_HOME"):
        return _state_dir_in(path, environ)  # if it names none, the home's own is meant and no other
    return configured_state_dir(path, environ)


def configured_state_dir(path: Path, environ: Mapping[str, str]) -> str | None:
    """Return `state_dir` of a configuration file as an absolute path, None when unset or not readable.

    It is read without loading the configuration, since most commands need nothing else of it; what is wrong with the
    file is the loader's to tell.
    """
    try:
        return _state_dir_in(path, environ)
    except ConfigError:
        return None


def own_call(config: str | None, program: Path, environ: Mapping[str, str]) -> str:
    """Return how a person here calls this very clawd, such as `clawd` or `.venv/bin/clawd --config test.yaml`.

    Args:
        config: The configuration file in force; one that the commands find by themselves is left out.
        program: Where this installation has its command. It is named when $PATH leads elsewhere or nowhere.
        environ: $PATH, and what `config_path` reads.
    """
    found = shutil.which("clawd", path=environ.get("PATH", ""))
    words = ["clawd"]
    if program.exists() and not (found and program.samefile(found)):
        here = Path.cwd()
        near = here != Path("/") and program.is_relative_to(here)
        words = [str(program.relative_to(here) if near else program)]
    named = environ.get("CLAWD_CONFIG")
    known = [_absolute(named, environ)] if named else config_candidates(environ)
    if config and _absolute(config, environ) not in known:
        words += ["--config", config]
    return shlex.join(words)


def resolve_in(value: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """Return a path written in a configuration file: `~` is the home, a relative one is within `folder`."""
    path = Path(value)
    if path.parts and path.parts[0] == "~":
        path = home_dir(environ).joinpath(*path.parts[1:])
    return folder.absolute() / path


def home_dir(environ: Mapping[str, str]) -> Path:
    """Return the user's home: $HOME, else what the password database says."""
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _state_dir_in(path: Path, environ: Mapping[str, str], *, whole: bool = False) -> str | None:
    """Return what a file says; with `whole` its silence counts only when it can be read to its end."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    found = _STATE_DIR_LINE.search(text)
    value = (found[1] or found[2] or found[3]) if found else None
    if value and "/" in value:  # without one it may be `null`, or another of YAML's words
        return str(resolve_in(value, path.parent, environ))
    if "state_dir" in text or "include" in text or whole:
        return _state_dir_by_yaml(path, environ, frozenset())
    return None


def _state_dir_by_yaml(path: Path, environ: Mapping[str, str], seen: frozenset[Path]) -> str | None:
    import yaml  # only for the unusual: includes, flow style, variables, a named file without it

    if path in seen:
        return None
    try:
        data = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from error
    if data is None:
        return None
    if not isinstance(data, dict):
        raise _unknown(path, "it holds no settings")
    value = data.get("state_dir")
    if isinstance(value, str) and value:
        return str(resolve_in(_filled_in(value, path, environ), path.parent, environ))
    if value is not None:
        raise _unknown(path, "its state_dir is no path")
    includes = data.get("include") or []
    broken: ConfigError | None = None
    for name in [includes] if isinstance(includes, str) else includes:
        if isinstance(name, str):
            try:
                found = _state_dir_by_yaml(resolve_in(name, path.parent, environ), environ, seen | {path})
            except ConfigError as error:
                broken = broken or error
                continue
            if found:
                return found
    if broken is not None:
        raise broken
    return None


def _filled_in(value: str, path: Path, environ: Mapping[str, str]) -> str:
    missing = [name for name in _VARIABLE.findall(value) if not environ.get(name)]
    if missing:
        raise _unknown(path, f"its state_dir needs ${missing[0]}, which is not set here")
    return _VARIABLE.sub(lambda m: environ[m[1]], value)


def _unreadable(path: Path, error: Exception) -> ConfigError:
    mark = getattr(error, "problem_mark", None)  # of YAML
    if mark is not None:
        return _unknown(path, str(getattr(error, "problem", "") or "no YAML"), mark.line + 1, mark.column + 1)
    reason = error.strerror if isinstance(error, OSError) else ""
    return _unknown(path, reason or str(error).partition("\n")[0] or type(error).__name__)


def _unknown(path: Path, why: str, line: int = 0, column: int = 0) -> ConfigError:
    problem = ConfigProblem(
        path=str(path),
        key="",
        line=line,
        column=column,
        message=f"can't tell which daemon is meant: {why}",
        remedy=f"clawd --config {path} config check",
    )
    return ConfigError([problem])


def _socket_place(configured: str | None, environ: Mapping[str, str]) -> Path:
    if not configured and not environ.get("CLAWD_HOME"):
        for directory in _runtime_dirs(environ):
            # XDG_RUNTIME_DIR often names a directory that does not exist: su, cron, containers.
            if directory.parent.is_dir():
                return directory
    return state_dir(configured, environ)


def _runtime_dirs(environ: Mapping[str, str]) -> Iterator[Path]:
    if given := _first(environ.get("RUNTIME_DIRECTORY")):
        yield given
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield Path(runtime) / "clawd"


def _first(colon_list: str | None) -> Path | None:
    return next((Path(part) for part in (colon_list or "").split(":") if part.startswith("/")), None)


def _xdg(variable: str, default: str, environ: Mapping[str, str]) -> Path:
    value = environ.get(variable, "")
    return Path(value) if value.startswith("/") else home_dir(environ) / default


def _absolute(value: str, environ: Mapping[str, str]) -> Path:
    return resolve_in(value, Path.cwd(), environ)
