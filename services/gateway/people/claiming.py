"""One claim, from the tap to its answer: said on Kafka, decided by the matcher, heard again here."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from services.gateway.board.hub import Answer, Claimed, Rejected
from services.gateway.context import Gateway
from services.gateway.guard import require
from services.gateway.people import store
from services.gateway.people.visits import MyMatch
from services.gateway.people.wall import OpenWish, Shown, home_of, next_best, shown
from services.gateway.policy import Act, Thing
from services.gateway.roles import Principal
from services.gateway.words import utc_now

CLAIMED = "lastmetre.wish.claimed.v1"


@dataclass(frozen=True, slots=True)
class Wall:
    """What a member could see a moment ago: every open wish in their scope, judged by their offers."""

    everything: tuple[Shown, ...]
    offers: int

    def one(self, wish_id: str) -> Shown | None:
        """One of them."""
        return next((each for each in self.everything if each.wish.wish_id == wish_id), None)


async def wall_of(connection: Any, principal: Principal) -> Wall:
    """Read the wall for somebody."""
    area, now = principal.scope.area, utc_now()
    offers = await store.my_offers(connection, area, principal.volunteer_ref)
    home = home_of(offers, principal.scope)
    wishes = await store.open_wishes(connection, area, principal.volunteer_ref, now)
    return Wall(tuple(shown(wish, offers, home, now) for wish in wishes), len(offers))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a claim came to. `match`: the member's own, where there is one already; `instead`: what they could take up in its place."""

    answer: Answer
    wish: OpenWish | None = None
    match: MyMatch | None = None
    instead: Shown | None = None


async def claim(gateway: Gateway, principal: Principal, wish_id: str) -> Outcome:
    """Ask for a wish and wait for the answer, no longer than the settings say.

    A second tap finds the match that the first one made. Where the wish is no longer open, nobody needs to be asked.
    """
    assert principal.volunteer_ref is not None
    area, ref = principal.scope.area, principal.volunteer_ref
    async with gateway.database.acting_for(principal) as connection:
        match = await store.my_match_of(connection, area, wish_id, ref)
        if match is not None:
            return Outcome(Claimed(match.match_id, (match.starts_at, match.ends_at), match.needs_answer), match=match)
        wish = await store.open_wish(connection, area, wish_id)
        offers = await store.my_offers(connection, area, ref)
    if wish is None:
        return await _refused(gateway, principal, "not_open", wish_id, None)
    require(principal, Act.CLAIM_WISH, Thing(area, wish.place))
    one = shown(wish, offers, home_of(offers, principal.scope), utc_now())
    if one.offer_id is None:
        return await _refused(gateway, principal, "unknown_offer", wish_id, wish)
    answer = await _ask(gateway, area, wish_id, one.offer_id)
    if isinstance(answer, Rejected):
        return await _refused(gateway, principal, answer.reason, wish_id, wish)
    return Outcome(answer, wish)


async def _ask(gateway: Gateway, area: str, wish_id: str, offer_id: str) -> Answer:
    claim_id = str(uuid4())
    listening = gateway.hub.await_answer(area, wish_id, offer_id, claim_id, gateway.settings.answer_seconds)
    try:
        await gateway.publisher.say(CLAIMED, wish_id, {"claim_id": claim_id, "area": area, "wish_id": wish_id, "offer_id": offer_id}, event_id=claim_id)
        return await listening
    finally:
        listening.close()


async def _refused(gateway: Gateway, principal: Principal, reason: str, wish_id: str, wish: OpenWish | None) -> Outcome:
    async with gateway.database.acting_for(principal) as connection:
        wall = await wall_of(connection, principal)
    return Outcome(Rejected(reason), wish, instead=next_best(wall.everything, wish_id, wish.category if wish else None))
