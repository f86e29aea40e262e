"""Progress of long work, in a log and on a terminal."""

import os
import pty
import termios
import time

import pytest

from diffae.system import progress
from diffae.system.progress import shown


@pytest.mark.parametrize(
    ("total", "size", "first"),
    [
        (4, lambda item: 1, "a: 1 of 4 images, "),
        (8000, lambda item: 2000, "a: 2,000 of 8,000 images, "),
    ],
)
def test_a_log_has_a_line_from_time_to_time(total, size, first, monkeypatch, capsys):
    assert list(shown(range(4), "a", "images", total, size)) == [0, 1, 2, 3]
    assert capsys.readouterr().err == ""  # the work took no minute
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    list(shown(range(4), "a", "images", total, size))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[0].startswith(first)


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    with open(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        for _ in shown(range(3), "samples", "images", 3):
            time.sleep(0.6)  # a bar appears after a second
        terminal.flush()
        told = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "samples: " in told and "/3" in told and " left" not in told
