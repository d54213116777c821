"""One claim, from the tap to its answer: said on Kafka, decided by the matcher, heard again here."""

from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

from fastapi import HTTPException

from services.gateway.board.hub import Answer, Claimed, Rejected
from services.gateway.context import Gateway
from services.gateway.guard import require
from services.gateway.people import store
from services.gateway.people.store import Before
from services.gateway.people.wall import OpenWish, Shown, home_of, next_best, shown
from services.gateway.policy import Act, Thing
from services.gateway.roles import Principal
from services.gateway.words import utc_now

CLAIMED = "lastmetre.wish.claimed.v1"


@dataclass(frozen=True, slots=True)
class Wall:
    """What a member can see: every open wish in their scope that they have no match of, judged by their offers."""

    everything: tuple[Shown, ...]
    before: Before

    @property
    def offers(self) -> int:
        """How many offers the member has."""
        return len(self.before.offers)


async def wall_of(gateway: Gateway, principal: Principal, wish_id: str = "") -> Wall:
    """Read the wall for somebody, and what is known about one wish."""
    before = await store.before_claim(gateway.looks, principal, wish_id)
    now, home = utc_now(), home_of(before.offers, principal.scope)
    return Wall(tuple(shown(wish, before.offers, home, now) for wish in await _open(gateway, principal, before)), before)


async def _open(gateway: Gateway, principal: Principal, before: Before) -> list[OpenWish]:
    async def fetch() -> list[OpenWish]:
        async with gateway.database.acting_for(principal) as connection:
            found = await store.open_wishes(connection, principal.scope.area, utc_now())
        # What somebody sees beside their circle (a wish of their own elsewhere) is not for the others of the circle.
        return [wish for wish in found if principal.scope.covers(wish.area, wish.place)]

    now, parted = utc_now(), before.parted
    return [wish for wish in await gateway.shelf.get(principal.scope, fetch) if wish.wish_id not in parted and wish.ends_at > now]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a claim came to. `instead`: what they could take up in its place."""

    answer: Answer
    instead: Shown | None = None


async def claim(gateway: Gateway, principal: Principal, wish_id: str) -> Outcome:
    """Ask for a wish and wait for the answer, no longer than the settings say.

    A second tap finds the match that the first one made. Where the wish is no longer open, nobody needs to be asked.
    """
    area = principal.scope.area
    before = await store.before_claim(gateway.looks, principal, wish_id)
    if not before.near:
        raise HTTPException(HTTPStatus.NOT_FOUND)  # of what lies beyond their circle they hear nothing
    match, wish = before.match_of(wish_id), before.wish
    if wish is not None:
        require(principal, Act.CLAIM_WISH, Thing(area, wish.place))
    if match is not None:
        return Outcome(Claimed(match.match_id, (match.starts_at, match.ends_at), match.needs_answer))
    if wish is None:
        return await _refused(gateway, principal, "not_open", wish_id, before)
    one = shown(wish, before.offers, home_of(before.offers, principal.scope), utc_now())
    if one.offer_id is None:
        return await _refused(gateway, principal, "unknown_offer", wish_id, before)
    offer_id = one.offer_id
    if wish.helpers_needed == 1 and not wish.together and one.missing is None:
        answer = await gateway.turnstile.pass_through((area, wish_id), offer_id, lambda: _ask(gateway, area, wish_id, offer_id))
    else:
        answer = await _ask(gateway, area, wish_id, offer_id)
    if isinstance(answer, Rejected):
        return await _refused(gateway, principal, answer.reason, wish_id, before)
    return Outcome(answer)


async def _ask(gateway: Gateway, area: str, wish_id: str, offer_id: str) -> Answer:
    claim_id = str(uuid4())
    listening = gateway.hub.await_answer(area, wish_id, offer_id, claim_id, gateway.settings.answer_seconds)
    try:
        await gateway.publisher.say(CLAIMED, wish_id, {"claim_id": claim_id, "area": area, "wish_id": wish_id, "offer_id": offer_id}, event_id=claim_id)
        return await listening
    finally:
        listening.close()


async def _refused(gateway: Gateway, principal: Principal, reason: str, wish_id: str, before: Before) -> Outcome:
    return Outcome(Rejected(reason), await instead_of(gateway, principal, wish_id, before))


async def instead_of(gateway: Gateway, principal: Principal, wish_id: str, before: Before) -> Shown | None:
    """What is most like the wish that they did not get."""
    wishes, home = await _open(gateway, principal, before), home_of(before.offers, principal.scope)
    return next_best(wishes, before.offers, home, utc_now(), but=wish_id, like=None if before.wish is None else before.wish.category)
