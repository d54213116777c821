"""Ten thousand simulated towns and five thousand children, without a broken promise: computed ahead of the other tests (`tests/ahead.py`), awaited here."""

from __future__ import annotations

import pytest

from tests import ahead


# It takes as long as it takes: only that it comes to an end is asked for.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", [ahead.SIMULATOR, ahead.CHILDREN], ids=lambda command: command[0])
def test_no_promise_is_broken(command: tuple[str, ...]) -> None:
    code, said = ahead.outcome(command)
    assert 0 == code, said
    assert "0 violations" in said
