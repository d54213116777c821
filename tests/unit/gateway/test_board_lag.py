"""How far the board is behind, as /metrics tells it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.gateway.board.__main__ import measure


def test_how_far_the_board_is_behind_is_asked_whenever_metrics_are() -> None:
    registry, lags = CollectorRegistry(), iter([None, 7, 0])
    measure(registry, lambda: next(lags))
    assert [0.0, 7.0, 0.0] == [registry.get_sample_value("lastmetre_board_lag_records") for _ in range(3)]
