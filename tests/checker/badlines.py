"""Lines that must end in the dead letters, and the reason where the contract names one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tests.checker.town import AREAS, Draft, Town
from tests.checker.wire import JsonObject

PERSONAL = "contains_personal_data"
Spoil = Callable[[JsonObject], None]
PERSONAL_TEXTS = (
    "请打电话13812345678联系", "电话：138-1234-5678", "手机 139 0013 9000，晚上在家", "联系１３９００１３９０００谢谢", "+86 15912345678 找王阿姨",
    "tel:186.1234.5678", "身份证510107195003078811", "证号 510107 19500307 881X", "５１０１０７１９５００３０７８８１１", "住在3栋2单元501室", "5号楼302室敲门",
)  # fmt: skip


def _set(path: str, value: Any) -> Spoil:
    """Set the field at the dotted path."""

    def spoil(event: JsonObject) -> None:
        *way, last = path.split(".")
        at = event
        for step in way:
            at = at[step]
        at[last] = value

    return spoil


def _drop(path: str) -> Spoil:
    """Leave out the field at the dotted path."""

    def spoil(event: JsonObject) -> None:
        *way, last = path.split(".")
        at = event
        for step in way:
            at = at[step]
        del at[last]

    return spoil


def _nest(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


WISH_SPOILS: tuple[tuple[str, Spoil, str | None], ...] = (
    ("unknown type", _set("type", "lastmetre.wish.granted.v1"), None),
    ("foreign type", _set("type", "com.example.thing"), None),
    ("no type", _drop("type"), None),
    ("wrong specversion", _set("specversion", "0.3"), None),
    ("no id", _drop("id"), None),
    ("no source", _drop("source"), None),
    ("no subject", _drop("subject"), None),
    ("no time", _drop("time"), None),
    ("no data", _drop("data"), None),
    ("null data", _set("data", None), None),
    ("data a text", _set("data", "{}"), None),
    ("deep data", _set("data", _nest(80)), None),
    ("no area", _drop("data.area"), None),
    ("no wish_id", _drop("data.wish_id"), None),
    ("no window", _drop("data.window"), None),
    ("no beneficiary", _drop("data.beneficiary"), None),
    ("no title", _drop("data.title"), None),
    ("no skills", _set("data.skills", []), None),
    ("nine skills", _set("data.skills", [f"s{n}" for n in range(9)]), None),
    ("skill of a bad form", _set("data.skills", ["First Aid!"]), None),
    ("skills a text", _set("data.skills", "first_aid"), None),
    ("unknown category", _set("data.category", "gardening"), None),
    ("unknown urgency", _set("data.urgency", "green"), None),
    ("unknown age band", _set("data.beneficiary.age_band", "teen"), None),
    ("minutes too few", _set("data.minutes", 5), None),
    ("minutes too many", _set("data.minutes", 481), None),
    ("minutes a word", _set("data.minutes", "an hour"), None),
    ("eleven helpers", _set("data.helpers_needed", 11), None),
    ("no helpers", _set("data.helpers_needed", 0), None),
    ("vetting of five", _set("data.vetting_min", 5), None),
    ("unknown approval", _set("data.approval", "mayor"), None),
    ("title too long", _set("data.title", "长" * 61), None),
    ("note too long", _set("data.note", "话" * 501), None),
    ("gap in the ladder", _set("data.place", {"community": "c1", "building": "b2"}), None),
    ("no community", _set("data.place", {"compound": "garden-1"}), None),
    ("place of a bad form", _set("data.place", {"community": "Community One"}), None),
    ("place id too long", _set("data.place", {"community": "c" * 33}), None),
    ("place a text", _set("data.place", "c1/garden-1"), None),
    ("window of words", _set("data.window", {"start": "tomorrow", "end": "later"}), None),
)
OFFER_SPOILS: tuple[tuple[str, Spoil, str | None], ...] = (
    ("no windows", _set("data.windows", []), None),
    ("phone in the organisation", _set("data.organisation", "志愿队（13712345678）"), PERSONAL),
    ("capacity of nothing", _set("data.capacity", 0), None),
    ("capacity too large", _set("data.capacity", 21), None),
    ("unknown reach", _set("data.reach", "planet"), None),
    ("accepts anything", _set("data.accepts", "maybe"), None),
    ("no vetting", _drop("data.vetting"), None),
    ("vetting level of five", _set("data.vetting.level", 5), None),
    ("vetting without time", _drop("data.vetting.checked_at"), None),
    ("no volunteer", _drop("data.volunteer_ref"), None),
    ("home with a gap", _set("data.home", {"community": "c1", "unit": "u1"}), None),
    ("twenty-one skills", _set("data.skills", [f"s{n}" for n in range(21)]), None),
)


def _spoiled(town: Town, minute: int, name: str, spoil: Spoil, reason: str | None, *, offer: bool = False) -> Draft:
    area = town.rng.choice(AREAS)
    data = town.offer(area, minute) if offer else town.wish(area, minute)
    draft = town.event("offer.posted" if offer else "wish.submitted", copy.deepcopy(data), minute)
    assert draft.event is not None
    spoil(draft.event)
    draft.kind, draft.expect, draft.reason = name, "invalid", reason
    return draft


def _timed(town: Town, minute: int, which: int) -> Draft:
    """Windows and times: those that hang on the moment."""
    inside = town.window(minute, 2, 3)
    cases: tuple[tuple[str, Spoil, str | None, bool], ...] = (
        ("window inverted", _set("data.window", {"start": inside["end"], "end": inside["start"]}), None, False),
        ("window too short", _set("data.window", town.window(minute, 2, 0.9)), "window_too_short", False),
        ("end far off", _set("data.window", town.window(minute, 2, 24 * 367)), "far_off_date", False),
        ("end in another age", _set("data.window", {"start": inside["start"], "end": "9999-01-01T00:00:00Z"}), "far_off_date", False),
        ("time without offset", _set("time", town.at(minute).replace(tzinfo=None).isoformat()), None, False),
        ("time of words", _set("time", "yesterday evening"), None, False),
        ("day that is none", _set("data.window", {"start": inside["start"], "end": "2026-02-30T10:00:00Z"}), None, False),
        ("offer's window inverted", _set("data.windows", [inside, {"start": inside["end"], "end": inside["start"]}]), None, True),
    )
    name, spoil, reason, offer = cases[which % len(cases)]
    return _spoiled(town, minute, name, spoil, reason, offer=offer)


def _personal(town: Town, minute: int, which: int) -> Draft:
    text = PERSONAL_TEXTS[which % len(PERSONAL_TEXTS)]
    where = "data.note" if which % 2 else "data.title"
    return _spoiled(town, minute, f"personal data in {where}", _set(where, text), PERSONAL)


def _small(town: Town, minute: int, which: int) -> Draft:
    """The little events with something missing."""
    area = town.rng.choice(AREAS)
    pair = {"area": area, "wish_id": town.name("wish"), "offer_id": town.name("offer")}
    cases: tuple[tuple[str, JsonObject], ...] = (
        ("wish.claimed", pair),
        ("wish.withdrawn", {"area": area, "reason": "which?"}),
        ("offer.suspended", {"area": area}),
        ("match.accepted", {"area": area, "wish_id": pair["wish_id"]}),
        ("match.approved", pair | {"approved": True}),
        ("match.approved", pair | {"worker_ref": "worker-1", "approved": "perhaps"}),
        ("service.acknowledged", pair | {"by": "neighbour", "outcome": "done"}),
        ("service.acknowledged", pair | {"by": "resident", "outcome": "done", "rating": 6}),
        ("service.acknowledged", pair | {"by": "resident"}),
    )
    kind, data = cases[which % len(cases)]
    draft = town.event(kind, data, minute)
    assert draft.event is not None
    draft.event["subject"] = draft.event["subject"] or "nobody"
    draft.kind, draft.expect = f"{kind} incomplete", "invalid"
    return draft


def _raw(town: Town, minute: int, which: int) -> Draft:
    """Bytes that are no event at all."""
    whole = town.event("wish.submitted", town.wish(town.rng.choice(AREAS), minute), minute).event
    text = json.dumps(whole, ensure_ascii=False)
    cases: tuple[tuple[str, bytes], ...] = (
        ("not JSON", f"hello {town.name('line')}, 我不是 JSON".encode()),
        ("cut off", text[: len(text) // 2].encode()),
        ("not JSON, with a phone", f"{{call 13812345678 {town.name('line')}".encode()),
        ("a list", json.dumps([whole], ensure_ascii=False).encode()),
        ("a number", str(town.rng.randrange(10**6)).encode()),
        ("bad UTF-8", b'{"specversion": "1.0", "id": "\xff\xfe' + town.name("x").encode() + b'"}'),
        ("deep nesting", b"[" * 20_000 + b"]" * 20_000),
        ("an empty object", b"{}"),
        ("NaN", text.replace('"1.0"', "NaN").encode()),
        ("trailing text", (text + " and so on").encode()),
    )
    name, raw = cases[which % len(cases)]
    return Draft(minute, None, name, raw=raw, expect="invalid")


def too_large(town: Town, minute: int) -> Draft:
    """A valid event of more than 1 MiB."""
    return _spoiled(town, minute, "too large", _set("data.ballast", "x" * 1_200_000), "too_large")


def bad_line(town: Town, minute: int, which: int) -> Draft:
    """The bad line number `which`: all kinds come round."""
    makers: list[Callable[[], Draft]] = [
        lambda: _spoiled(town, minute, *WISH_SPOILS[which // 6 % len(WISH_SPOILS)]),
        lambda: _timed(town, minute, which // 6),
        lambda: _personal(town, minute, which // 6),
        lambda: _raw(town, minute, which // 6),
        lambda: _spoiled(town, minute, *OFFER_SPOILS[which // 6 % len(OFFER_SPOILS)], offer=True),
        lambda: _small(town, minute, which // 6) if which % 4 else _spoiled(town, minute, *WISH_SPOILS[which // 3 % len(WISH_SPOILS)]),
    ]
    return makers[which % len(makers)]()
