"""What must hold after a storm: looked up in PostgreSQL, on Kafka, at the receiver of the notices, and by the separate checker."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from deploy.cli import SAMPLE_DAY_POLICY
from deploy.play_results import Results
from deploy.player import Player
from tests.chaos.load import SOURCE, Load
from tests.chaos.played import replay
from tests.chaos.rig import LOOK_SECONDS, Rig
from tests.checker import check
from tests.integration.notifier_rig import Sink

# By the wall clock the day is not over when we look: wishes wait on. And a release takes as long to reach the notifier as that needs to
# come back: what it confirms meanwhile is confirmed, though a minute may have passed.
BY_THE_WALL = {"expiry/missing", "confirmation/released"}
_SHOWN_MAX = 20

_TAKEN_IN = "SELECT event_id, count(*) AS times FROM matching.journal WHERE source = $1 AND outcome <> 'duplicate' GROUP BY event_id"
_WISHES = "SELECT wish_id FROM matching.wishes"
_CROWDED = """
    SELECT wish_id FROM matching.matches WHERE state <> 'released' GROUP BY area, wish_id, need
    HAVING count(*) > need OR count(*) > count(DISTINCT volunteer_ref)
"""
_OVERBOOKED = """
    SELECT o.offer_id FROM matching.offers o LEFT JOIN matching.matches m ON m.area = o.area AND m.offer_id = o.offer_id AND m.live
    GROUP BY o.area, o.offer_id, o.capacity, o.live HAVING count(m.match_id) > o.capacity OR count(m.match_id) <> o.live
"""
_DOUBLE_BOOKED = """
    SELECT a.match_id FROM matching.matches a JOIN matching.matches b ON a.area = b.area AND a.volunteer_ref = b.volunteer_ref
    AND a.match_id < b.match_id AND a.live AND b.live AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at
"""
_CONFIRMED_HERE = "SELECT match_id FROM matching.matches WHERE state = 'confirmed'"
_CONFIRMED_THERE = "SELECT match_id FROM notifying.confirmations WHERE state = 'confirmed'"
_ROUND_SOON = """
    SELECT area, lane, round_at / 1000000 - extract(epoch FROM now())::bigint AS seconds FROM matching.areas
    WHERE round_at < (extract(epoch FROM now()) + 30) * 1000000
"""
_ROUNDS_SECONDS = 60.0
_UNTOLD = """
    SELECT m.match_id FROM matching.matches m WHERE m.state IN ('proposed', 'agreed') AND m.answered AND m.approved
    AND NOT EXISTS (SELECT FROM notifying.confirmations c WHERE c.match_id = m.match_id AND c.state IN ('confirmed', 'failed'))
"""


async def _let_rounds_rest(rig: Rig) -> None:
    """The clock here is the wall's: a round in the middle of reading would decide what is read already."""
    given_up_at = time.monotonic() + _ROUNDS_SECONDS
    while soon := await rig.query(_ROUND_SOON):
        if time.monotonic() > given_up_at:
            rig.told(f"{len(soon)} areas still have a round to come, such as {dict(soon[0])}")
            return
        await asyncio.sleep(LOOK_SECONDS)


def _shown(what: str, found: Iterable[object]) -> list[str]:
    listed = sorted(map(str, found))
    return [f"{what}: {len(listed)}, such as {listed[:_SHOWN_MAX]}"] if listed else []


