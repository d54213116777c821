"""Events with good defaults, and a scene that plays them on one area: given events, when an event comes, then events.

Instants are minutes since `NOON`; a place is written `community/compound/building/unit`. What an area tells is written as one line an
event, such as `proposed w1 o1 @0 unit`: see :func:`told`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from schemas import codec
from schemas.codec import Event
from schemas.instants import DAY_US, MINUTE_US, parse_rfc3339, rfc3339
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area, Match, Wish
from services.matcher.core.turn import Decision

AREA = "high-tech"
NOON = parse_rfc3339("2026-11-23T12:00:00Z")
HOUR = 60
DAY = DAY_US // MINUTE_US
HOME = "c1/p1/b1/u1"
_numbers = itertools.count(1)


def instant(minutes: float) -> int:
    """Minutes since noon, as the core's microseconds."""
    return NOON + round(minutes * MINUTE_US)


def minutes_of(microseconds: int) -> float:
    """The core's microseconds, as minutes since noon."""
    minutes, rest = divmod(microseconds - NOON, MINUTE_US)
    return minutes + rest / MINUTE_US if rest else minutes


def text_of(minutes: float) -> str:
    """Minutes since noon, as RFC 3339."""
    return rfc3339(instant(minutes))


def place(path: str) -> dict[str, str]:
    """`c1/p1` as the contract's place."""
    return dict(zip(("community", "compound", "building", "unit"), path.split("/"), strict=False))


def window(start: float, end: float) -> dict[str, str]:
    """A window in minutes since noon."""
    return {"start": text_of(start), "end": text_of(end)}


def event(kind: str, subject: str, data: dict[str, Any], *, at: float = 0, event_id: str | None = None, area: str = AREA, source: str = "tests") -> Event:
    """A valid event of that type (without `lastmetre.`); `area` goes into its data."""
    document = {
        "specversion": "1.0",
        "id": event_id or f"e{next(_numbers)}",
        "source": source,
        "type": f"lastmetre.{kind}",
        "time": text_of(at),
        "subject": subject,
        "partitionkey": area,
        "data": {**data, "area": area},
    }
    return codec.decode_structured(orjson.dumps(document))


def wish(
    wish_id: str = "w1",
    *,
    at: float = 0,
    where: str = HOME,
    skills: Sequence[str] = ("haircut",),
    urgency: str = "yellow",
    wanted: tuple[float, float] = (0, 4 * HOUR),
    minutes: int = 60,
    helpers: int = 1,
    age_band: str = "adult",
    lives_alone: bool | None = None,
    category: str = "household",
    resident: str | None = None,
    area: str = AREA,
    event_id: str | None = None,
    **more: Any,
) -> Event:
    """A wish for one hour this afternoon."""
    beneficiary: dict[str, Any] = {"age_band": age_band}
    if lives_alone is not None:
        beneficiary["lives_alone"] = lives_alone
    data = {
        "wish_id": wish_id,
        "place": place(where),
        "category": category,
        "skills": list(skills),
        "urgency": urgency,
        "window": window(*wanted),
        "minutes": minutes,
        "helpers_needed": helpers,
        "beneficiary": beneficiary,
        "title": "理发",
        "resident_ref": resident or f"resident-of-{wish_id}",
        **more,
    }
    return event("wish.submitted.v1", wish_id, data, at=at, area=area, event_id=event_id)


def minors_wish(wish_id: str = "w1", **more: Any) -> Event:
    """A wish that needs two helpers together, both checked to the highest level."""
    return wish(wish_id, age_band=more.pop("age_band", "under_14"), category=more.pop("category", "study"), **more)


