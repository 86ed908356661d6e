"""The oracle itself, on made-up observations: a good run, and one for each way in which a run can be bad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.crash.events import Acted, Asked, Call, Died, Said, Shown, Started, Taken
from tests.crash.oracle import judge
from tests.crash.words import MARK, Wish, answer_text, is_part, whole_answer

if TYPE_CHECKING:
    from tests.crash.events import Event
    from tests.crash.oracle import Verdict

CHAT = "telegram 1"


class Run:
    """Makes observations up, one second apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.life = 0
        self.tokens = 0
        self.restart()

    @property
    def now(self) -> float:
        return float(len(self.events))

    def restart(self) -> None:
        if self.life:
            self.events.append(Died(at=self.now, life=self.life))
        self.life += 1
        self.events.append(Started(at=self.now, life=self.life))

    def said(self, word: str, chat: str = CHAT, *, owed: bool = True) -> None:
        self.events.append(Said(at=self.now, chat=chat, word=word, owed=owed))

    def asked(self, word: str, step: int = 0, *kinds: str, told: tuple[tuple[str, str], ...] = ()) -> str:
        """Ask for a step; return the token. `told` are results; what they quote is in the request too."""
        token = f"tok{self.tokens}x"
        self.tokens += 1
        quoted = {result for _, result in told} | {call.split("-")[1] for call, _ in told}
        calls = tuple(Call(id=f"call-{token}-{n}", kind=kind) for n, kind in enumerate(kinds))
        event = Asked(
            at=self.now,
            life=self.life,
            word=word,
            step=step,
            token=token,
            calls=calls,
            contains=frozenset(quoted),
            results=told,
        )
        self.events.append(event)
        return token

    def acted(self, word: str, token: str, kind: str, *, step: int = 0, key: str = "") -> str:
        receipt = f"rcp{len(self.events)}x"
        place = f"{word}/{step}/0"
        event = Acted(
            at=self.now,
            life=self.life,
            kind=kind,
            key=key or place,
            place=place,
            token=token,
            call=f"call-{token}-0",
            receipt=receipt,
        )
        self.events.append(event)
        return receipt

    def shown(self, text: str, message: str, chat: str = CHAT, body: bytes = b"") -> None:
        self.events.append(Shown(at=self.now, chat=chat, message=message, text=text, body=body))

    def answer(self, word: str, message: str, chat: str = CHAT) -> str:
        """Ask once and show what came of it; return the text."""
        text = answer_text(word, self.asked(word))
        self.shown(text, message, chat)
        return text

    def judge(self) -> Verdict:
        return judge(self.events)

    def broken(self) -> list[str]:
        return sorted(self.judge().broken)


def with_a_tool(kind: str) -> tuple[Run, str, str]:
    """Return a run up to the result of one call, with the response's token and the receipt."""
    run = Run()
    run.said("m1")
    token = run.asked("m1", 0, kind)
    return run, token, run.acted("m1", token, kind)


def test_a_run_in_which_nothing_went_wrong_breaks_no_promise() -> None:
    run, token, receipt = with_a_tool("once")
    run.said("m2")
    last = run.asked("m1", 1, told=((f"call-{token}-0", receipt),))
    run.shown(answer_text("m1", last), "1")
    run.answer("m2", "2")
    verdict = run.judge()
    assert not verdict.broken
    assert (verdict.messages, verdict.kills, verdict.asked_again, verdict.marked) == (2, 0, 0, 0)


# --- lost ---------------------------------------------------------------------------------------------


def test_a_message_without_an_answer_is_lost() -> None:
    run = Run()
    run.said("m1")
    run.said("m2")
    run.answer("m1", "1")
    assert run.judge().lost == ["m2"]


def test_a_message_whose_sender_was_never_told_is_owed_nothing() -> None:
    run = Run()
    run.said("m1", owed=False)
    assert not run.judge().broken
    run.events.append(Taken(at=run.now, word="m1"))
    assert run.judge().lost == ["m1"]


def test_an_unfinished_preview_is_no_answer() -> None:
    run = Run()
    run.said("m1")
    run.asked("m1")
    run.restart()
    run.shown("answer to m1: tok …", "1")
    verdict = run.judge()
    assert verdict.broken == {"lost": ["m1"]}
    assert verdict.leftovers == 1


# --- twice --------------------------------------------------------------------------------------------


def test_a_second_answer_without_a_mark_is_broken() -> None:
    run = Run()
    run.said("m1")
    text = run.answer("m1", "1")
    run.restart()
    run.shown(text, "2")
    assert run.broken() == ["twice"]


