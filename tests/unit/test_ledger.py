"""The ledger in sentences: what a visit is worth, and that every transaction takes from one account what it gives to another."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import Outcome
from services.notifier.ledger import Booked, Entry, Transaction, booking, sums
from services.notifier.visits import By, End, Visit
from services.runtime import BadSettings, load_settings
from services.tariff import Tariff, TariffSettings
from tests.unit.test_visits import VISIT

TARIFF = Tariff()
THEIRS, OURS = "volunteer/hightech/v-1", "community/hightech"


def closed(minutes: int, outcome: Outcome = "done", by: By = "resident") -> End:
    return End(outcome, minutes, by, 0)


def numbered(number: int) -> Visit:
    return replace(VISIT, number=number)


def changes(transaction: Transaction) -> dict[tuple[str, str], int]:
    return {(entry.account, entry.unit): entry.amount for entry in transaction.entries}


# ---- the tariff


@pytest.mark.parametrize(("minutes", "counted"), [(-1, 0), (0, 0), (119, 119), (120, 120), (121, 120), (1440, 120)])
def test_two_hours_of_a_visit_count_at_most(minutes: int, counted: int) -> None:
    assert counted == TARIFF.counted(minutes)


@pytest.mark.parametrize(("minutes", "points"), [(0, 0), (1, 2), (15, 25), (20, 33), (40, 67), (60, 100), (90, 150), (120, 200)])
def test_an_hour_is_a_point_in_hundredths(minutes: int, points: int) -> None:
    assert points == TARIFF.points(minutes)


def test_half_a_hundredth_is_rounded_up() -> None:
    assert [1, 1, 2] == [Tariff(points_per_hour=30).points(minutes) for minutes in (1, 2, 3)]


@pytest.mark.parametrize(("hours", "stars"), [(0, 0), (99, 0), (100, 1), (299, 1), (300, 2), (600, 3), (1000, 4), (1499, 4), (1500, 5), (9000, 5)])
def test_hours_make_stars(hours: int, stars: int) -> None:
    assert stars == TARIFF.stars(hours * 60)


def test_a_minute_short_of_a_star_is_no_star() -> None:
    assert (0, 1) == (TARIFF.stars(100 * 60 - 1), TARIFF.stars(100 * 60))


# ---- the settings


def test_the_tariff_is_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Tariff() == load_settings(TariffSettings).tariff
    for name, value in (("POINTS_PER_HOUR", "1.5"), ("VISIT_MINUTES_MAX", "180"), ("STAR_HOURS", "10, 20,30,40,50")):
        monkeypatch.setenv(f"LASTMETRE_{name}", value)
    found = load_settings(TariffSettings).tariff
    assert Tariff(150, 180, (10, 20, 30, 40, 50)) == found
    assert (1, 5) == (found.stars(19 * 60), found.stars(50 * 60))


@pytest.mark.parametrize("value", ["100,300,600,1000", "100,300,600,1000,1500,2000", "100,300,300,1000,1500", "0,1,2,3,4", "100,x,600,1000,1500", "-5,1,2,3,4"])
def test_stars_that_do_not_rise_are_refused_with_the_way_to_write_them(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LASTMETRE_STAR_HOURS", value)
    with pytest.raises(BadSettings, match=r"LASTMETRE_STAR_HOURS 不合规：填一至五星.* use the hours for one to five stars"):
        load_settings(TariffSettings)


# ---- booking


def test_a_visit_gives_the_volunteer_what_the_community_owes() -> None:
    booked = booking(numbered(1), closed(90), None, TARIFF)
    assert {(THEIRS, "minutes"): 90, (OURS, "minutes"): -90, (THEIRS, "points"): 150, (OURS, "points"): -150} == changes(booked)
    assert not booked.is_correction


def test_a_visit_without_minutes_is_booked_without_entries() -> None:
    assert () == booking(numbered(1), closed(0, by="default"), None, TARIFF).entries
    assert () == booking(numbered(1), closed(45, "not_done"), None, TARIFF).entries


def test_a_correction_books_the_difference() -> None:
    booked = booking(numbered(2), closed(30), Booked(90, 150, TARIFF), TARIFF)
    assert {(THEIRS, "minutes"): -60, (OURS, "minutes"): 60, (THEIRS, "points"): -100, (OURS, "points"): 100} == changes(booked)
    assert booked.is_correction


def test_what_turns_out_not_done_is_taken_back_whole() -> None:
    assert {THEIRS: -150, OURS: 150} == {
        e.account: e.amount for e in booking(numbered(2), closed(0, "not_done"), Booked(90, 150, TARIFF), TARIFF).entries if e.unit == "points"
    }


def test_a_correction_that_changes_no_amount_has_no_entries() -> None:
    assert () == booking(numbered(2), closed(200, "partly"), Booked(120, 200, TARIFF), TARIFF).entries


def test_a_correction_keeps_to_the_tariff_of_the_first_booking() -> None:
    doubled = Tariff(points_per_hour=200, minutes_max=60)
    booked = booking(numbered(2), closed(0, "not_done"), Booked(90, 150, TARIFF), doubled)
    assert {("minutes", -90), ("points", -150)} == {(e.unit, e.amount) for e in booked.entries if e.account == THEIRS}
    assert TARIFF == booked.tariff


def test_each_booking_of_a_match_has_an_id_of_its_own_and_a_repeat_the_same() -> None:
    first, second = (booking(numbered(number), closed(60), None, TARIFF).id for number in (1, 2))
    assert first != second
    assert first == booking(numbered(1), closed(30), None, TARIFF).id


def test_sums_find_what_does_not_add_up() -> None:
    assert {"minutes": 1, "points": 0} == sums([Entry(THEIRS, "minutes", 1), Entry(THEIRS, "points", 5), Entry(OURS, "points", -5)])


_ends = st.lists(st.builds(closed, st.integers(0, 1440), st.sampled_from(["done", "partly", "not_done"])), min_size=1, max_size=6)
_tariffs = st.builds(Tariff, st.integers(0, 1000), st.integers(1, 1440))


@given(_ends, st.lists(_tariffs, min_size=6, max_size=6))
def test_sums_are_always_zero_and_the_balance_is_what_the_last_end_is_worth(ends: list[End], tariffs: list[Tariff]) -> None:
    balance: Counter[str] = Counter()
    before: Booked | None = None
    for number, (one, tariff) in enumerate(zip(ends, tariffs, strict=False), 1):
        transaction = booking(numbered(number), one, before, tariff)
        assert {0} >= set(sums(transaction.entries).values())
        for entry in transaction.entries:
            assert entry.amount != 0
            balance[entry.unit] += entry.amount * (entry.account == THEIRS)
        before = Booked(balance["minutes"], balance["points"], transaction.tariff)
    last, first = ends[-1], tariffs[0]
    minutes = 0 if last.outcome == "not_done" else first.counted(last.minutes)
    assert (minutes, first.points(minutes)) == (balance["minutes"], balance["points"])