def offer(
    offer_id: str = "o1",
    *,
    at: float = 0,
    home: str = HOME,
    reach: str = "area",
    skills: Sequence[str] = ("haircut",),
    level: int = 4,
    checked: float = -30 * DAY,
    windows: Iterable[tuple[float, float]] = ((0, 8 * HOUR),),
    capacity: int = 1,
    accepts: str = "auto",
    volunteer: str | None = None,
    area: str = AREA,
    event_id: str | None = None,
    **more: Any,
) -> Event:
    """An offer of somebody with every check, free all afternoon."""
    data = {
        "offer_id": offer_id,
        "volunteer_ref": volunteer or f"volunteer-of-{offer_id}",
        "home": place(home),
        "reach": reach,
        "skills": list(skills),
        "vetting": {"level": level, "checked_at": text_of(checked)},
        "windows": [window(*one) for one in windows],
        "capacity": capacity,
        "accepts": accepts,
        **more,
    }
    return event("offer.posted.v1", offer_id, data, at=at, area=area, event_id=event_id)


def wish_withdrawn(wish_id: str = "w1", *, at: float = 0, **more: Any) -> Event:
    """The resident takes the wish back."""
    return event("wish.withdrawn.v1", wish_id, {"wish_id": wish_id}, at=at, **more)


def consent_withdrawn(wish_id: str = "w1", *, at: float = 0, **more: Any) -> Event:
    """Consent is gone."""
    return event("consent.withdrawn.v1", wish_id, {"wish_id": wish_id}, at=at, **more)


def offer_withdrawn(offer_id: str = "o1", *, at: float = 0, **more: Any) -> Event:
    """The volunteer takes the offer back."""
    return event("offer.withdrawn.v1", offer_id, {"offer_id": offer_id}, at=at, **more)


def offer_suspended(offer_id: str = "o1", *, at: float = 0, **more: Any) -> Event:
    """The volunteer must not be sent anywhere."""
    return event("offer.suspended.v1", offer_id, {"offer_id": offer_id}, at=at, **more)


def claim(wish_id: str = "w1", offer_id: str = "o1", *, claim_id: str = "k1", at: float = 0, **more: Any) -> Event:
    """A volunteer asks for one wish."""
    return event("wish.claimed.v1", wish_id, {"claim_id": claim_id, "wish_id": wish_id, "offer_id": offer_id}, at=at, **more)


def _about_pair(kind: str, wish_id: str, offer_id: str, at: float, match_id: str | None, more: dict[str, Any]) -> Event:
    data = {"wish_id": wish_id, "offer_id": offer_id, **more}
    if match_id is not None:
        data["match_id"] = match_id
    return event(kind, match_id or wish_id, data, at=at)


def accepted(wish_id: str = "w1", offer_id: str = "o1", *, at: float = 0, match_id: str | None = None) -> Event:
    """The volunteer says yes."""
    return _about_pair("match.accepted.v1", wish_id, offer_id, at, match_id, {})


def declined(wish_id: str = "w1", offer_id: str = "o1", *, at: float = 0, match_id: str | None = None) -> Event:
    """The volunteer says no."""
    return _about_pair("match.declined.v1", wish_id, offer_id, at, match_id, {})


def approved(wish_id: str = "w1", offer_id: str = "o1", *, at: float = 0, word: bool = True, match_id: str | None = None) -> Event:
    """A community worker's word."""
    return _about_pair("match.approved.v1", wish_id, offer_id, at, match_id, {"worker_ref": "worker-1", "approved": word})


def confirmed(match: Match, *, at: float = 0) -> Event:
    """Both sides have been told."""
    more = {
        "rung": ("unit", "building", "compound", "community", "area")[match.rung],
        "slot": {"start": rfc3339(match.start), "end": rfc3339(match.end)},
        "confirmed_at": text_of(at),
        "notices": [{"to": to, "channel": "console", "at": text_of(at)} for to in ("resident", "volunteer")],
    }
    return _about_pair("match.confirmed.v1", match.wish.id, match.offer.id, at, match.id, more)


def undeliverable(match: Match, *, at: float = 0, reason: str = "unreachable") -> Event:
    """One side cannot be told."""
    return _about_pair("confirmation.failed.v1", match.wish.id, match.offer.id, at, match.id, {"reason": reason})


