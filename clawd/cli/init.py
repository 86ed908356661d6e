"""`clawd init`: at most three questions, each tested live, then a first configuration."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clawd import paths
from clawd.cli.invocation import Invocation, invocation
from clawd.cli.lazy import command_app
from clawd.cli.printing import out, paint, say
from clawd.client import GLANCE_S
from clawd.errors import EXIT_AUTH, ClawdError, four_lines
from clawd.ports import holder_of_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.cli.starter import Choices
    from clawd.models.presets import Presets

app = command_app()

TRIES: Final = 3
PORT: Final = 7373  # in the file that is written
_MAX_FILE_BYTES: Final = 64 * 1024


class ConfigExists(ClawdError):
    """There is something that must not be overwritten by accident."""

    code = "E-EXISTS"


@app.command()
def init(
    ctx: typer.Context,
    provider: Annotated[
        str | None,
        typer.Option(
            envvar="CLAWD_INIT_PROVIDER",
            help="auto, openai, anthropic, deepseek, ollama … , local, demo, or the base URL of an own endpoint.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(envvar="CLAWD_INIT_MODEL", help="The model, instead of the provider's usual one."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the API key is; - is standard input. [env: CLAWD_INIT_API_KEY=KEY]"
        ),
    ] = None,
    telegram_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the bot's token is; - is standard input. [env: CLAWD_INIT_TELEGRAM_TOKEN=TOKEN]",
        ),
    ] = None,
    telegram_api: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar="CLAWD_INIT_TELEGRAM_API", help="Your own Bot API server, if you run one."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")] = False,
    test: Annotated[bool, typer.Option(help="Try a key and a token before they are written.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file; it is kept as NAME.old.")
    ] = False,
) -> None:
    """Write a first configuration. Secrets go into files of their own, never into arguments."""
    from clawd.cli.starter import AUTO, Choices, starter_files
    from clawd.models.presets import load_presets

    call = invocation(ctx)
    target = _target(call)
    if target.exists() and not force:
        raise ConfigExists(
            "there is a configuration already",
            where=str(target),
            remedy="clawd config check, or clawd init --force",
        )
    given = Choices(
        provider=provider or AUTO,
        model=model,
        key=_secret(api_key_file, "CLAWD_INIT_API_KEY", call.environ),
        telegram_token=_secret(telegram_token_file, "CLAWD_INIT_TELEGRAM_TOKEN", call.environ),
        telegram_api=telegram_api,
    )
    presets = load_presets()
    asks = not yes and sys.stdin.isatty()
    if asks and provider is None:
        given = replace(given, provider=_ask_provider(presets))
    given = _with_key(given, presets, call, asks=asks, test=test)
    given = _with_telegram(given, presets, call, asks=asks, test=test)
    written = _write(target, starter_files(given, presets))
    _tell(given, written, call)


def _target(call: Invocation) -> Path:
    named = call.config or call.environ.get("CLAWD_CONFIG")
    if named:
        return paths.resolve_in(named, Path.cwd(), call.environ)
    return paths.config_candidates(call.environ)[0]


def _secret(file: Path | None, variable: str, environ: Mapping[str, str]) -> str | None:
    """Return a secret from its file, standard input or variable; None when none is given."""
    if file is None:
        return environ.get(variable, "").strip() or None
    try:
        text = sys.stdin.read(_MAX_FILE_BYTES) if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClawdError("the secret can't be read", where=str(file), why=str(error)) from error
    if not text.strip():
        raise ClawdError("the secret is empty", where=str(file))
    return text.strip()


# --- questions --------------------------------------------------------------------------------------


def _ask_provider(presets: Presets) -> str:
    from clawd.cli.starter import AUTO, DEMO, LOCAL, ChoiceRefused, preset_of

    names = ", ".join(preset.name for preset in presets.providers)
    say("Which model should answer?")
    say(f"   {AUTO}: what is found at each start. {LOCAL}: on this computer. {DEMO}: none, to look around.")
    say(f"   Or a provider: {names}.")
    say(f"   With --model also a model server here: {', '.join(server.name for server in presets.servers)}.")
    while True:
        answer = _line(f"   [{AUTO}] ") or AUTO
        try:
            preset_of(answer, presets)
        except ChoiceRefused as error:
            say(four_lines(error))
        else:
            return answer


def _with_key(choices: Choices, presets: Presets, call: Invocation, *, asks: bool, test: bool) -> Choices:
    """Return the choices with a key that works, as far as one is needed and can be had."""
    from clawd.cli.starter import preset_of

    preset = preset_of(choices.provider, presets)
    if preset is None or choices.key:
        return _tried(choices, presets, call) if test and choices.key else choices
    variable = next((name for name in preset.keys if call.environ.get(name)), None)
    if not asks:
        chosen = replace(choices, key_variable=variable)
        return _tried(chosen, presets, call) if test and variable else chosen
    usual = f"Enter: ${variable} from the environment" if variable else "hidden while you type"
    for left in reversed(range(TRIES)):
        say(f"The API key of {preset.name} ({usual}):")
        typed = getpass.getpass("   > ").strip()
        if not typed and not variable:
            continue
        chosen = replace(choices, key=typed or None, key_variable=None if typed else variable)
        try:
            return _tried(chosen, presets, call) if test else chosen
        except ClawdError as error:
            if not left:
                raise
            say(four_lines(error))
    return choices


def _with_telegram(
    choices: Choices, presets: Presets, call: Invocation, *, asks: bool, test: bool
) -> Choices:
    """Return the choices with a bot's token that works, if there is to be one."""
    if choices.telegram_token or not asks:
        return _tried(choices, presets, call, telegram=True) if test and choices.telegram_token else choices
    for left in reversed(range(TRIES)):
        say("The token of a Telegram bot, from @BotFather (Enter: no Telegram):")
        typed = getpass.getpass("   > ").strip()
        if not typed:
            return choices
        try:
            chosen = replace(choices, telegram_token=typed)
            return _tried(chosen, presets, call, telegram=True) if test else chosen
        except ClawdError as error:
            if not left:
                raise
            say(four_lines(error))
    return choices


