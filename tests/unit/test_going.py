"""How far a long command has come: on stderr, and only where it takes long."""

from io import StringIO

import pytest

from deploy.going import Going


class Screen(StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_command_that_is_soon_done_says_nothing(terminal: bool) -> None:
    screen = Screen(terminal=terminal)
    with Going("读", "reading", 300, stream=screen, clock=lambda: 5.0) as going:
        assert list(range(300)) == list(going.over(range(300)))
    assert "" == screen.getvalue()


def test_on_a_terminal_one_line_is_written_over_and_wiped_away_for_what_is_printed() -> None:
    screen, now = Screen(terminal=True), iter(range(1000))
    with Going("读", "reading", 4000, stream=screen, clock=lambda: next(now)) as going:
        for _ in range(512):
            going.step()
        assert "\r\x1b[K… 读 · reading: 384 / 4,000\r\x1b[K… 读 · reading: 512 / 4,000" == screen.getvalue()
        going.wipe()
        going.wipe()
    assert screen.getvalue().endswith("512 / 4,000\r\x1b[K")
    assert 3 == screen.getvalue().count("\r")


def test_in_a_log_there_is_a_line_now_and_then() -> None:
    screen, now = Screen(terminal=False), iter(range(0, 1000, 10))
    with Going("读", "reading", stream=screen, clock=lambda: next(now)) as going:
        for _ in range(128 * 6):
            going.step()
    assert "… 读 · reading: 384\n… 读 · reading: 768\n" == screen.getvalue()
