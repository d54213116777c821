"""Random events of one small, crowded area, for Hypothesis: few ids, places and skills, so that everything meets everything."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas.codec import Event
from tests import builders as build

HOMES = ["c1", "c1/p1", "c1/p1/b1", "c1/p1/b1/u1", "c1/p1/b1/u2", "c1/p1/b2/u1", "c1/p2/b1/u1", "c2/p1", "c2"]
SKILLS = ["haircut", "repair", "reading"]
# Of this one an area may ask proof.
PROVEN = "reading"
LANGUAGES = ["zh-CN", "sichuan"]
RUNGS = ["unit", "building", "compound", "community", "area"]

wish_ids = st.sampled_from([f"w{number}" for number in range(1, 6)])
offer_ids = st.sampled_from([f"o{number}" for number in range(1, 7)])
skills = st.lists(st.sampled_from(SKILLS), min_size=1, max_size=3, unique=True)
few_skills = st.one_of(st.just(["haircut"]), skills)
languages = st.one_of(st.none(), st.lists(st.sampled_from(LANGUAGES), max_size=2, unique=True))


@st.composite
def stretches(draw: st.DrawFn, shortest: int = 15, at: int = 0) -> tuple[int, int]:
    """A window on a grid of quarters, around noon of the day of `at`, seldom of a day in the week after."""
    day = (at + 120) // build.DAY + draw(st.sampled_from([0] * 10 + [3, 7]))
    start = day * build.DAY + draw(st.sampled_from(range(-60, 600, 15)))
    return start, start + shortest + draw(st.sampled_from(range(0, 300, 15)))


@st.composite
def wishes(draw: st.DrawFn, at: int = 0, wish_id: str | None = None) -> Event:
    """Any wish, more often a simple one."""
    minutes = draw(st.sampled_from([15, 30, 60]))
    more: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        more = {
            "age_band": draw(st.sampled_from(["adult", "under_14", "under_18", "elder"])),
            "lives_alone": draw(st.sampled_from([None, True])),
            "category": draw(st.sampled_from(["household", "left_behind_children", "elder_care"])),
            "vetting_min": draw(st.integers(0, 4)),
            "accompanied": draw(st.booleans()),
            "approval": draw(st.sampled_from(["none", "none", "worker"])),
            "languages": draw(languages),
        }
    return build.wish(
        wish_id or draw(wish_ids),
        at=at,
        where=draw(st.sampled_from(HOMES)),
        skills=draw(few_skills),
        urgency=draw(st.sampled_from(["red", "yellow", "blue"])),
        wanted=draw(stretches(minutes, at)),
        minutes=minutes,
        helpers=draw(st.sampled_from([1, 1, 1, 2, 3, 4])),
        **more,
    )


@st.composite
def offers(draw: st.DrawFn, at: int = 0, offer_id: str | None = None, latest_check: int = 0, *, capped: bool = True) -> Event:
    """Any offer; the last check was made up to `latest_check`, in minutes, and sometimes about a year ago.

    `capped`: some ask for rest between visits, or for not too many of them a week.
    """
    posted = offer_id or draw(offer_ids)
    more: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        lasts = draw(st.lists(st.sampled_from([at - 60, at + 60, at + 240, at + 10 * build.DAY]), min_size=1, max_size=2))
        more["proofs"] = [{"skill": PROVEN, "valid_until": build.text_of(one)} for one in lasts]
    if draw(st.integers(0, 3)) == 0:
        more["organisation"] = draw(st.sampled_from(["中心户三号", "第三党支部"]))
    year = 365 * build.DAY
    caps: dict[str, Any] = {}
    if capped and draw(st.integers(0, 2)) == 0:
        caps = {"rest_minutes": draw(st.sampled_from([None, 0, 15, 45, 300])), "per_week_max": draw(st.sampled_from([None, 1, 2, 3]))}
    return build.offer(
        posted,
        at=at,
        home=draw(st.sampled_from(HOMES)),
        reach=draw(st.sampled_from([*RUNGS, "area", "area"])),
        skills=draw(skills),
        level=draw(st.sampled_from([0, 1, 2, 3, 4, 4, 4])),
        checked=draw(st.one_of(st.just(-60), st.sampled_from(range(-year - 60, -year + 300, 15)), st.integers(-120, latest_check))),
        windows=draw(st.lists(stretches(at=at), min_size=1, max_size=3)),
        capacity=draw(st.integers(1, 3)),
        accepts=draw(st.sampled_from(["auto", "auto", "ask"])),
        volunteer=draw(st.sampled_from([f"p{posted}", f"p{posted}", "p1", "p2"])),
        languages=draw(languages),
        **caps,
        **more,
    )