async def of(rig: Rig, out: Path) -> str:
    """End the load, let everything settle, then look everywhere; tells how much was looked at.

    Raises:
        AssertionError: a promise is broken; the message names each, with ids.
        Trouble: it does not settle.
    """
    await rig.end_load()
    async with Player(rig.stack) as player:
        player.published, player.sent_at = len(rig.load.acknowledged), rig.load.sent_at
        await _let_rounds_rest(rig)
        await player.settle()
        results = await player.results(0.0)
    results.write(out)
    report = check(out)
    faults = [str(one) for one in report.violations if one.rule not in BY_THE_WALL][:_SHOWN_MAX]
    faults += await _nothing_lost(rig, results)
    faults += await _promises(rig)
    faults += _confirmed_once(results.records["confirmations.jsonl"])
    confirmed = {row["match_id"] for row in await rig.query(_CONFIRMED_THERE)}
    faults += _told_once(rig.sink, confirmed)
    faults += _read_again(rig.stack.state.logs)
    assert not faults, "\n".join([f"seed {rig.load.seed}, files in {out}", *faults])
    told = sum(rig.sink.accepted.values())
    counts = {
        "events sent": len(rig.load.acknowledged),
        "journalled": len(results.journal),
        "proposals judged": report.counts["proposals judged"],
        "confirmed": len(confirmed),
        "notices": len(rig.sink.accepted),
        "sent again under the same key": told - len(rig.sink.accepted),
    }
    await replay(out / "journal.jsonl", SAMPLE_DAY_POLICY)
    assert confirmed, "nothing was confirmed: this storm proves nothing"
    return "all right: " + ", ".join(f"{what} {number}" for what, number in counts.items())


async def _nothing_lost(rig: Rig, results: Results) -> list[str]:
    load: Load = rig.load
    times = {row["event_id"]: row["times"] for row in await rig.query(_TAKEN_IN, SOURCE)}
    sent = {one.event_id for one in load.acknowledged if one.event_id is not None}
    wishes = {one.subject for one in load.acknowledged if one.kind == "wish.submitted"}
    poison = sum(1 for one in load.acknowledged if one.event_id is None)
    dead = results.summary["dead_letters"]
    faults = _shown("events lost", sent - times.keys())
    faults += _shown("events that took effect twice", (event for event, count in times.items() if count > 1))
    faults += _shown("wishes lost", wishes - {row["wish_id"] for row in await rig.query(_WISHES)})
    if dead < poison or dead > poison + load.failures:
        faults.append(f"{poison} bad records were sent (and {load.failures} perhaps), {dead} are in the dead letters")
    return faults


async def _promises(rig: Rig) -> list[str]:
    here = {row["match_id"] for row in await rig.query(_CONFIRMED_HERE)}
    there = {row["match_id"] for row in await rig.query(_CONFIRMED_THERE)}
    return [
        *_shown("wishes with too many helpers, or one twice", (row[0] for row in await rig.query(_CROWDED))),
        *_shown("offers beyond their capacity, or miscounted", (row[0] for row in await rig.query(_OVERBOOKED))),
        *_shown("volunteers in two places at once", (row[0] for row in await rig.query(_DOUBLE_BOOKED))),
        *_shown("matches confirmed to the matcher alone", here - there),
        *_shown("matches that stand, of which nobody was told", (row[0] for row in await rig.query(_UNTOLD))),
    ]


def _read_again(logs: Path) -> list[str]:
    """Kafka lost nothing: whoever took a place up again was to go on where it had come to."""
    return _shown("logs that were taken for others", (line for log in logs.glob("*.log*") for line in log.read_text().splitlines() if "log_rewound" in line))


def _confirmed_once(records: list[dict[str, Any]]) -> list[str]:
    """A repeated record of one event is no second confirmation; another event's is."""
    ends: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for record in records:
        if record["headers"]["ce_type"] in {"lastmetre.match.confirmed.v1", "lastmetre.confirmation.failed.v1"}:
            ends[record["value"]["match_id"]].add((record["headers"]["ce_type"], record["headers"]["ce_id"]))
    return _shown("matches confirmed twice, or confirmed and failed", (match for match, found in ends.items() if len(found) > 1))


def _told_once(sink: Sink, confirmed: set[str]) -> list[str]:
    """Receivers act once a key: so one key, and one text, for each match, party and kind."""
    keys: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for key, bodies in sink.bodies.items():
        for body in map(orjson.loads, bodies):
            if body["match_id"] is not None and key in sink.accepted:
                keys[body["match_id"], body["to"], body["kind"]].add(key)
    wanted = {(match, party, "confirmed") for match in confirmed for party in ("resident", "volunteer")}
    return [
        *_shown("notices under a second key", (place for place, found in keys.items() if len(found) > 1)),
        *_shown("keys with two texts", (key for key, bodies in sink.bodies.items() if len(bodies) > 1)),
        *_shown("confirmed, but never told", wanted - keys.keys()),
        *([f"{sink.forged} notices with a wrong signature"] if sink.forged else []),
    ]
