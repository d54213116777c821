"""Seeded input files for `play`, each line with what is expected of it.

`python -m tests.checker.generate --seed N --events 2000 OUT.jsonl` writes OUT.jsonl and, beside it, OUT.expect.json: a
list with one object a line of the file: `line` (from 0), `minute`, `kind`, `expect` (`valid`, `duplicate_of` with `of`,
or `invalid` with `reason` where the contract names a code), and `mended` where its partitionkey was wrong.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from datetime import timedelta
from pathlib import Path

from tests.checker import scenes
from tests.checker.badlines import bad_line, too_large
from tests.checker.town import AREAS, BASE, Draft, Town
from tests.checker.wire import JsonObject

SPAN_MINUTES = 2 * 24 * 60
MINUTES = 400
BAD_SHARE, DUPLICATE_SHARE, SCENE_SHARE = 0.07, 0.05, 0.45
MENDED_SHARE = 0.03


def generate(seed: int, events: int, accepts: str = "mixed", minutes_max: int = MINUTES) -> list[Draft]:
    """The drafts of a file of so many lines, in the order of the file; they fall into `minutes_max` minutes at most.

    Lines stand minute by minute of event time and in any order within one; a duplicate comes after its original.
    """
    town = Town(seed, accepts)
    minutes = sorted(town.rng.sample(range(SPAN_MINUTES), max(scenes.LONGEST * 2, min(minutes_max, events))))
    drafts = _scenes(town, minutes, int(events * SCENE_SHARE))
    bad = max(1, int(events * BAD_SHARE))
    duplicates = int(events * DUPLICATE_SHARE)
    drafts += _background(town, minutes, events - bad - duplicates - len(drafts))
    for draft in drafts:
        if town.rng.random() < MENDED_SHARE:
            _lead_astray(town, draft)
    drafts += [bad_line(town, town.rng.choice(minutes), which) for which in range(bad - 1)]
    drafts.append(too_large(town, town.rng.choice(minutes)))
    originals = town.rng.choices([draft for draft in drafts if draft.expect == "valid"], k=duplicates)
    drafts += [_again(town, original, minutes) for original in originals]
    town.rng.shuffle(drafts)
    # An original before its repeats of the same minute: the sort is stable.
    drafts.sort(key=lambda draft: (draft.minute, draft.expect == "duplicate_of"))
    return _shuffled_repeats(town, drafts)


def _scenes(town: Town, minutes: list[int], lines: int) -> list[Draft]:
    drafts: list[Draft] = []
    number = town.rng.randrange(len(scenes.SCENES))
    while True:
        scene = scenes.SCENES[number % len(scenes.SCENES)]
        number += 1
        start = town.rng.randrange(len(minutes) - scenes.LONGEST)
        told = scenes.play(town, scene, minutes[start : start + scenes.LONGEST])
        if len(drafts) + len(told) > lines:
            return drafts
        drafts += told


def _background(town: Town, minutes: list[int], lines: int) -> list[Draft]:
    """Wishes and offers as they come, and words about some of them in later minutes."""
    drafts: list[Draft] = []
    wishes: list[tuple[int, JsonObject]] = []
    offers: list[tuple[int, JsonObject]] = []
    for minute in sorted(town.rng.choices(minutes, k=lines)):
        known = [data for at, data in wishes if at < minute][-60:]
        own = [data for at, data in offers if at < minute][-60:]
        kind = town.rng.choices(("wish", "offer", "word"), (5, 3, 2))[0]
        if kind == "word" and known and own:
            drafts.append(_word(town, minute, known, own))
        elif kind == "offer":
            offers.append((minute, town.any_offer(minute)))
            drafts.append(town.event("offer.posted", offers[-1][1], minute))
        else:
            wishes.append((minute, town.any_wish(minute)))
            drafts.append(town.event("wish.submitted", wishes[-1][1], minute))
    return drafts


def _word(town: Town, minute: int, wishes: list[JsonObject], offers: list[JsonObject]) -> Draft:
    rng = town.rng
    wish = rng.choice(wishes)
    near = [offer for offer in offers if offer["area"] == wish["area"]]
    offer = rng.choice(near or offers)
    pair = {"area": wish["area"], "wish_id": wish["wish_id"], "offer_id": offer["offer_id"]}
    of_wish = {"area": wish["area"], "wish_id": wish["wish_id"]}
    of_offer = {"area": offer["area"], "offer_id": offer["offer_id"]}
    cases: tuple[tuple[str, JsonObject, int], ...] = (
        ("wish.claimed", pair | {"claim_id": town.name("claim")}, 6),
        ("wish.withdrawn", of_wish, 2),
        ("consent.withdrawn", of_wish | {"reason": "不再同意"}, 1),
        ("offer.withdrawn", of_offer, 1),
        ("offer.suspended", of_offer, 1),
        ("offer.posted", offer | {"capacity": rng.randint(1, 5), "reach": rng.choice(("compound", "area"))}, 2),
        ("match.accepted", pair, 2),
        ("match.declined", pair, 1),
        ("service.finished", pair | {"minutes": 50}, 1),
    )
    kind, data, _ = rng.choices(cases, [case[2] for case in cases])[0]
    return town.event(kind, copy.deepcopy(data), minute)


def _lead_astray(town: Town, draft: Draft) -> None:
    """Give a valid event another area's partition key: it must be mended."""
    if draft.event is None or draft.expect != "valid":
        return
    area = draft.event["data"]["area"]
    draft.event["partitionkey"] = town.rng.choice([other for other in AREAS if other != area])
    draft.mended = True