def test_a_second_answer_with_a_mark_is_counted() -> None:
    run = Run()
    run.said("m1")
    text = run.answer("m1", "1")
    run.restart()
    run.shown(f"{MARK}\n{text}", "2")
    verdict = run.judge()
    assert not verdict.broken
    assert verdict.marked == 1


def test_a_mark_does_not_allow_another_answer_without_one() -> None:
    run = Run()
    run.said("m1")
    text = answer_text("m1", run.asked("m1"))
    run.restart()
    run.shown(f"{MARK}\n{text}", "1")
    run.shown(text, "2")
    assert run.broken() == ["twice"]


def test_a_repeat_behind_a_later_answer_is_broken_even_with_a_mark() -> None:
    run = Run()
    run.said("m1")
    run.said("m2")
    text = run.answer("m1", "1")
    run.answer("m2", "2")
    run.restart()
    run.shown(f"{MARK}\n{text}", "3")
    assert run.broken() == ["twice"]


def test_a_callback_may_come_again_under_its_id_with_its_bytes_only() -> None:
    run = Run()
    run.said("m1")
    text = answer_text("m1", run.asked("m1"))
    run.shown(text, "msg_1", body=b"one")
    run.restart()
    run.shown(text, "msg_1", body=b"one")
    verdict = run.judge()
    assert not verdict.broken
    assert verdict.same_id == 1
    run.shown(text, "msg_1", body=b"other")
    assert run.broken() == ["twice"]


def test_an_answer_that_changes_after_it_was_whole_is_broken() -> None:
    run = Run()
    run.said("m1")
    run.answer("m1", "1")
    run.restart()
    run.shown(answer_text("m1", run.asked("m1")), "1")
    assert run.broken() == ["paid_twice", "twice"]


# --- paid twice ---------------------------------------------------------------------------------------


def test_a_response_that_nothing_followed_from_may_be_asked_for_again() -> None:
    run = Run()
    run.said("m1")
    run.asked("m1")
    run.restart()
    run.answer("m1", "1")
    verdict = run.judge()
    assert not verdict.broken
    assert verdict.asked_again == 1


def test_a_response_whose_answer_was_shown_is_not_paid_for_again() -> None:
    run = Run()
    run.said("m1")
    run.answer("m1", "1")
    run.restart()
    run.asked("m1")
    assert run.broken() == ["paid_twice"]


def test_a_response_whose_tool_has_acted_is_not_paid_for_again() -> None:
    run, _, _ = with_a_tool("pure")
    run.restart()
    run.answer("m1", "1")
    assert run.broken() == ["paid_twice"]


def test_a_response_that_a_request_quotes_is_not_paid_for_again() -> None:
    run, token, receipt = with_a_tool("pure")
    run.asked("m1", 1, told=((f"call-{token}-0", receipt),))
    run.restart()
    run.asked("m1", 0, "pure")
    assert "paid_twice" in run.broken()


def test_one_process_asks_for_a_step_once() -> None:
    run = Run()
    run.said("m1")
    run.asked("m1")
    run.answer("m1", "1")
    assert run.broken() == ["paid_twice"]


def test_two_responses_to_one_step_are_not_both_used() -> None:
    run = Run()
    run.said("m1")
    one = run.asked("m1", 0, "pure")
    run.restart()
    other = run.asked("m1", 0, "pure")
    run.acted("m1", one, "pure")
    run.acted("m1", other, "pure")
    assert "paid_twice" in run.broken()


# --- effects ------------------------------------------------------------------------------------------


def test_a_once_tool_never_acts_twice() -> None:
    run, token, _ = with_a_tool("once")
    run.restart()
    run.acted("m1", token, "once")
    assert "effects_twice" in run.broken()


def test_other_tools_may_act_again_after_a_kill() -> None:
    for kind in ("pure", "idempotent", "keyed"):
        run, token, _ = with_a_tool(kind)
        run.restart()
        receipt = run.acted("m1", token, kind)
        run.shown(answer_text("m1", run.asked("m1", 1, told=((f"call-{token}-0", receipt),))), "1")
        verdict = run.judge()
        assert not verdict.broken
        assert verdict.acted_again == 1


def test_no_tool_acts_twice_without_a_kill() -> None:
    run, token, _ = with_a_tool("idempotent")
    run.acted("m1", token, "idempotent")
    assert "effects_twice" in run.broken()


def test_a_keyed_tool_acts_again_under_its_key_only() -> None:
    run, token, _ = with_a_tool("keyed")
    run.restart()
    run.acted("m1", token, "keyed", key="another")
    assert "effects_twice" in run.broken()


