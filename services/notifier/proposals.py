"""A proposal as this service needs it: pure. `reading` makes one of what the matcher writes as it always does, `book` of what was held against the contract."""

from dataclasses import dataclass

import orjson

from schemas.matches import MatchProposed


@dataclass(slots=True)
class Proposal:
    """Who is to meet whom, where and when; instants as they were written."""

    area: str
    match_id: str
    wish_id: str
    offer_id: str
    resident_ref: str
    volunteer_ref: str
    category: str | None
    rung: str
    slot: tuple[str, str]
    group_id: str | None
    group_size: int | None
    organisation: str | None
    urgency: str | None
    minor: bool
    needs_answer: bool
    needs_approval: bool
    expires_at: str | None


def proposal_of(data: MatchProposed, raw: bytes) -> Proposal:
    """One that was held against the contract; `raw` is its JSON."""
    written = orjson.loads(raw)
    return Proposal(
        data.area, data.match_id, data.wish_id, data.offer_id, data.resident_ref, data.volunteer_ref, data.category, data.rung.value,
        (written["slot"]["start"], written["slot"]["end"]), data.group_id, data.group_size, data.organisation, data.urgency, data.minor,
        data.needs_answer, data.needs_approval, written["expires_at"],
    )  # fmt: skip
