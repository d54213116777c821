"""The quality benchmark in small: its streams are what they say, and nobody does better than its optimum."""

import random
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.quality import core, greedy, optimum, report, run
from benchmarks.quality.__main__ import app
from benchmarks.quality.measures import judge, tasks, worth
from benchmarks.quality.optimum import Edge, Optimum
from benchmarks.quality.played import Played
from benchmarks.quality.shapes import POLICIES, SHORT, policies
from deploy.whatif.counting import gini
from deploy.whatif.generator import Shape, Stream, earliest, generate
from deploy.whatif.weight import weight
from deploy.whatif.weight import worth as worth_to
from services.matcher.core import score
from services.matcher.core.place import rung_between
from services.matcher.core.policy import Policy
from services.matcher.core.state import WEEK_US

SMALL = Shape("small", days=1, wishes=60, supply=1.5)
SUPPLIES = (0.5, 1.5, 4.0)


def played_by_all(stream: Stream) -> list[Played]:
    return [greedy.play(stream), *(core.play(stream, name, policy) for name, policy in policies(POLICIES).items())]


def gained(stream: Stream, played: Played) -> int:
    return sum(worth(stream, pair) for pair in played.pairs)


def best_by_trying_all(possible: list[Edge], need: dict[str, int], visits: dict[str, int], people: dict[str, str] | None = None) -> int:
    best = 0
    for size in range(1, len(possible) + 1):
        for chosen in combinations(possible, size):
            wishes = [edge.wish for edge in chosen]
            offers = [edge.offer for edge in chosen]
            helped = {(edge.wish, people[edge.offer] if people else edge.offer) for edge in chosen}
            within = all(wishes.count(one) <= need[one] for one in wishes) and all(offers.count(one) <= visits[one] for one in offers)
            if within and len(helped) == len(chosen):
                best = max(best, sum(edge.weight for edge in chosen))
    return best


def test_the_same_seed_gives_the_same_events_byte_for_byte() -> None:
    assert [repr(one) for one in generate(SMALL, 3).events()] == [repr(one) for one in generate(SMALL, 3).events()]


def test_another_seed_gives_another_stream() -> None:
    assert generate(SMALL, 3).wishes != generate(SMALL, 4).wishes


def test_a_stream_offers_as_many_visits_as_its_supply_says() -> None:
    stream = generate(SMALL, 3)
    places = sum(wish.need for wish in stream.wishes.values())
    visits = sum(offer.visits for offer in stream.offers.values())
    assert 0 <= visits - 1.5 * places < 3


def test_a_helper_makes_no_more_visits_of_one_offer_than_it_is_good_for() -> None:
    # `per_week_max` says so, as long as no two visits of an offer are a week apart.
    offers = generate(SMALL, 3).offers.values()
    assert 7 == min(len(offer.windows) for offer in offers)
    assert max(offer.windows[-1][1] - offer.windows[0][0] for offer in offers) < WEEK_US


def test_an_asked_helper_says_the_same_to_everyone() -> None:
    stream = generate(replace(SMALL, asked=1.0), 3)
    wish, offer = next(iter(stream.wishes.values())), next(iter(stream.offers.values()))
    assert stream.answer(wish, offer) == stream.answer(wish, offer)


