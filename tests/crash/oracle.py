"""The oracle: compares what was seen outside with what is promised. It knows nothing of the daemon's inside.

A response counts as committed as soon as anything that follows from it was seen: an effect that it asked
for, the finished answer, or a request that quotes it. From then on the same step must not be asked again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from tests.crash.events import Acted, Asked, Call, Died, Said, Shown, Started, Taken
from tests.crash.words import Answer, is_part, whole_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.crash.events import Event

BROKEN: Final = ("lost", "twice", "paid_twice", "effects_twice", "disordered", "strange")
ONCE: Final = ("once", "asked")  # the kinds of tools that must not be repeated


@dataclass(kw_only=True)
class Verdict:
    """What came of a run. The lists are broken promises, each entry a sentence; the numbers are allowed."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)  # answered twice without a mark
    paid_twice: list[str] = field(default_factory=list)  # asked again for what was committed
    effects_twice: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # what nobody asked for

    messages: int = 0
    kills: int = 0
    marked: int = 0  # answers repeated with the mark in front
    same_id: int = 0  # callbacks repeated under their id
    asked_again: int = 0  # what was in flight when the process died
    acted_again: int = 0  # calls that may be repeated, and were
    unknown: int = 0  # `once` calls that the model was told nobody knows of
    leftovers: int = 0  # unfinished previews that stay beside their answer
    first_reply_s: list[float] = field(default_factory=list)  # after each start with open messages
    first_work_s: list[float] = field(default_factory=list)  # anything at all: a request, an effect, a reply

    @property
    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken, by name."""
        return {name: getattr(self, name) for name in BROKEN if getattr(self, name)}


def judge(events: Iterable[Event], *, aside: Callable[[str], bool] = lambda _: False) -> Verdict:
    """Return the verdict on a run that has come to rest: what has no answer now never gets one.

    Args:
        events: What was seen.
        aside: Whether a shown text is none of the oracle's business: questions, answers to commands.
    """
    court = _Court()
    for event in events:
        if not (isinstance(event, Shown) and aside(event.text)):
            court.hear(event)
    return court.close()


class _Court:
    """The state between two events."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.chat_of: dict[str, str] = {}  # word → chat
        self.place_in_chat: dict[str, int] = {}  # word → its number in the chat
        self.said: dict[str, list[str]] = defaultdict(list)  # chat → words in order
        self.owed: set[str] = set()
        self.answers = _Answers(self)
        self.steps = _Steps(self)
        self.effects = _Effects(self)
        self.clock = _Starts(self)
        self.deaths = 0

    def hear(self, event: Event) -> None:
        """Take one event into account."""
        match event:
            case Said():
                self._said(event)
            case Taken(word=word):
                self.owed.add(word)
            case Asked():
                self.clock.worked(event.at)
                self.steps.asked(event)
                self.effects.reported(event)
            case Acted():
                self.clock.worked(event.at)
                self.effects.acted(event)
                self.steps.shows(event.token, f"the effect {event.place}")
            case Shown():
                self.clock.worked(event.at)
                self.answers.shown(event)
            case Started(at=at):
                self.clock.started(at)
            case Died(killed=killed):
                self.deaths += 1
                self.verdict.kills += killed
                self.clock.died()
            case _:
                assert_never(event)

    def close(self) -> Verdict:
        """Say what was not seen at all."""
        self.verdict.messages = len(self.chat_of)
        self.verdict.lost = sorted(self.owed - self.answers.first.keys(), key=self.place_in_chat.__getitem__)
        self.answers.close()
        return self.verdict

    def is_before(self, one: str, other: str) -> bool:
        """Whether a message was said before another one of the same chat."""
        return self.place_in_chat[one] < self.place_in_chat[other]

    def _said(self, event: Said) -> None:
        self.chat_of[event.word] = event.chat
        words = self.said[event.chat]
        self.place_in_chat[event.word] = len(words)
        words.append(event.word)
        if event.owed:
            self.owed.add(event.word)


