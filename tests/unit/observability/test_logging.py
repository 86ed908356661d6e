"""What is logged arrives, clean, at every sink, and a failing sink harms nobody."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.config.schema import LoggingConfig
from clawd.observability.about import about
from clawd.observability.formatters import JsonFormatter, TerminalFormatter
from clawd.observability.logging import Logs, coloured, setup_logging, under_journald
from clawd.observability.redact import Redactor
from clawd.observability.sinks import Descriptor, RotatedFile, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("clawd.test")


@contextmanager
def logs_to(state_dir: Path, *, secrets: tuple[str, ...] = (), **config: Any) -> Iterator[Logs]:
    logs = setup_logging(LoggingConfig(**config), state_dir, {}, secrets)
    try:
        yield logs
    finally:
        logs.close()


def lines(state_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state_dir / "clawd.log").read_text().splitlines()]


def test_an_event_and_its_fields_are_one_json_object_in_the_file(state_dir: Path) -> None:
    with logs_to(state_dir):
        log.info("delivery_sent", extra={"delivery": "delivery:a-1", "attempt": 2, "event": "mine"})
    (line,) = lines(state_dir)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line == {
        "level": "info",
        "logger": "clawd.test",
        "event": "delivery_sent",
        "delivery": "delivery:a-1",
        "attempt": 2,
        "event_": "mine",
    }


def test_the_file_is_for_its_owner_alone(state_dir: Path) -> None:
    with logs_to(state_dir):
        log.info("x")
    assert (state_dir / "clawd.log").stat().st_mode & 0o777 == 0o600


def test_the_level_holds_and_a_reload_changes_it(state_dir: Path) -> None:
    with logs_to(state_dir, level="warning") as logs:
        log.info("unseen")
        logs.apply(LoggingConfig(level="debug"))
        log.debug("seen")
    assert [line["event"] for line in lines(state_dir)] == ["seen"]


def raise_nested() -> None:
    try:
        int("inner configured-secret-1")
    except ValueError as error:
        raise RuntimeError("outer https://x/bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/y") from error


def test_secrets_appear_at_no_sink_and_in_no_place(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "configured-secret-1"
    with logs_to(state_dir, secrets=(secret,)) as logs:
        log.info("message %s", secret)
        log.info(f"plain {secret}")  # noqa: G004 - what a careless caller would write
        log.info(
            "extra", extra={"header": {"x": [secret]}, "object": Secret(secret), "error": OSError(secret)}
        )
        try:
            raise_nested()
        except RuntimeError:
            log.exception("failed")
        log.info("stack", stack_info=True)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"warned {secret}", stacklevel=1)
        logs.apply(LoggingConfig(), ["reloaded-secret-2"])
        log.info("reloaded-secret-2 and %s", secret)
    written = (state_dir / "clawd.log").read_text() + capfd.readouterr().err
    assert secret not in written
    assert "reloaded-secret-2" not in written
    assert "AAHdqTcv" not in written
    assert written.count("failed") == 2
    assert "'inner ***'" in written
    assert "outer https://x/bot123456:***/y" in written
    assert "warned ***" in written


def test_arguments_that_do_not_fit_cost_neither_the_event_nor_the_caller() -> None:
    record = logging.makeLogRecord({"msg": "bad %d %s", "args": ("configured-secret-1",)})
    line = JsonFormatter(Redactor()).format(record)
    assert json.loads(line)["event"] == "bad %d %s (its arguments do not fit)"


def test_an_exception_that_nobody_catches_is_logged_clean(state_dir: Path) -> None:
    program = (
        "import sys, threading, pathlib\n"
        "from clawd.config.schema import LoggingConfig\n"
        "from clawd.observability.logging import setup_logging\n"
        "setup_logging(LoggingConfig(), pathlib.Path(sys.argv[1]), {}, ['hidden-value'])\n"
        "def crash(): raise ValueError('in thread hidden-value')\n"
        "t = threading.Thread(target=crash); t.start(); t.join()\n"
        "raise ValueError('in main hidden-value')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(state_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 1
    assert [line["event"] for line in lines(state_dir)] == ["thread_crashed", "crashed"]
    assert "hidden-value" not in done.stderr + (state_dir / "clawd.log").read_text()
    assert "in main ***" in done.stderr


@pytest.mark.parametrize("bug", [True, False])
def test_what_ends_the_process_is_the_last_line_of_the_log(state_dir: Path, bug: bool) -> None:
    error = "RuntimeError('no hidden-value')" if bug else "ClawdError('no hidden-value')"
    program = (
        "import sys, pathlib\n"
        "from clawd.config.schema import LoggingConfig\n"
        "from clawd.errors import ClawdError\n"
        "from clawd.observability.logging import setup_logging\n"
        "with setup_logging(LoggingConfig(), pathlib.Path(sys.argv[1]), {}, ['hidden-value']):\n"
        f"    raise {error}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(state_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    (line,) = lines(state_dir)
    assert "hidden-value" not in json.dumps(line)
    if bug:
        assert (line["event"], done.returncode) == ("crashed", 1)
        assert "RuntimeError: no ***" in line["exception"]
        assert done.stderr.endswith("clawd crashed: RuntimeError; the log has the rest\n")
        assert "hidden-value" not in done.stderr
    else:
        assert (line["event"], line["code"], line["error"]) == ("failed", "E-CLAWD", "no ***")


def test_text_on_stderr_has_time_level_and_fields(state_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logs_to(state_dir, file=False, format="text"):
        log.warning("queue_full", extra={"depth": 3, "chat": "a b"})
    line = capfd.readouterr().err
    assert re.fullmatch(r'\S+Z WARNING clawd\.test queue_full depth=3 chat="a b"\n', line)
    assert not (state_dir / "clawd.log").exists()


def test_a_field_cannot_forge_a_line_of_its_own(state_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logs_to(state_dir, file=False, format="text"):
        log.info("from a user\n<0>forged", extra={"text": "x\nINFO forged"})
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_json_on_stderr_when_asked_for(state_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logs_to(state_dir, file=False, format="json"):
        log.info("hello", extra={"n": 1})
    assert json.loads(capfd.readouterr().err)["n"] == 1


def test_where_nobody_reads_along_standard_error_is_json(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with logs_to(state_dir, file=False):
        log.info("hello", extra={"n": 1})
    assert json.loads(capfd.readouterr().err)["n"] == 1


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_shows_columns_a_colour_for_the_level_and_nothing_that_steers_it(
    state_dir: Path, colour: bool
) -> None:
    reader, terminal = os.openpty()
    environ = {} if colour else {"NO_COLOR": "1"}
    with stderr_is(terminal):
        logs = setup_logging(LoggingConfig(file=False), None, environ)
        try:
            log.warning("queue_full", extra={"depth": 3, "who": "\x1b[31mred\x07\u202e"})
            log.error("a_rather_long_name_of_an_event", extra={"depth": 4})
        finally:
            logs.close()
    raw = b""
    while raw.count(b"\n") < 2:  # a terminal hands on what it gets piece by piece
        raw += os.read(reader, 65536)
    told = raw.decode()
    os.close(reader)
    os.close(terminal)
    plain = re.sub(r"\x1b\[[\d;]*m", "", told)
    first, second = plain.splitlines()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} warning  queue_full               depth=3"
        r" who=\\x1b\[31mred\\x07\\x202e clawd\.test",
        first,
    )
    assert second.endswith("error    a_rather_long_name_of_an_event depth=4 clawd.test")
    assert ("\x1b[33mwarning" in told) is colour
    assert ("\x1b[31merror" in told) is colour
    assert colour or "\x1b" not in told


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"CLICOLOR": "0"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"CLICOLOR_FORCE": "1", "CLICOLOR": "0"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_go_by_what_the_environment_says(environ: dict[str, str], wanted: bool) -> None:
    assert coloured(environ) is wanted


def test_a_traceback_stays_on_lines_of_its_own_at_a_terminal() -> None:
    record = logging.makeLogRecord({"msg": "broke", "levelname": "ERROR", "name": "n"})
    try:
        raise_nested()
    except RuntimeError:
        record.exc_info = sys.exc_info()
    head, *rest = TerminalFormatter(Redactor(), colour=False).format(record).splitlines()
    assert " broke" in head
    assert rest[0].startswith("Traceback")


def test_an_exception_in_a_finaliser_is_logged_clean(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Careless:
        def __del__(self) -> None:
            raise ValueError("hidden-value")

    with logs_to(state_dir, secrets=("hidden-value",)):
        Careless()
    (line,) = lines(state_dir)
    assert line["event"] == "unraisable"
    assert "ValueError: ***" in line["exception"]
    assert "hidden-value" not in capfd.readouterr().err


@contextmanager
def stderr_is(fd: int) -> Iterator[None]:
    saved = os.dup(2)
    os.dup2(fd, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def test_under_journald_each_line_has_its_priority_and_no_time(state_dir: Path) -> None:
    reader, writer = os.pipe()
    with stderr_is(writer):
        status = os.fstat(2)
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert under_journald(environ)
        logs = setup_logging(LoggingConfig(level="debug"), None, environ)
        try:
            log.debug("d")
            log.info("i")
            log.warning("w")
            try:
                raise_nested()
            except RuntimeError:
                log.exception("e")
            log.critical("c")
        finally:
            logs.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read().splitlines()
    assert text[:4] == ["<7>clawd.test d", "<6>clawd.test i", "<4>clawd.test w", "<3>clawd.test e"]
    assert all(line.startswith("<3>") for line in text[3:-1])
    assert text[-1] == "<2>clawd.test c"


@pytest.mark.parametrize("value", ["", "1:2", "nonsense", ":", "9:9:9"])
def test_a_journal_stream_that_is_not_stderr_counts_for_nothing(value: str) -> None:
    assert not under_journald({"JOURNAL_STREAM": value})


def test_a_reader_that_stopped_reading_does_not_stop_the_writer(state_dir: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with stderr_is(writer), logs_to(state_dir, format="text"):
        for number in range(200):
            log.info("line", extra={"number": number, "text": "x" * 100})
        held = os.read(reader, 65536)
        log.info("after")
        told = os.read(reader, 65536).decode()
    os.close(reader)
    os.close(writer)
    assert held
    count = re.search(r"log_lines_lost count=(\d+)", told)
    assert count is not None
    assert held.decode().count("number=") + int(count[1]) == 200
    assert "after" in told
    assert len(lines(state_dir)) == 201


def test_a_traceback_cut_off_by_a_slow_reader_leaves_the_next_line_whole() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    sink = Sink(Descriptor(writer), logging.Formatter("%(message)s"))
    sink.handle(logging.makeLogRecord({"msg": "long " + "x" * 6000}))
    os.read(reader, 65536)
    sink.handle(logging.makeLogRecord({"msg": "next"}))
    assert os.read(reader, 65536).decode().splitlines()[-1] == "next"
    os.close(reader)
    os.close(writer)


def test_a_reader_that_is_gone_is_survived(state_dir: Path) -> None:
    reader, writer = os.pipe()
    with stderr_is(writer), logs_to(state_dir):
        os.close(reader)
        log.info("still")
    os.close(writer)
    assert [line["event"] for line in lines(state_dir)] == ["still"]


@pytest.mark.parametrize("when", ["before the start", "later"])
def test_what_is_opened_in_place_of_a_closed_stderr_gets_no_log_lines(state_dir: Path, when: str) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    with stderr_is(null):
        if when == "before the start":
            os.close(2)
        with logs_to(state_dir / "none"):
            if when == "later":
                os.close(2)
            fd = os.open(state_dir / "database", os.O_RDWR | os.O_CREAT, 0o600)
            log.info("line")
            assert fd == 2
    os.close(null)
    assert (state_dir / "database").read_bytes() == b""


def test_stderr_that_already_is_the_log_file_is_written_once(state_dir: Path) -> None:
    fd = os.open(state_dir / "clawd.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with stderr_is(fd), logs_to(state_dir):
        log.info("once")
    os.close(fd)
    assert [line["event"] for line in lines(state_dir)] == ["once"]


def test_the_file_rotates_within_its_bounds(state_dir: Path) -> None:
    with logs_to(state_dir, max_bytes=10_000, backups=2):
        for number in range(400):
            log.info("line", extra={"number": number})
    files = sorted(path.name for path in state_dir.iterdir())
    assert files == ["clawd.log", "clawd.log.1", "clawd.log.2"]
    assert all((state_dir / name).stat().st_size <= 10_000 for name in files)
    assert all((state_dir / name).stat().st_mode & 0o777 == 0o600 for name in files)
    kept = [
        json.loads(x)["number"] for n in reversed(files) for x in (state_dir / n).read_text().splitlines()
    ]
    assert kept == list(range(kept[0], 400))


def test_without_backups_the_file_begins_anew(state_dir: Path) -> None:
    with logs_to(state_dir, max_bytes=10_000, backups=0):
        for number in range(400):
            log.info("line", extra={"number": number})
    assert [path.name for path in state_dir.iterdir()] == ["clawd.log"]
    assert (state_dir / "clawd.log").stat().st_size <= 10_000


def test_a_directory_that_is_not_there_loses_lines_and_then_tells_how_many(state_dir: Path) -> None:
    missing = state_dir / "later"
    with logs_to(missing):
        log.info("one")
        log.info("two")
        missing.mkdir()
        log.info("three")
    assert [(line["event"], line.get("count")) for line in lines(missing)] == [
        ("log_lines_lost", 2),
        ("three", None),
    ]


@pytest.mark.parametrize("how", ["removed", "renamed", "renamed and made anew", "emptied"])
def test_a_file_that_somebody_took_away_is_made_anew_and_no_line_is_lost(state_dir: Path, how: str) -> None:
    path = state_dir / "clawd.log"
    with logs_to(state_dir, max_bytes=10_000):
        log.info("before")
        if how == "removed":
            path.unlink()
        elif how == "emptied":
            os.truncate(path, 0)
        else:
            path.rename(state_dir / "elsewhere")
        if how == "renamed and made anew":
            path.touch(0o600)
        log.info("after")
    assert [line["event"] for line in lines(state_dir)] == ["after"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_vanishes_loses_lines_until_it_is_back_and_is_not_made_anew(state_dir: Path) -> None:
    home = state_dir / "home"
    home.mkdir()
    with logs_to(home):
        log.info("before")
        home.rename(state_dir / "moved")
        log.info("lost")
        assert not home.exists()
        (state_dir / "moved").rename(home)
        log.info("after")
    assert [line["event"] for line in lines(home)] == ["before", "log_lines_lost", "after"]


def test_the_notice_of_lost_lines_is_about_no_turn(state_dir: Path) -> None:
    missing = state_dir / "later"
    with logs_to(missing), about(turn="turn:a-1-1"):
        log.info("one")
        missing.mkdir()
        log.info("two")
    notice, line = lines(missing)
    assert (notice["event"], notice.get("turn"), line["turn"]) == ("log_lines_lost", None, "turn:a-1-1")


def test_a_disk_that_fills_up_loses_lines_and_keeps_the_file_readable(state_dir: Path) -> None:
    # RLIMIT_FSIZE lets a write through in part and fails the next one, as a full disk does.
    path = state_dir / "clawd.log"
    sink = Sink(RotatedFile(path, max_bytes=10_000_000, backups=0), logging.Formatter("%(message)s"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
        for number in range(10):
            sink.handle(logging.makeLogRecord({"msg": f"{number} " + "x" * 50}))
        lost = sink.lost
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    sink.handle(logging.makeLogRecord({"msg": "space again"}))
    sink.close()
    assert lost == 6
    text = path.read_text().splitlines()
    assert text[-2:] == ["log_lines_lost", "space again"]
    assert [line[0] for line in text[:5]] == list("01234")


def test_an_object_that_cannot_be_shown_harms_nobody(state_dir: Path) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with logs_to(state_dir):
        log.info("broken", extra={"object": Broken()})
        log.info("next")
    assert [line["event"] for line in lines(state_dir)] == ["log_lines_lost", "next"]


def test_a_huge_value_is_cut_but_only_after_it_was_cleaned(state_dir: Path) -> None:
    secret = "s3cret-value-of-some-length"
    with logs_to(state_dir, secrets=(secret,)):
        log.info("big", extra={"text": "x" * 19_990 + secret + "y" * 1_000_000})
    text = (state_dir / "clawd.log").read_text()
    assert len(text) < 25_000
    assert "s3cret" not in text


def test_threads_write_whole_lines(state_dir: Path) -> None:
    def work(name: str) -> None:
        for number in range(100):
            log.info("line", extra={"worker": name, "number": number})

    with logs_to(state_dir):
        threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(lines(state_dir)) == 400


def test_closing_puts_everything_back(state_dir: Path) -> None:
    before = (list(logging.getLogger().handlers), sys.excepthook, threading.excepthook)
    with logs_to(state_dir):
        pass
    assert (list(logging.getLogger().handlers), sys.excepthook, threading.excepthook) == before


def test_the_redactor_is_there_for_others(state_dir: Path) -> None:
    with logs_to(state_dir, secrets=("other-secret",)) as logs:
        assert isinstance(logs.redactor, Redactor)
        assert logs.redactor.clean("other-secret") == "***"
