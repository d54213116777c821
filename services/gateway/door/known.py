"""Whether what is sent would take the place of something that the board knows elsewhere: asked for a scope that is narrower than an area.

An event names its own place, which lies inside; the offer or wish that it is about may be another community's. Whoever has the whole area is not asked.
The board reads what it knows from Kafka, so of what was published in the last moments it knows nothing yet.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.codec import Event
from services.gateway.database import Database
from services.gateway.door.answers import Refused
from services.gateway.roles import Principal

_ASK: Final = "SELECT field, id FROM gateway.lie_outside($1, $2, $3)"
_OFFER, _WISH = "data.offer_id", "data.wish_id"
Named = tuple[str, str]


def is_narrow(principal: Principal) -> bool:
    """Whether it has to be asked at all."""
    return principal.scope.community is not None


def named(event: Event) -> Named:
    """The field that says what an event with a place is about, and its value; an offer's home is a volunteer's."""
    offer = getattr(event.data, "offer_id", None)
    return (_WISH, event.data.wish_id) if offer is None else (_OFFER, offer)


async def outside(database: Database, principal: Principal, events: Iterable[Event]) -> set[Named]:
    """What of this is known to lie outside their scope."""
    things = {named(event) for event in events}
    offers, wishes = (sorted(value for field, value in things if field == wanted) for wanted in (_OFFER, _WISH))
    steps: Sequence[str] = principal.scope.steps
    return {(row["field"], row["id"]) for row in await database.pool.fetch(_ASK, steps, offers, wishes)} if things else set()


async def refuse_anothers(database: Database, principal: Principal, event: Event) -> None:
    """The same of one event.

    Raises:
        Refused: it is about something of another place.
    """
    if is_narrow(principal) and await outside(database, principal, [event]):
        raise Refused("out_of_scope", named(event)[0])
