"""The sentence beside a chart of the monitor says what holds."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.gateway.board import charts

HOUR = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.mark.parametrize(("median", "within"), [("0.04", 1), ("0.9", 1), ("1.2", 2), ("7", 7)])
def test_a_wait_is_told_in_minutes_that_hold_and_never_as_none(median: str, within: int) -> None:
    chart = charts.waits([{"hour": HOUR, "wishes": 3, "confirmed": 3, "median": Decimal(median)}], HOUR)
    assert (f"通常 {within} 分钟内确认", f"usually confirmed within {within} min") == chart.sum
