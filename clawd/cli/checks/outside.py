"""Do models and platforms answer? These checks ask other hosts, each once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from clawd.cli.checks.site import Finding, evidence_of, fail, ok, warn
from clawd.cli.checks.through import ask_through_daemon, expect_of_daemon, longer
from clawd.config.sections import called_bridges as called_by_plugin
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clawd.cli.checks.board import Board
    from clawd.cli.checks.site import Site
    from clawd.cli.live import ModelAnswer
    from clawd.models.info import ModelInfo

_NOT_ASKED: Final = frozenset(
    {"local", "demo"}
)  # one would start a child for minutes, the other always answers


@runtime_checkable
class Signed(Protocol):
    """A bridge's section that has a secret to tell callers by."""

    @property
    def secret(self) -> object: ...


def expect_models(site: Site, board: Board) -> None:
    """Say which models will be asked, as far as that is known before."""
    if site.status is not None:
        expect_of_daemon(site, board, "models", but=_NOT_ASKED)
    elif site.loaded is not None:
        for config in site.config.models:
            if config.type not in _NOT_ASKED:
                board.expect(f"model:{config.name}", longer("models", config.name))


def expect_bridges(site: Site, board: Board) -> None:
    """Say which bridges will be asked; of some it shows only then that there is nothing to ask."""
    if site.status is not None:
        expect_of_daemon(site, board, "bridges")
    elif site.loaded is not None:
        for name, section in site.config.bridges.items():
            if section.enabled:
                board.expect(f"bridge:{name}", longer("bridges", name))


async def check_models(site: Site, board: Board) -> None:
    """Each model answers a word; one of them is more than the demo."""
    if site.loaded is None:
        board.tell(warn("models", "not asked: the configuration does not load", "clawd config check"))
        return
    if site.status is not None:
        await ask_through_daemon(site, board, "models", but=_NOT_ASKED)
        used = {str(model["name"]): str(model["type"]) for model in site.status.get("models", ())}
        _tell_route(board, {name: used.get(name, "") for name in site.status.get("route", ())})
        return
    from clawd.cli.live import ask_models  # brings the whole HTTP client

    try:
        models = await ask_models(
            site.config,
            site.plugins,
            site.environ,
            wanted=lambda info: info.type not in _NOT_ASKED,
            servers=site.host.model_servers,
            limit_s=site.left_s(),
        )
    except ClawdError as error:
        board.tell(fail("models", evidence_of(error), error.remedy))
        return
    for model in models:
        for finding in _one_model(model):
            board.tell(finding)
    _tell_route(board, {m.info.name: m.info.type for m in models if "default" in m.info.routes})


def _tell_route(board: Board, types: Mapping[str, str]) -> None:
    """Tell who answers by default, given the types by name."""
    if set(types.values()) == {"demo"}:
        board.tell(warn("models", "only the demo answers, which is no model", "clawd init"))
    else:
        board.tell(ok("models", f"the default route is {', '.join(types) or 'empty'}"))


def _one_model(model: ModelAnswer) -> Iterator[Finding]:
    check = f"model:{model.info.name}"
    if model.answer is None:
        return
    if model.answer.silent_s is not None:
        fix = longer("models", model.info.name)
        yield warn(check, f"no answer within {model.answer.silent_s:.1f} s", fix)
    elif model.answer.error is None:
        yield ok(check, f"{model.answer.line} ({_origin(model.info)})")
    else:
        yield fail(check, evidence_of(model.answer.error), model.answer.error.remedy or "clawd models test")


def _origin(info: ModelInfo) -> str:
    return info.found if info.found == "config" else f"found: {info.found}"


async def check_bridges(site: Site, board: Board) -> None:
    """Each platform knows us, and nothing keeps messages from us."""
    if site.loaded is None:
        return
    if site.status is not None:
        await ask_through_daemon(site, board, "bridges")
        return
    names = [name for name, section in site.config.bridges.items() if section.enabled]
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(_one_bridge(site, name, board), name=f"probe:{name}")


async def _one_bridge(site: Site, name: str, board: Board) -> None:
    from clawd.cli.live import ask_bridge

    check, fix = f"bridge:{name}", f"clawd bridges test {name}"
    answer = await ask_bridge(name, site.config, site.plugins, site.state_dir, limit_s=site.left_s())
    if answer is None:
        board.silent(check)
    elif answer.silent_s is not None:
        board.tell(warn(check, f"no answer within {answer.silent_s:.1f} s", longer("bridges", name)))
    elif answer.error is not None:
        board.tell(fail(check, evidence_of(answer.error), answer.error.remedy or fix))
    else:
        board.tell(ok(check, answer.line))
        for oddity in answer.oddities:
            board.tell(warn(check, oddity.what, oddity.remedy))


def check_webhooks(site: Site) -> Iterator[Finding]:
    """Bridges that wait for calls have a gateway to be called at, and a secret to tell callers by.

    A bridge whose plugin says that it is called and has no gateway is a mistake of the configuration; one whose
    plugin does not say so is made to see it, if its section has a secret.
    """
    if site.loaded is None:
        return
    sections = site.config.bridges
    told = set(called_by_plugin(sections, site.plugins))
    signed = tuple(
        name for name, section in sections.items() if isinstance(section, Signed) and name not in told
    )
    seen: list[str] = []
    if signed:
        from clawd.cli.live import called_bridges

        seen = asyncio.run(called_bridges(site.config, site.plugins, site.state_dir, signed))
    for name in (name for name in sections if name in told or name in seen):
        check, section = f"bridge:{name}", sections[name]
        if site.config.gateway.port is False:
            yield fail(check, "it waits for calls, but the gateway is off", "set gateway.port")
        elif not isinstance(section, Signed):
            yield ok(check, f"takes calls at /bridges/{name}")
        elif not section.secret:
            yield fail(check, "without a secret anybody could call it", f"set bridges.{name}.secret")
        else:
            count = len(section.secret) if isinstance(section.secret, tuple | list) else 1
            yield ok(check, f"takes calls at /bridges/{name}, {count} secret{'s' if count > 1 else ''} set")