class _Answers:
    """Which answers were shown, how often, and in which order."""

    def __init__(self, court: _Court) -> None:
        self._court = court
        self.first: dict[str, Answer] = {}  # word → its first whole answer
        self._unmarked: dict[str, str] = {}  # word → the message that showed it without a mark
        self._latest: dict[str, str] = {}  # chat → the latest word that was answered for the first time
        self._messages: dict[tuple[str, str], Shown] = {}  # as they stand now
        self._bodies: dict[str, bytes] = {}

    def shown(self, event: Shown) -> None:
        """A message appeared, or changed its text."""
        key = (event.chat, event.message)
        before = self._messages.get(key)
        self._messages[key] = event
        answer = whole_answer(event.text)
        if answer is None:
            return  # judged at the end, as it stands then
        court, verdict = self._court, self._court.verdict
        if court.chat_of.get(answer.word) != event.chat:
            verdict.strange.append(f"{event.chat} got an answer to {answer.word}, which was not said there")
            return
        court.steps.shows(answer.token, f"the answer to {answer.word}")
        if before is not None and whole_answer(before.text) is not None:
            self._again(event, before, answer)
        elif answer.word in self.first:
            self._repeated(event, answer)
        else:
            self._for_the_first_time(event, answer)
        if not answer.marked:
            self._unmarked.setdefault(answer.word, event.message)

    def _for_the_first_time(self, event: Shown, answer: Answer) -> None:
        court = self._court
        self.first[answer.word] = answer
        if answer.marked:
            court.verdict.marked += 1
        latest = self._latest.get(event.chat)
        if latest is not None and court.is_before(answer.word, latest):
            court.verdict.disordered.append(f"{answer.word} was answered after {latest}")
        else:
            self._latest[event.chat] = answer.word
        court.clock.replied(event.at, answer.word)

    def _repeated(self, event: Shown, answer: Answer) -> None:
        verdict = self._court.verdict
        if not answer.marked:
            verdict.twice.append(f"{answer.word} was answered again in {event.message} without a mark")
            return
        verdict.marked += 1
        self._too_late(event, answer)

    def _again(self, event: Shown, before: Shown, answer: Answer) -> None:
        """The same message once more: a callback under its id, or a chat's message rewritten."""
        verdict = self._court.verdict
        if event.text != before.text or event.body != before.body:
            verdict.twice.append(f"{event.message} showed {before.text!r} and then {event.text!r}")
        verdict.same_id += 1
        self._too_late(event, answer)

    def _too_late(self, event: Shown, answer: Answer) -> None:
        """A later answer goes out only once the receipt of this one is committed."""
        court = self._court
        latest = self._latest.get(event.chat)
        if latest is not None and court.is_before(answer.word, latest):
            court.verdict.twice.append(f"{answer.word} was repeated after {latest} had been answered")

    def close(self) -> None:
        """Judge what is left that is no whole answer."""
        verdict = self._court.verdict
        for event in self._messages.values():
            if whole_answer(event.text) is None:
                if is_part(event.text) and self._court.deaths:
                    verdict.leftovers += 1
                else:
                    verdict.strange.append(f"{event.chat} shows {event.text!r}")


class _Steps:
    """What the model was asked, step by step."""

    def __init__(self, court: _Court) -> None:
        self._court = court
        self._asked: dict[tuple[str, int], list[Asked]] = defaultdict(list)
        self._step_of: dict[str, tuple[str, int]] = {}  # by token
        self._committed: dict[tuple[str, int], tuple[str, str]] = {}  # step → (token, how we know)
        self._latest: dict[str, str] = {}  # chat → the latest word that was asked about

    def asked(self, event: Asked) -> None:
        """The model was asked for one step."""
        court, verdict = self._court, self._court.verdict
        for token in sorted(event.contains & self._step_of.keys()):
            self.shows(token, f"a request about {event.word}")
        step = (event.word, event.step)
        earlier = self._asked[step]
        name = f"step {event.step} of {event.word}"
        if step in self._committed:
            verdict.paid_twice.append(f"{name} was asked again after {self._committed[step][1]}")
        elif any(other.life == event.life for other in earlier):
            verdict.paid_twice.append(f"{name} was asked twice by one process")
        elif earlier:
            verdict.asked_again += 1
        earlier.append(event)
        self._step_of[event.token] = step
        self._in_turn(event)
        if event.step and (event.word, event.step - 1) not in self._committed:
            verdict.strange.append(f"{name} was asked without the response before it")
        if event.word not in court.chat_of:
            verdict.strange.append(f"the model was asked about {event.word!r}, which nobody said")

    def shows(self, token: str, where: str) -> None:
        """Something that follows from a response was seen, so it is committed."""
        step = self._step_of.get(token)
        if step is None:
            self._court.verdict.strange.append(f"{where} quotes {token}, which no model said")
            return
        known, how = self._committed.setdefault(step, (token, where))
        if known != token:
            self._court.verdict.paid_twice.append(
                f"step {step[1]} of {step[0]} was used twice: in {how} and, answered anew, in {where}"
            )

    def _in_turn(self, event: Asked) -> None:
        court = self._court
        chat = court.chat_of.get(event.word)
        if chat is None:
            return
        latest = self._latest.setdefault(chat, event.word)
        if court.is_before(event.word, latest):
            court.verdict.disordered.append(f"the model was asked about {event.word} after {latest}")
        else:
            self._latest[chat] = event.word