def _again(town: Town, original: Draft, minutes: list[int]) -> Draft:
    """The same (source, id): as it was in its minute, or later with a new time and maybe other content."""
    event = copy.deepcopy(original.event)
    assert event is not None
    later = [minute for minute in minutes if minute > original.minute]
    minute = original.minute
    if later and town.rng.random() < 0.6:
        minute = town.rng.choice(later[:50])
        event["time"] = town.stamp(town.at(minute))
        if "urgency" in event["data"]:
            event["data"]["urgency"] = "blue"
    elif "urgency" in event["data"] and town.rng.random() < 0.5:
        # Another wish by its name, and sorted before the first; or the same name elsewhere.
        if town.rng.random() < 0.5:
            event["subject"] = event["data"]["wish_id"] = f"a-{event['data']['wish_id']}"
        else:
            event["partitionkey"] = event["data"]["area"] = town.rng.choice(AREAS)
    mended = event["partitionkey"] != event["data"]["area"]
    return Draft(minute, event, original.kind, expect="duplicate_of", original=original, mended=mended)


def _shuffled_repeats(town: Town, drafts: list[Draft]) -> list[Draft]:
    """Spread repeats over their minute, each still after its original."""
    for at, draft in enumerate(drafts):
        if draft.original is None or draft.original.minute != draft.minute:
            continue
        first = drafts.index(draft.original)
        if at - first > 1:
            drafts.insert(town.rng.randint(first + 1, at), drafts.pop(at))
    return drafts


def line_of(draft: Draft) -> bytes:
    """The bytes of the line, without its end."""
    if draft.raw is not None:
        return draft.raw
    return json.dumps(draft.event, ensure_ascii=False, separators=(",", ":")).encode()


def expectations(drafts: list[Draft]) -> list[JsonObject]:
    """What is expected of each line, by its number."""
    numbers = {id(draft): number for number, draft in enumerate(drafts)}
    expected: list[JsonObject] = []
    for number, draft in enumerate(drafts):
        minute = (BASE + timedelta(minutes=draft.minute)).isoformat()
        one: JsonObject = {"line": number, "minute": minute, "kind": draft.kind, "expect": draft.expect}
        if draft.original is not None:
            one["of"] = numbers[id(draft.original)]
        if draft.reason is not None:
            one["reason"] = draft.reason
        if draft.mended:
            one["mended"] = True
        expected.append(one)
    return expected


def write(path: Path, seed: int, events: int, accepts: str = "mixed", minutes_max: int = MINUTES) -> list[JsonObject]:
    """Write the file and its expectations; the expectations are returned."""
    drafts = generate(seed, events, accepts, minutes_max)
    path.write_bytes(b"".join(line_of(draft) + b"\n" for draft in drafts))
    expected = expectations(drafts)
    rows = ",\n".join(json.dumps(one, ensure_ascii=False) for one in expected)
    path.with_suffix(".expect.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    return expected


def main(arguments: list[str] | None = None) -> int:
    """Write the file named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.checker.generate", description="Write an input file for play.")
    parser.add_argument("out", type=Path, help="the file to write, ending in .jsonl")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=2000, help="lines in the file, 100 at least (default 2000)")
    parser.add_argument("--accepts", choices=("auto", "mixed"), default="mixed", help="offers that are told only, or asked as well")
    parser.add_argument("--minutes", type=int, default=MINUTES, help=f"how many minutes have lines, at most (default {MINUTES}): play settles each")
    given = parser.parse_args(arguments)
    if given.events < 100:
        parser.error("--events: 100 at least, or the kinds of lines do not fit in")
    expected = write(given.out, given.seed, given.events, given.accepts, given.minutes)
    for kind in ("valid", "duplicate_of", "invalid"):
        print(f"{kind}: {sum(1 for one in expected if one['expect'] == kind)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