def test_two_steps_do_not_share_a_key() -> None:
    run, token, receipt = with_a_tool("keyed")
    next_token = run.asked("m1", 1, "keyed", told=((f"call-{token}-0", receipt),))
    run.acted("m1", next_token, "keyed", step=1, key="m1/0/0")
    assert "effects_twice" in run.broken()


def test_no_tool_acts_again_once_the_model_was_told_its_result() -> None:
    run, token, receipt = with_a_tool("idempotent")
    run.asked("m1", 1, told=((f"call-{token}-0", receipt),))
    run.restart()
    run.acted("m1", token, "idempotent")
    assert "effects_twice" in run.broken()


def test_a_once_call_that_a_kill_cut_off_may_be_unknown() -> None:
    run, token, _ = with_a_tool("once")
    run.restart()
    run.shown(answer_text("m1", run.asked("m1", 1, told=((f"call-{token}-0", "unknown"),))), "1")
    verdict = run.judge()
    assert not verdict.broken
    assert verdict.unknown == 1


def test_no_other_call_is_unknown_and_none_without_a_kill() -> None:
    for kind, killed in (("keyed", True), ("once", False)):
        run, token, _ = with_a_tool(kind)
        if killed:
            run.restart()
        run.asked("m1", 1, told=((f"call-{token}-0", "unknown"),))
        assert "strange" in run.broken()


def test_what_the_model_was_told_does_not_change() -> None:
    run, token, receipt = with_a_tool("once")
    run.asked("m1", 1, told=((f"call-{token}-0", receipt),))
    run.restart()
    run.asked("m1", 1, told=((f"call-{token}-0", "unknown"),))
    assert "strange" in run.broken()


# --- order --------------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_messages() -> None:
    run = Run()
    run.said("m1")
    run.said("m2")
    first, second = run.asked("m1"), run.asked("m2")
    run.shown(answer_text("m2", second), "1")
    run.shown(answer_text("m1", first), "2")
    assert run.broken() == ["disordered"]


def test_other_chats_have_an_order_of_their_own() -> None:
    run = Run()
    run.said("m1")
    run.said("m2", "telegram 2")
    run.answer("m2", "1", "telegram 2")
    run.answer("m1", "1")
    assert not run.judge().broken


def test_a_turn_is_over_before_the_next_one_begins() -> None:
    run = Run()
    run.said("m1")
    run.said("m2")
    run.asked("m2")
    run.restart()
    run.answer("m1", "1")
    run.answer("m2", "2")
    assert run.broken() == ["disordered"]


# --- strange ------------------------------------------------------------------------------------------


def test_what_nobody_asked_for_is_strange() -> None:
    run = Run()
    run.said("m1")
    run.answer("m1", "1")
    run.shown("The model is out of reach.", "2")
    assert run.broken() == ["strange"]


def test_an_answer_in_another_chat_is_strange() -> None:
    run = Run()
    run.said("m1")
    run.said("m2", "telegram 2")
    text = run.answer("m1", "1")
    run.answer("m2", "2", "telegram 2")
    run.shown(text, "3", "telegram 2")
    assert run.broken() == ["strange"]


def test_a_token_that_no_model_gave_is_strange() -> None:
    run = Run()
    run.said("m1")
    run.shown(answer_text("m1", "tok9x"), "1")
    assert run.broken() == ["strange"]


def test_a_step_follows_from_the_response_before_it() -> None:
    run = Run()
    run.said("m1")
    run.asked("m1", 0, "pure")
    run.asked("m1", 1)
    assert "strange" in run.broken()


# --- time ---------------------------------------------------------------------------------------------


def test_a_restart_is_measured_to_the_first_answer_that_was_open() -> None:
    run = Run()
    run.said("m1")
    run.restart()
    began = run.events[-1].at
    run.said("m2", "telegram 2")
    run.answer("m2", "1", "telegram 2")  # a new message: not what the restart is measured by
    run.answer("m1", "1")
    verdict = run.judge()
    assert verdict.first_reply_s == [run.events[-1].at - began]
    assert verdict.first_work_s == [2.0]


# --- the words ----------------------------------------------------------------------------------------


def test_wishes_and_answers_are_read_as_they_were_written() -> None:
    wish = Wish(word="m1", steps=(("once",), ("keyed", "pure")), slow=True)
    assert Wish.parse(wish.text) == wish
    assert Wish.parse("m2") == Wish(word="m2")
    found = whole_answer(f"{MARK}\n{answer_text('m1', 'tok3x')}")
    assert found is not None
    assert (found.word, found.token, found.marked) == ("m1", "tok3x", True)
    assert whole_answer(answer_text("m1", "tok3x") + " …") is None
    assert is_part("answer to m1 …")
    assert is_part("answ …")
    assert not is_part("something else …")