@pytest.mark.parametrize("supply", SUPPLIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_does_better_than_the_optimum(supply: float, seed: int) -> None:
    stream = generate(replace(SMALL, supply=supply), seed)
    best = optimum.solve(stream).weight
    assert {} == {played.contender: gained(stream, played) for played in played_by_all(stream) if gained(stream, played) > best}


@pytest.mark.parametrize("supply", SUPPLIES)
def test_every_match_of_everyone_keeps_the_rules(supply: float) -> None:
    stream = generate(replace(SMALL, supply=supply), 5)
    for played in played_by_all(stream):
        assert [] == [pair for pair in played.pairs if not keeps_the_rules(stream, pair.wish, pair.offer, pair.proposed_at)], played.contender
        offers = [pair.offer for pair in played.pairs]
        assert [] == [one for one in set(offers) if offers.count(one) > stream.offers[one].visits], played.contender


def keeps_the_rules(stream: Stream, wish_id: str, offer_id: str, at: int) -> bool:
    wish, offer = stream.wishes[wish_id], stream.offers[offer_id]
    fits = wish.skills <= offer.skills and wish.vetting <= offer.level and rung_between(wish.place, offer.home) <= offer.reach
    return fits and at >= max(wish.at, offer.at) and earliest(wish, offer, at) is not None and stream.answer(wish, offer).yes is True


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_what_trying_everything_finds(seed: int) -> None:
    stream = generate(Shape("tiny", days=1, wishes=7, supply=1.2), seed)
    possible = optimum.edges(stream)[:14]
    need = {edge.wish: stream.wishes[edge.wish].need for edge in possible}
    visits = {edge.offer: stream.offers[edge.offer].visits for edge in possible}
    found = optimum.heaviest(possible, need, visits)
    assert best_by_trying_all(possible, need, visits) == sum(edge.weight for edge in found)


def test_the_optimum_leaves_an_easy_wish_to_the_helper_who_can_do_nothing_else() -> None:
    possible = [Edge("easy", "plumber", 5), Edge("easy", "neighbour", 4), Edge("pipe", "plumber", 5)]
    found = optimum.heaviest(possible, {"easy": 1, "pipe": 1}, {"plumber": 1, "neighbour": 1})
    assert {("easy", "neighbour"), ("pipe", "plumber")} == {(edge.wish, edge.offer) for edge in found}


def test_the_optimum_sends_nobody_twice_to_one_wish() -> None:
    possible = [Edge("two", "o1", 9), Edge("two", "o2", 4), Edge("two", "o3", 5), Edge("one", "o3", 1)]
    found = optimum.heaviest(possible, {"two": 2, "one": 1}, {"o1": 2, "o2": 1, "o3": 1}, {"o1": "anna", "o2": "anna", "o3": "berta"})
    assert {("two", "o1"), ("two", "o3")} == {(edge.wish, edge.offer) for edge in found}


@pytest.mark.parametrize("seed", range(30))
def test_the_optimum_of_wishes_for_several_is_what_trying_everything_finds(seed: int) -> None:
    draw = random.Random(seed)
    need = {f"w{number}": draw.choice((1, 2, 3)) for number in range(3)}
    visits = {f"o{number}": draw.choice((1, 2, 3)) for number in range(5)}
    people = {offer: draw.choice(("anna", "berta", "carla")) for offer in visits}
    pairs = draw.sample([(one, other) for one in need for other in visits], 11)
    possible = [Edge(one, other, draw.randint(1, 30)) for one, other in pairs]
    found = optimum.heaviest(possible, need, visits, people)
    assert best_by_trying_all(possible, need, visits, people) == sum(edge.weight for edge in found)


def test_nothing_possible_is_an_optimum_of_nothing() -> None:
    assert [] == optimum.heaviest([], {}, {})


def test_a_match_is_worth_more_than_none_and_more_the_nearer_and_the_better_it_fits() -> None:
    worths = [weight(rung, spare) for rung in range(5) for spare in (0, 3, 19)]
    assert min(worths) > 0
    assert [weight(rung, 0) for rung in range(5)] == sorted((weight(rung, 0) for rung in range(5)), reverse=True)
    assert weight(2, 0) > weight(2, 1) > weight(2, 4)


def test_a_match_counts_the_more_the_more_urgent_the_wish() -> None:
    assert [3 * weight(2, 1), 2 * weight(2, 1), weight(2, 1)] == [worth_to(urgency, 2, 1) for urgency in ("red", "yellow", "blue")]


def test_the_core_and_its_judge_mean_the_same_by_a_matchs_worth() -> None:
    pairs = [(rung, spare) for rung in range(5) for spare in range(20)]
    assert [weight(*pair) for pair in pairs] == [score.weight(*pair) for pair in pairs]


@pytest.mark.parametrize(("numbers", "expected"), [([1, 1, 1, 1], 0.0), ([0, 0, 0, 4], 0.75), ([0, 0], 0.0)])
def test_gini_tells_how_unevenly_tasks_are_spread(numbers: list[int], expected: float) -> None:
    assert expected == pytest.approx(gini(numbers))


def test_helpers_without_a_task_are_counted_too() -> None:
    stream = generate(SMALL, 3)
    assert {offer.volunteer for offer in stream.offers.values()} != set()
    assert [0] * len({offer.volunteer for offer in stream.offers.values()}) == tasks(stream, [])


def test_a_contender_that_does_nothing_is_judged_as_such() -> None:
    stream = generate(SMALL, 3)
    quality = judge([(stream, optimum.solve(stream), Played("idle"))])
    assert (0.0, 0.0, 1.0) == (quality.ratio, quality.matched_ratio, quality.zero_share)
    assert quality.oldest_hours > 0


def test_the_optimum_judged_as_a_contender_comes_to_one() -> None:
    stream = generate(SMALL, 3)
    best = optimum.solve(stream)
    assert isinstance(best, Optimum)
    assert best.weight == sum(edge.weight for edge in best.edges)
    assert best.matched == len(best.edges)


def test_red_wishes_are_told_of_at_once_by_the_core() -> None:
    stream = generate(replace(SMALL, wishes=200, supply=4.0), 3)
    waits = core.play(stream, "at once", Policy.at_once()).red_waits
    assert len(waits) > 5
    assert {0} == set(waits.values())


def test_a_run_is_saved_with_its_picture_and_published_into_the_page(tmp_path: Path) -> None:
    shapes = [replace(shape, wishes=30, helpers=min(shape.helpers, 30)) for shape in SHORT]
    found = run.measure(shapes, policies(["at once"]), 1, lambda _: None)
    saved = report.save(found, report.tables(found, "at once"), 1, tmp_path)
    page, picture = tmp_path / "page.md", tmp_path / "quality.svg"
    page.write_text(f"before\n{report.BEGIN}\nto be replaced\n{report.END}\nafter\n", encoding="utf-8")
    report.publish(saved, page, picture)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "to be replaced" not in text
    assert "greedy by nearest" in text
    assert "(quality.svg)" in text
    assert "<svg" in picture.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [None, b"no result", b"[]", b'{"machine": 1}'])
def test_a_result_that_is_none_is_told_in_a_line(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "nope.json"
    if content is not None:
        file.write_bytes(content)
    told = CliRunner().invoke(app, ["publish", str(file)])
    plain = re.sub(r"[│\s]", "", told.output)
    assert (2, True, True) == (told.exit_code, "nope.json" in plain, "namearesultfile" in plain), told.output
