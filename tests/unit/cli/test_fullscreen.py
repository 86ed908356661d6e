"""The whole screen: what wakes who waits on it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from clawd.cli.fullscreen import FullScreen


def test_a_window_of_another_size_wakes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with FullScreen() as screen:
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGWINCH)).start()
        assert screen.wait(20) == "changed"
        assert screen.wait(0) == "time"
    assert signal.getsignal(signal.SIGWINCH) == signal.SIG_DFL
    assert capsys.readouterr().out.startswith("\x1b[?1049h")


def test_a_picture_is_one_write_that_clears_nothing_it_will_draw(capsys: pytest.CaptureFixture[str]) -> None:
    with FullScreen() as screen:
        capsys.readouterr()
        screen.draw(["one", "two"])
        assert capsys.readouterr().out == "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"
        screen.draw([str(number) for number in range(99)])
        assert capsys.readouterr().out.count("\n") == screen.size[1] - 1