def closed(match: Match, *, at: float = 0, outcome: str = "done") -> Event:
    """The visit is over and judged."""
    more = {"outcome": outcome, "minutes": 60, "closed_at": text_of(at), "by": "resident"}
    return _about_pair("match.closed.v1", match.wish.id, match.offer.id, at, match.id, more)


def service(step: str, wish_id: str = "w1", offer_id: str = "o1", *, at: float = 0) -> Event:
    """A visit has `started`, is `finished` or `acknowledged`."""
    more: dict[str, Any] = {"by": "resident", "outcome": "done"} if step == "acknowledged" else {}
    return _about_pair(f"service.{step}.v1", wish_id, offer_id, at, None, more)


def told(decision: Decision) -> str:
    """One event that goes out, as one line; it is held against its model on the way."""
    codec.check_outgoing(decision.type, codec.dumps(decision.data))
    data, kind = decision.data, decision.type.split(".")[2]
    if kind == "proposed":
        return _proposal(data)
    if kind == "rejected":
        return f"rejected {data['claim_id']} {data['wish_id']} {data['offer_id']} {data['reason']}"
    if kind == "expired":
        return f"expired {data['wish_id']} with {data['filled']}"
    if kind == "widened":
        return f"widened {data['wish_id']} to {data['reach']}"
    if kind == "unmet":
        return f"unmet {data['wish_id']} {'+'.join(data['need']['skills'])} {data['need']['vetting']}"
    return " ".join([kind, data["wish_id"], data["offer_id"], *([data["reason"]] if "reason" in data else [])])


def _proposal(data: dict[str, Any]) -> str:
    start = minutes_of(parse_rfc3339(data["slot"]["start"]))
    words = [f"proposed {data['wish_id']} {data['offer_id']} @{start} {data['rung']}"]
    if data["how"] == "claimed":
        words.append("claimed")
    if data["needs_answer"]:
        words.append(f"asked until {minutes_of(parse_rfc3339(data['expires_at']))}")
    if data.get("needs_approval"):
        words.append("needs approval")
    if "group_id" in data:
        words.append(f"group of {data['group_size']}")
    return " ".join(words)


class Scene:
    """One area, and what it says. `outcome` is that of the last event, `changed` whether the last passing of time did anything."""

    def __init__(self, *, policy: Policy | None = None, name: str = AREA) -> None:
        self.area = Area(name, policy or Policy.at_once())
        self.outcome = ""
        self.changed = False
        self.decisions: list[Decision] = []

    def when(self, *events: Event) -> list[str]:
        """What is told once these have come, one after another; time runs to each event's own."""
        then: list[str] = []
        for one in events:
            now = max(self.area.clock, one.time)
            then += self._time_runs_to(now)
            self.outcome, decisions = decide(self.area, one, now)
            then += self._heard(decisions)
        return then

    def passes(self, minutes: float) -> list[str]:
        """What is told once time has run to that many minutes since noon."""
        return self._time_runs_to(instant(minutes))

    def _time_runs_to(self, now: int) -> list[str]:
        self.changed, decisions = pass_time(self.area, now)
        assert self.changed or not decisions
        return self._heard(decisions)

    def _heard(self, decisions: list[Decision]) -> list[str]:
        self.decisions += decisions
        return [told(one) for one in decisions]

    def leaves_untried(self, submitted: Event) -> None:
        """A wish waits although it was never tried with anyone: every wish is tried at once, so that a claim seldom comes in time."""
        waiting = Wish(submitted.data, submitted.time)
        self.area.add_wish(waiting)
        self.area.watch_wish(waiting)
        self.area.settle_wish(waiting)

    def match(self, wish_id: str = "w1", offer_id: str = "o1") -> Match:
        """The match of this pair that was not released."""
        return self.area.wishes[wish_id].matches[offer_id]

    def status(self, wish_id: str = "w1") -> str:
        """The state of a wish."""
        return self.area.wishes[wish_id].status


def given(*events: Event, policy: Policy | None = None) -> Scene:
    """A scene in which this has happened."""
    scene = Scene(policy=policy)
    scene.when(*events)
    return scene