def _line(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


# --- trying out -------------------------------------------------------------------------------------


def _tried(choices: Choices, presets: Presets, call: Invocation, *, telegram: bool = False) -> Choices:
    """Return the choices after a live test; out of reach is a warning, refused credentials are an error."""
    from clawd.cli.live import ask_bridges, ask_models
    from clawd.cli.starter import starter_files
    from clawd.config.loader import load_config
    from clawd.plugins import find_plugins

    plugins = find_plugins()
    with tempfile.TemporaryDirectory(prefix="clawd-init-") as folder:
        config = _write(Path(folder) / "config.yaml", starter_files(choices, presets))[0]
        loaded = load_config(config, call.environ, plugins)
    if telegram:
        answers = asyncio.run(ask_bridges(loaded.config, plugins, Path(folder)))
    else:
        asked = asyncio.run(ask_models(loaded.config, plugins, call.environ))
        answers = [model.answer for model in asked if model.answer]
    for answer in answers:
        if answer.error is None:
            say(f"   {paint('ok', 'green')}: {answer.line}")
        elif answer.error.exit_code == EXIT_AUTH:
            raise answer.error
        else:
            say(f"   {paint('not tested', 'yellow')}: {answer.error}")
    return choices


# --- writing ----------------------------------------------------------------------------------------


def _write(target: Path, files: Mapping[str, str]) -> list[Path]:
    """Write every file whole or not at all, readable by the owner only; return them, the configuration first."""
    written: list[Path] = []
    try:
        for name, text in reversed(list(files.items())):  # secrets before the file that names them
            path = target if name == "config.yaml" else target.parent / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            if path.exists():
                path.replace(path.with_name(f"{path.name}.old"))
            new.replace(path)
            written.insert(0, path)
    except OSError as error:
        raise ClawdError(
            "the configuration can't be written",
            where=str(error.filename or target),
            why=error.strerror or str(error),
        ) from error
    return written


def _tell(choices: Choices, written: list[Path], call: Invocation) -> None:
    from clawd.cli.starter import AUTO

    for path in written:
        out(str(path))
    model = "found by itself at each start" if choices.provider == AUTO else choices.model or choices.provider
    say(f"model:    {model}")
    say(f"telegram: {'a bot; then `clawd pair approve CODE --owner`' if choices.telegram_token else 'no'}")
    status = _running(call)
    say("gateway:  http://127.0.0.1:7373, strangers need an owner's approval")
    holder = holder_of_port(PORT)
    if holder is not None and (status is None or holder.pid != status["pid"]):
        say(f"          but {holder} uses that port: end it, or set gateway.port in the file")
    config = str(written[0]) if call.config else None
    program = paths.own_call(config, Path(sys.executable).with_name("clawd"), call.environ)
    say(f"next:     {next_step(written[0], status, program)}")


def next_step(written: Path, status: Mapping[str, Any] | None, program: str) -> str:
    """Return what to do once a configuration is written.

    Args:
        written: The file.
        status: What the daemon says that would use it; None: none runs.
        program: How a person calls clawd here.
    """
    if status is None:
        return f"{program} start"
    runs, path = f"process {status['pid']} runs", status["config_path"]
    if path is None:
        return f"{program} reload ({runs} without a configuration yet)"
    if Path(path) == written.resolve() or Path(path) == written:
        return f"{program} reload ({runs} with this file; what it can't change, it names)"
    return f"{program} stop, then {program} start ({runs} with {path})"


def _running(call: Invocation) -> Mapping[str, Any] | None:
    """Return the status of the daemon that these options mean, None where none answers at once."""
    with suppress(ClawdError):
        return call.client(timeout_s=GLANCE_S).get("/status")
    return None
