"""Instants: RFC 3339 in, whole microseconds inside, RFC 3339 in UTC out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.instants import SECOND_US, micros, parse_rfc3339, rfc3339

MOMENTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - bounds without a zone; each example gets its own
    datetime(9998, 12, 30),  # noqa: DTZ001 - the same
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1970-01-01t00:00:01z", SECOND_US),
        ("1970-01-01 00:00:01-00:00", SECOND_US),
        ("2026-11-23T08:00:00+08:00", 1_795_392_000 * SECOND_US),
        ("2026-11-22T19:15:00-04:45", 1_795_392_000 * SECOND_US),
        ("2026-11-23T00:00:00.5Z", 1_795_392_000 * SECOND_US + 500_000),
        ("2026-11-23T00:00:00.0000019Z", 1_795_392_000 * SECOND_US + 1),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND_US),
    ],
)
def test_reads_rfc_3339(text: str, instant: int) -> None:
    assert instant == parse_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T08:00:00",
        "2026-11-23T08:00Z",
        "2026-11-23T08Z",
        "20261123T080000Z",
        "2026-11-23_08:00:00Z",
        "2026-11-23T08:00:00+0800",
        "2026-11-23T08:00:00+08",
        "2026-11-23T08:00:00+24:00",
        "2026-11-23T08:00:00.Z",
        "2026-11-23T08:00:00,5Z",
        "2026-11-23T08:00:60Z",
        "2026-12-31T23:59:60Z",
        "2026-11-23T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+08:00",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "2026-W48-1T00:00:00Z",
        "２０２６-11-23T08:00:00Z",
        "2026-11-23T08:00:00Z\n",
        " 2026-11-23T08:00:00Z",
        "1795392000",
    ],
)
def test_refuses_what_is_not_rfc_3339_with_an_offset_in_its_years(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


def test_writes_utc_with_six_decimals_only_where_there_is_a_fraction() -> None:
    assert "2026-11-23T00:00:00Z" == rfc3339(1_795_392_000 * SECOND_US)
    assert "2026-11-23T00:00:00.000001Z" == rfc3339(1_795_392_000 * SECOND_US + 1)


@given(MOMENTS)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_as_the_same_instant(moment: datetime) -> None:
    instant = micros(moment)

    assert instant == parse_rfc3339(rfc3339(instant)) == parse_rfc3339(moment.isoformat())
    assert moment.astimezone(UTC) == datetime.fromisoformat(rfc3339(instant))


@given(MOMENTS, MOMENTS)
@settings(max_examples=200, deadline=None)
def test_instants_are_ordered_as_their_datetimes_are(one: datetime, other: datetime) -> None:
    assert (one < other) == (micros(one) < micros(other))