class _Effects:
    """What the tools did."""

    def __init__(self, court: _Court) -> None:
        self._court = court
        self._acts: dict[str, list[Acted]] = defaultdict(list)  # by place
        self._by_call: dict[str, list[Acted]] = defaultdict(list)
        self._owner: dict[str, str] = {}  # key → place
        self._calls: dict[str, tuple[Call, int]] = {}  # by id, with the deaths before
        self._results: dict[str, str] = {}  # by call id, as the model was told
        self._told: set[str] = set()  # receipts in requests

    def acted(self, event: Acted) -> None:
        """A tool did something."""
        verdict = self._court.verdict
        earlier = self._acts[event.place]
        name = f"{event.kind} {event.place}"
        if self._owner.setdefault(event.key, event.place) != event.place:
            verdict.effects_twice.append(f"{name} has the key of {self._owner[event.key]}")
        if event.call in self._results:
            verdict.effects_twice.append(f"{name} ran after the model was told its result")
        elif earlier and event.kind in ONCE:
            verdict.effects_twice.append(f"{name} ran {len(earlier) + 1} times")
        elif any(act.life == event.life for act in earlier):
            verdict.effects_twice.append(f"{name} ran twice in one process")
        elif earlier and event.key != earlier[0].key:
            verdict.effects_twice.append(f"{name} ran under {earlier[0].key} and {event.key}")
        elif earlier:
            verdict.acted_again += 1
        earlier.append(event)
        self._by_call[event.call].append(event)

    def reported(self, event: Asked) -> None:
        """The model was told results, and asks for calls."""
        for call in event.calls:
            self._calls[call.id] = (call, self._court.deaths)
        verdict = self._court.verdict
        for identifier, text in event.results:
            if identifier in self._results:
                if self._results[identifier] != text:
                    verdict.strange.append(f"the result of {identifier} changed to {text!r}")
                continue
            self._results[identifier] = text
            if any(act.receipt == text for act in self._by_call[identifier]):
                continue
            asked_for = self._calls.get(identifier)
            if asked_for and asked_for[0].kind in ONCE and self._court.deaths > asked_for[1]:
                verdict.unknown += 1
            else:
                verdict.strange.append(f"the model was told {text!r} of {identifier}")


class _Starts:
    """How long a start took to show work, and to show an answer that was open before."""

    def __init__(self, court: _Court) -> None:
        self._court = court
        self._at: float | None = None
        self._idle = True
        self._open: frozenset[str] = frozenset()

    def started(self, at: float) -> None:
        court = self._court
        self._open = frozenset(court.owed - court.answers.first.keys())
        self._at = at if court.deaths and self._open else None
        self._idle = self._at is not None

    def died(self) -> None:
        self._at = None
        self._idle = False

    def worked(self, at: float) -> None:
        if self._idle and self._at is not None:
            self._court.verdict.first_work_s.append(at - self._at)
            self._idle = False

    def replied(self, at: float, word: str) -> None:
        if self._at is not None and word in self._open:
            self._court.verdict.first_reply_s.append(at - self._at)
            self._at = None
