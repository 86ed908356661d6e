"""Commands that keep their place in the conversation: /new, /model, /lang. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.agent.choosing import names_of
from clawd.agent.ending import Ending, command_done
from clawd.commands import ChooseLanguage, ChooseModel, NewSession, parse
from clawd.journal.records import SessionStarted, SettingsChanged
from clawd.models.windows import DEFAULT_ROUTE
from clawd.texts import LANGUAGES, language_for, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from clawd.config.schema import RouteConfig
    from clawd.journal.base import ConversationSettings
    from clawd.messages import InboundMessage


def carry_out(
    command: NewSession | ChooseModel | ChooseLanguage,
    settings: ConversationSettings,
    language: str | None,
    models: Sequence[str],
    routes: Mapping[str, RouteConfig],
) -> Ending:
    """Return the end of a turn whose message is a command.

    Args:
        command: What was asked for.
        settings: The conversation's settings before it.
        language: The language to answer in.
        models: Those that may be chosen, the default route's first.
        routes: Those that may be chosen; a model of the same name goes before.
    """
    match command:
        case NewSession():
            return command_done(say("new_session", language), SessionStarted(session=settings.session + 1))
        case ChooseModel():
            return _choose_model(command, settings, language, models, routes)
        case ChooseLanguage(tag):
            return _choose_language(tag, settings, language)


def chosen_behind(
    messages: Iterable[InboundMessage],
    settings: ConversationSettings,
    models: Sequence[str],
    routes: Mapping[str, RouteConfig],
) -> ConversationSettings:
    """Return the settings with the model that these messages choose, where they do, as `carry_out` would choose it."""
    for message in messages:
        match parse(message.text):
            case ChooseModel(name=str()) as choice:
                for record in _choose_model(choice, settings, None, models, routes).records:
                    if isinstance(record, SettingsChanged):
                        settings = replace(settings, model=record.model, strict=record.strict)
            case _:
                pass
    return settings


def _choose_model(
    choice: ChooseModel,
    settings: ConversationSettings,
    language: str | None,
    models: Sequence[str],
    routes: Mapping[str, RouteConfig],
) -> Ending:
    name, names = choice.name, names_of(models, routes)
    available = ", ".join(models)
    if others := names[len(dict.fromkeys(models)) :]:
        available = say("models_and_routes", language, models=available, routes=", ".join(others))
    first = names[0] if names else say("default_model", language)
    if name is None:
        current = settings.model or first
        if settings.model is None and any(route.rules for route in routes.values()):
            current = say("model_by_rules", language, model=first)
        gone = settings.model is not None and settings.model not in (*names, DEFAULT_ROUTE)
        if settings.model and (gone or settings.strict):
            words = "model_gone" if gone and not settings.strict else "model_strict"
            current = say(f"{words}_now" if gone else words, language, model=current)
        return command_done(say("model_current", language, model=current, available=available))
    if name == "default" and not choice.strict:
        change = SettingsChanged(model=None, language=settings.language)
        return command_done(say("model_default", language, model=first), change)
    if name not in (*names, "default"):
        return command_done(say("model_unknown", language, name=name, available=available))
    change = SettingsChanged(model=name, language=settings.language, strict=choice.strict)
    told = "model_set_strict" if choice.strict else "model_set"
    return command_done(say(told, language, model=name), change)


def _choose_language(tag: str | None, settings: ConversationSettings, language: str | None) -> Ending:
    if tag is None:
        return command_done(say("language_current", language, language=language_for(language)))
    if tag.replace("_", "-").split("-")[0] not in LANGUAGES:
        return command_done(say("language_unknown", language, name=tag))
    change = SettingsChanged(model=settings.model, language=language_for(tag), strict=settings.strict)
    return command_done(say("language_set", tag), change)
