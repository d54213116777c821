"""What community workers do with wishes, as events of the contract. Pure: who does it, and what is known of the wish, are arguments.

The contract has no word for "send somebody else" or "stop this wish for now", so they are said in the words that it has (docs/decisions/0027):
re-dispatch is the community's no to the match (`match.approved`, `approved` false), which releases the pair for good and counts against nobody; freezing is a
withdrawal whose reason begins with `frozen: `, with a copy of the wish kept as a draft under a new id, to be published when it may go on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from schemas.place import Place
from services.gateway.board.projection import FROZEN
from services.gateway.policy import Thing
from services.gateway.roles import Principal

_NAMESPACE: Final = UUID("5f0c7d8e-6f6c-5f0e-9a33-1b9a6f6d2a41")
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")
LETTERS_MAX: Final = 480
"""Of a reason: the contract takes 500, with what we put before it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One event to publish: its type, subject and data; `event_id` where saying it twice must be once."""

    kind: str
    subject: str
    data: dict[str, Any]
    event_id: str | None = None


def worker_ref(principal: Principal) -> str:
    """How a worker is named on a topic: their account, which is opaque to all but the gateway."""
    return f"worker-{_ODD.sub('-', principal.account)}"[:128]


def thing_of(row: Mapping[str, Any]) -> Thing:
    """A wish's row as the policy sees it."""
    place = None
    if row.get("community") is not None:
        place = Place.model_construct(community=row["community"], compound=row.get("compound"), building=row.get("building"), unit=row.get("unit"))
    return Thing(row["area"], place, row.get("resident_ref"))


def _pair(match: Mapping[str, Any]) -> dict[str, Any]:
    return {name: match[name] for name in ("area", "wish_id", "offer_id", "match_id")}


def _with_reason(data: dict[str, Any], reason: str) -> dict[str, Any]:
    return data | {"reason": reason} if reason else data


def word_of_approval(principal: Principal, match: Mapping[str, Any], *, approved: bool, reason: str) -> Said:
    """The community's yes or no to a match."""
    data = _pair(match) | {"worker_ref": worker_ref(principal), "approved": approved}
    return Said("lastmetre.match.approved.v1", match["match_id"], _with_reason(data, reason))


def redispatch(principal: Principal, match: Mapping[str, Any], reason: str) -> Said:
    """Part this pair, so that another helper is found; the reason is the worker's."""
    return word_of_approval(principal, match, approved=False, reason=reason)


def call_back(match: Mapping[str, Any], outcome: str, reason: str) -> Said:
    """What the community heard of a visit when it called."""
    return Said("lastmetre.service.acknowledged.v1", match["match_id"], _with_reason(_pair(match) | {"by": "community", "outcome": outcome}, reason))


def freeze(wish: Mapping[str, Any], reason: str) -> Said:
    """Stop a wish. Said again, it is the same event."""
    data = {"area": wish["area"], "wish_id": wish["wish_id"], "reason": f"{FROZEN}{reason}"}
    return Said("lastmetre.wish.withdrawn.v1", wish["wish_id"], data, str(uuid5(_NAMESPACE, f"freeze\n{wish['area']}\n{wish['wish_id']}")))


def draft_id_of(area: str, wish_id: str) -> UUID:
    """The draft that a frozen wish becomes."""
    return uuid5(_NAMESPACE, f"draft\n{area}\n{wish_id}")


def copy_of(wish: Mapping[str, Any]) -> dict[str, Any]:
    """A wish's data once more, under a new id: the contract knows an id once."""
    area, wish_id = wish["area"], wish["wish_id"]
    place = {step: wish[step] for step in ("community", "compound", "building", "unit") if wish[step] is not None}
    data: dict[str, Any] = {
        "wish_id": str(uuid5(_NAMESPACE, f"again\n{area}\n{wish_id}")),
        "area": area,
        "place": place,
        **{
            name: wish[name] for name in ("category", "urgency", "title", "minutes", "helpers_needed", "vetting_min", "approval", "accompanied", "resident_ref")
        },
        "skills": list(wish["skills"]),
        "window": {"start": wish["starts_at"].isoformat(), "end": wish["ends_at"].isoformat()},
        "beneficiary": {"age_band": wish["age_band"], "lives_alone": wish["lives_alone"]},
    }
    if wish["languages"]:
        data["languages"] = list(wish["languages"])
    if wish["note"]:
        data["note"] = wish["note"]
    return data


def as_of(data: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    """A draft's data with a window that begins now at the earliest; None where what is left is too short for the visit."""
    start, end = (datetime.fromisoformat(data["window"][name]) for name in ("start", "end"))
    start = max(start, now)
    if (end - start).total_seconds() < int(data.get("minutes", 60)) * 60:
        return None
    return {**data, "window": {"start": start.isoformat(), "end": end.isoformat()}}
