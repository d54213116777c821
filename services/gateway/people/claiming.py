"""One claim, from the tap to its answer: said on Kafka, decided by the matcher, heard again here."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import HTTPException

from services.gateway.board.hub import Answer, Claimed, Rejected
from services.gateway.context import Gateway
from services.gateway.guard import require
from services.gateway.people import store
from services.gateway.people.store import Before
from services.gateway.people.wall import Choice, MyOffer, OpenWish, Shown, chosen, has_time, home_of, missing, next_best, shown
from services.gateway.policy import Act, Thing
from services.gateway.roles import Principal
from services.gateway.words import utc_now

CLAIMED = "lastmetre.wish.claimed.v1"


@dataclass(frozen=True, slots=True)
class Wall:
    """What a member is shown of the open wishes in their scope that they have no match of, judged by their offers.

    `more`: so many come after `wishes`; `others`: so many do not fit and were not asked for.
    """

    wishes: tuple[Shown, ...]
    more: int
    others: int
    offers: tuple[MyOffer, ...]

    @property
    def is_full(self) -> bool:
        """Whether the member has all the visits that they take at once: then no claim is granted, whatever it is of."""
        return bool(self.offers) and all(offer.is_full for offer in self.offers)


async def wall_of(gateway: Gateway, principal: Principal, choice: Choice, most: int) -> Wall:
    """Read the wall for somebody: the first `most` of what their choice leaves."""
    before, now = await store.before_claim(gateway.looks, principal, ""), utc_now()
    async with gateway.database.acting_for(principal) as connection:
        offers = tuple(await _with_room(connection, principal, before.offers, now))
        picked = await store.pick(connection, principal, before, choice, now, most)
    home = home_of(offers, principal.scope)
    wishes = chosen((shown(wish, offers, home, now) for wish in picked.wishes), choice, now)
    asked_for = picked.together if choice.everything else picked.fitting
    return Wall(tuple(wishes), asked_for - len(wishes), picked.together - asked_for, offers)


async def _with_room(connection: Any, principal: Principal, offers: Iterable[MyOffer], now: datetime) -> list[MyOffer]:
    if principal.volunteer_ref is None:
        return []
    full = await store.full_offers(connection, principal.scope.area, principal.volunteer_ref, now)
    return [replace(offer, is_full=offer.offer_id in full) for offer in offers]


async def still_fits(gateway: Gateway, principal: Principal, wish_id: str, offer_id: str) -> bool:
    """Whether an invitation still fits who was invited, as far as the board knows: they may be full, busy, or have no such offer any more."""
    before, now = await store.before_claim(gateway.looks, principal, wish_id), utc_now()
    if before.wish is None:  # it waits for nobody now: that is another answer
        return True
    async with gateway.database.acting_for(principal) as connection:
        offers = await _with_room(connection, principal, before.offers, now)
    taken = [(match.starts_at, match.ends_at) for match in before.matches if match.live]
    wish, mine = before.wish, (offer for offer in offers if offer.offer_id == offer_id)
    return any(missing(wish, offer, now) is None and has_time(wish, offer, taken, now) for offer in mine)


async def _open(gateway: Gateway, principal: Principal, before: Before) -> tuple[list[OpenWish], bool]:
    """What waits, and whether there may be more."""

    async def fetch() -> list[OpenWish]:
        async with gateway.database.acting_for(principal) as connection:
            return await store.open_wishes(connection, principal.scope, utc_now())

    now, parted, kept = utc_now(), before.parted, await gateway.shelf.get(principal.scope, fetch)
    return [wish for wish in kept if wish.wish_id not in parted and wish.ends_at > now], len(kept) >= store.SHELF_MAX


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a claim came to. `instead`: what they could take up in its place."""

    answer: Answer
    instead: Shown | None = None


async def claim(gateway: Gateway, principal: Principal, wish_id: str) -> Outcome:
    """Ask for a wish and wait for the answer, no longer than the settings say.

    A second tap finds the match that the first one made, whether the board shows it yet or not. Where the wish is no longer open, nobody needs to be asked.
    """
    area = principal.scope.area
    before = await store.before_claim(gateway.looks, principal, wish_id)
    if not before.near:
        raise HTTPException(HTTPStatus.NOT_FOUND)  # of what lies beyond their circle they hear nothing
    theirs, wish = granted_to(gateway, principal, wish_id, before), before.wish
    if wish is not None:
        require(principal, Act.CLAIM_WISH, Thing(area, wish.place))
    if theirs is not None:
        return Outcome(theirs)
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
    if isinstance(answer, Claimed) and principal.volunteer_ref is not None:
        gateway.granted.note((area, wish_id, principal.volunteer_ref), answer, time.monotonic())
    return Outcome(answer)


def granted_to(gateway: Gateway, principal: Principal, wish_id: str, before: Before) -> Claimed | None:
    """The match that they have of a wish: as the board shows it, or as it was granted here a while ago, where the board does not know of that match yet."""
    match = before.match_of(wish_id)
    if match is not None:
        return Claimed(match.match_id, (match.starts_at, match.ends_at), match.needs_answer)
    answer = gateway.granted.of((principal.scope.area, wish_id, principal.volunteer_ref or ""), time.monotonic())
    return None if answer is None or any(one.match_id == answer.match_id for one in before.matches) else answer


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
    """What is most like the wish that they did not get; nothing where they have all the visits that they take at once."""
    now, offers, home = utc_now(), before.offers, home_of(before.offers, principal.scope)
    if any(match.live for match in before.matches):  # who has none has room
        async with gateway.database.acting_for(principal) as connection:
            offers = await _with_room(connection, principal, offers, now)
    if not any(not offer.is_full for offer in offers):
        return None
    like = None if before.wish is None else before.wish.category
    wishes, cut_off = await _open(gateway, principal, before)
    found = next_best(wishes, offers, home, now, but=wish_id, like=like)
    if found is not None or not cut_off:
        return found
    async with gateway.database.acting_for(principal) as connection:
        picked = await store.pick(connection, principal, before, Choice(), now, 1, but=wish_id, like=like)
    return next_best(picked.wishes, offers, home, now, but=wish_id, like=like)
