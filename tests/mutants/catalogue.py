"""The mutants: where each is planted, what it breaks, and the tests that should see it, those that see it soonest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CORE: Final = "services/matcher/core/"
_BATCH: Final = "services/matcher/batch.py"
_MATCHER: Final = "services/matcher/matcher.py"
_STORE: Final = "services/matcher/store.py"
_STORING: Final = "deploy/migrations/versions/0004_posts.py"
_UNIT: Final = "tests/unit/core/"
_SAFE: Final = f"{_UNIT}test_safeguarding.py"
_FOUND: Final = f"{_UNIT}test_mutants_found.py"
_LOST: Final = f"{_UNIT}test_nobody_is_lost.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug. `old` occurs in `file` exactly once; `tests` are what pytest is given."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]


# ---- what is taken in, stored and published

SHELL: Final = (
    Mutant(
        "known-events-decided-again",
        _BATCH,
        "if identity in self.known:",
        "if identity in ():",
        "An event that Kafka brings again is decided again.",
        (f"{_FOUND}::test_an_event_that_comes_again_is_a_duplicate",),
    ),
    Mutant(
        "repeat-within-a-batch-decided-again",
        _BATCH,
        "self.known.add(identity)",
        "self.known.discard(identity)",
        "An event that comes twice in one batch is decided twice.",
        (f"{_FOUND}::test_an_event_that_comes_twice_in_one_batch_is_a_duplicate",),
    ),
    Mutant(
        "wall-clock-for-event-time",
        _BATCH,
        "event.time if self.wall is None else self.wall",
        "time.time_ns() // 1000",
        "Where event time counts, the clock on the wall decides.",
        (f"{_FOUND}::test_where_event_time_counts_the_clock_is_that_of_the_events",),
    ),
    Mutant(
        "time-stands-still-between-events",
        _BATCH,
        "        self._pass_time(draft, area, now)\n",
        "",
        "What was due before an event is not done before it is decided.",
        (f"{_FOUND}::test_what_is_due_is_done_before_the_next_event",),
    ),
    Mutant(
        "cursor-not-advanced",
        _BATCH,
        "record.offset + 1",
        "record.offset",
        "The last record is read again after every start.",
        (f"{_FOUND}::test_the_cursor_lies_right_behind_the_last_record",),
    ),
    Mutant(
        "cursor-too-far",
        _BATCH,
        "record.offset + 1",
        "record.offset + 2",
        "The record after the last one is never read.",
        (f"{_FOUND}::test_the_cursor_lies_right_behind_the_last_record",),
    ),
    Mutant(
        "handed-over-before-the-commit",
        _MATCHER,
        "            await self._store(connection, batch)\n",
        "            for draft in batch.drafts:\n                self._committed(draft)\n            await self._store(connection, batch)\n",
        "Decisions are given to the publisher although their commit may fail.",
        (f"{_FOUND}::test_what_could_not_be_stored_is_neither_remembered_nor_published",),
    ),
    Mutant(
        "memory-kept-after-a-failed-commit",
        _MATCHER,
        "part.lane.forget(set(part.lane.areas))",
        "pass",
        "What was decided in memory and never stored is built upon.",
        (f"{_FOUND}::test_what_could_not_be_stored_is_neither_remembered_nor_published",),
    ),
    Mutant(
        "forgotten-areas-not-loaded-again",
        "services/matcher/lanes.py",
        "self.absent.add(name)",
        "pass",
        "After a failed commit the deadlines of an area sleep until its next event.",
        (f"{_FOUND}::test_an_area_that_was_thrown_away_is_due_to_be_loaded",),
    ),
    Mutant(
        "epoch-not-compared",
        _STORING,
        "WHERE l.epoch IS DISTINCT FROM f.epoch",
        "WHERE l.epoch IS NULL",
        "A worker that was replaced goes on storing.",
        (f"{_FOUND}::test_a_worker_that_was_replaced_stores_nothing",),
    ),
    Mutant(
        "takeover-keeps-the-epoch",
        _STORE,
        "SET epoch = epoch + 1",
        "SET epoch = epoch",
        "Nobody can tell the new owner of a lane from the old one.",
        (f"{_FOUND}::test_a_worker_that_was_replaced_stores_nothing",),
    ),
    Mutant(
        "published-before-it-is",
        "services/matcher/outbox.py",
        "    async def _deliver(self, parcels: list[Parcel], stop: Stop) -> None:\n",
        "    async def _deliver(self, parcels: list[Parcel], stop: Stop) -> None:\n"
        "        for parcel in parcels:\n"
        "            await self._on_published(parcel.lane, parcel.epoch, parcel.seq)\n",
        "Decisions are marked as published that a crash then loses.",
        (f"{_FOUND}::test_nothing_is_called_published_while_the_broker_is_away",),
    ),
    Mutant(
        "takeover-publishes-nothing",
        _MATCHER,
        "await unpublished(connection, number, lane.published)",
        "await unpublished(connection, number, lane.seq)",
        "What a dead worker had committed and not published never goes out.",
        (f"{_FOUND}::test_the_next_worker_publishes_what_the_last_one_could_not",),
    ),
    Mutant(
        "reload-loses-barred-pairs",
        _STORE,
        'set(orjson.loads(row["barred"])) if row["barred"] else set()',
        "set()",
        "After a restart people meet again who were parted.",
        (f"{_FOUND}::test_another_worker_knows_who_was_parted",),
    ),
    Mutant(
        "reload-loses-past-visits",
        _STORE,
        'area.note_past(row["volunteer_ref"], row["starts_at"])',
        "pass",
        "After a restart the visits of a volunteer's last days do not count in their week.",
        (f"{_UNIT}test_caps.py",),
    ),
    Mutant(
        "reload-loses-invitations",
        _STORE,
        'orjson.loads(row["invited"]) if row["invited"] else {}',
        "{}",
        "After a restart everyone is invited once more.",
        (f"{_UNIT}test_invitations.py",),
    ),
    Mutant(
        "reload-loses-the-round",
        _STORE,
        "area.set_round(await self._connection.fetchval(ROUND_OF_AREA, area.name))",
        "area.set_round(None)",
        "After a restart the wishes that wait are never weighed.",
        (f"{_UNIT}test_rounds.py",),
    ),
)

# ---- the rules of the contract

RULES: Final = (
    Mutant(
        "one-match-too-many",
        f"{_CORE}ranking.py",
        "if number != offer.entry or offer.live >= offer.capacity:",
        "if number != offer.entry or offer.live > offer.capacity:",
        "An offer gets one match more than it has capacity for.",
        (f"{_UNIT}test_pairing.py",),
    ),
    Mutant(
        "claims-beyond-the-capacity",
        f"{_CORE}rules.py",
        "    if not has_capacity(offer):\n        return OFFER_FULL\n",
        "",
        "A claim is granted to an offer that is full.",
        (f"{_UNIT}test_claims.py",),
    ),
    Mutant(
        "vetting-not-asked-for",
        f"{_CORE}turn.py",
        "DECLINED or offer.level < wish.vetting or not speaks",
        "DECLINED or not speaks",
        "Helpers come whose checks do not suffice.",
        (f"{_UNIT}test_pairing.py",),
    ),
    Mutant(
        "checks-hold-a-day-longer",
        f"{_CORE}state.py",
        "CHECK_VALID_US: Final = 365 * DAY_US",
        "CHECK_VALID_US: Final = 366 * DAY_US",
        "A check of 366 days ago lets someone near a child.",
        (f"{_UNIT}test_slots.py",),
    ),
    Mutant(
        "a-minor-with-one-helper",
        f"{_CORE}state.py",
        "self.together = self.minor or data.accompanied",
        "self.together = data.accompanied",
        "A child is left alone with one helper.",
        (f"{_UNIT}test_together.py",),
    ),
    Mutant(
        "group-member-left-behind",
        f"{_CORE}turn.py",
        "        for other in match.companions:\n            if other.live:",
        "        for other in match.companions[1:]:\n            if other.live:",
        "Who came along stays with the child when the other one goes.",
        (f"{_UNIT}test_together.py",),
    ),
    Mutant(
        "languages-ignored",
        f"{_CORE}rules.py",
        "return wish.languages is None or not wish.languages.isdisjoint(offer.languages)",
        "return True",
        "Helpers come who share no language with the resident.",
        (f"{_UNIT}test_pairing.py",),
    ),
    Mutant(
        "reach-ignored",
        f"{_CORE}rules.py",
        "return rung_between(wish.place, offer.home) <= offer.reach",
        "return True",
        "Volunteers are sent farther than they go.",
        (f"{_UNIT}test_claims.py",),
    ),
    Mutant(
        "slots-overlap",
        f"{_CORE}rules.py",
        "if busy_start >= start + length:",
        "if busy_start >= start:",
        "A visit runs into the next one of the same volunteer.",
        (f"{_UNIT}test_slots.py",),
    ),
    Mutant(
        "visits-in-the-past",
        f"{_CORE}rules.py",
        "earliest = max(now, wish.start)",
        "earliest = wish.start",
        "A visit begins before it was decided upon.",
        (f"{_UNIT}test_slots.py",),
    ),
    Mutant(
        "rest-ignored",
        f"{_CORE}state.py",
        "self.rest = (data.rest_minutes or 0) * MINUTE_US",
        "self.rest = 0",
        "Volunteers get no rest between two visits.",
        (f"{_UNIT}test_caps.py",),
    ),
    Mutant(
        "one-visit-a-week-too-many",
        f"{_CORE}rules.py",
        "starts[most - 1 :]",
        "starts[most:]",
        "A volunteer's week has one visit more than they want.",
        (f"{_UNIT}test_caps.py",),
    ),
    Mutant(
        "parted-pairs-meet-again",
        f"{_CORE}state.py",
        "            wish.barred.add(match.offer.id)",
        "            pass",
        "Whoever said no is proposed again.",
        (f"{_UNIT}test_pairing.py",),
    ),
)

# ---- safeguarding: what was checked must hold until the visit is over

SAFEGUARDING: Final = (
    Mutant(
        "checks-seen-once",
        f"{_CORE}decide.py",
        "unsafe = [match for match in offer.matches.values() if not is_safe(match)]",
        "unsafe: list[Match] = []",
        "Somebody whose check is gone still visits.",
        (_SAFE,),
    ),
    Mutant(
        "old-checks-go-on",
        f"{_CORE}rules.py",
        "return is_vetted(wish, offer) and check_is_fresh(wish, offer, start) and has_proofs(wish, offer, start)",
        "return is_vetted(wish, offer) and has_proofs(wish, offer, start)",
        "A visit to a child stands although the check is over a year old.",
        (_SAFE,),
    ),
    Mutant(
        "proof-gone-and-still-coming",
        f"{_CORE}rules.py",
        "return is_vetted(wish, offer) and check_is_fresh(wish, offer, start) and has_proofs(wish, offer, start)",
        "return is_vetted(wish, offer) and check_is_fresh(wish, offer, start)",
        "A visit for care stands although there is no proof any more.",
        (_SAFE,),
    ),
    Mutant(
        "a-word-is-enough",
        f"{_CORE}decide.py",
        "    if is_safe(match):\n        return True\n",
        "    if match.live:\n        return True\n",
        "A yes counts without the check that the visit needs.",
        (_SAFE,),
    ),
    Mutant(
        "started-is-started",
        f"{_CORE}decide.py",
        '"lastmetre.service.started.v1": _service_started,',
        '"lastmetre.service.started.v1": _no_effect,',
        "Whoever must not be there and has arrived is not called back.",
        (_SAFE,),
    ),
    Mutant(
        "live-matches-do-not-stand",
        f"{_CORE}decide.py",
        "if not is_safe(match)]",
        "if match.live]",
        "Whoever posts an offer again loses all visits.",
        (_SAFE,),
    ),
    Mutant(
        "invited-who-left-not-replaced",
        f"{_CORE}turn.py",
        "return [wish for wish in ended if wish.waits]",
        "return []",
        "A red wish waits for somebody who cannot come any more.",
        (_SAFE,),
    ),
    Mutant(
        "reload-loses-who-invited",
        f"{_CORE}state.py",
        "            self._watch_invitation(wish, offer_id, until)\n        self.watch_reach",
        "            heappush(self.deadlines, (until, INVITE_ENDS, wish.id, 0))\n        self.watch_reach",
        "After a restart nobody takes the place of an invited helper who leaves.",
        (_SAFE,),
    ),
    Mutant(
        "proof-until-the-door",
        f"{_CORE}rules.py",
        "offer.proofs.get(skill, 0) >= start + wish.length",
        "offer.proofs.get(skill, 0) >= start",
        "A proof runs out while the visit goes on.",
        (_SAFE,),
    ),
    Mutant(
        "groups-without-proof",
        f"{_CORE}rules.py",
        "    if wish.proof_for:\n",
        "    if False:\n",
        "Of two helpers together nobody asks for proof.",
        (_SAFE,),
    ),
    Mutant(
        "reload-loses-proof",
        _STORE,
        'row["submitted_at"], area.policy.proof_needed)',
        'row["submitted_at"])',
        "After a restart no proof is asked for the wishes that wait.",
        (_SAFE,),
    ),
    Mutant(
        "centre-households-not-first",
        f"{_CORE}ranking.py",
        "self._centres.get(circle) if wish.welfare and nearest == 0 else None",
        "None",
        "The centre household of a stairway is one among others for a visit.",
        (f"{_UNIT}test_ranking.py",),
    ),
    Mutant(
        "answered-and-still-asked",
        "services/notifier/book.py",
        '        self._become(match, "agreed")\n        self._take_back(match)\n',
        '        self._become(match, "agreed")\n',
        "A volunteer is asked for an answer that they have given.",
        ("tests/unit/test_notices_book.py",),
    ),
)

# ---- what becomes of wishes, offers and matches

COURSE: Final = (
    Mutant(
        "withdrawn-wishes-still-matched",
        f"{_CORE}state.py",
        "if wish.status in (WITHDRAWN, EXPIRED):\n            waiting.remove(wish)",
        "if wish.status == EXPIRED:\n            waiting.remove(wish)",
        "A helper comes to someone who has taken the wish back.",
        (f"{_UNIT}test_pairing.py",),
    ),
    Mutant(
        "suspended-offers-keep-their-matches",
        f"{_CORE}decide.py",
        "list(offer.matches.values()) if status == SUSPENDED else []",
        "list(offer.matches.values()) if status == LAPSED else []",
        "Somebody who must not be sent anywhere still comes.",
        (f"{_UNIT}test_pairing.py",),
    ),
    Mutant(
        "holds-never-end",
        f"{_CORE}state.py",
        "if not match.is_firm:",
        "if match.reason is not None:",
        "A place is held for ever for someone who does not answer.",
        (f"{_UNIT}test_time.py",),
    ),
    Mutant(
        "wishes-never-expire",
        f"{_CORE}state.py",
        "heappush(self.deadlines, (wish.end, WISH_ENDS, wish.id, 0))",
        "pass",
        "Nobody hears that a wish was not met in its time.",
        (f"{_UNIT}test_time.py",),
    ),
    Mutant(
        "invitations-never-end",
        f"{_CORE}decide.py",
        "wish.invited.get(offer.id, 0) <= turn.now",
        "offer.id not in wish.invited",
        "An invitation can be accepted after its end.",
        (f"{_UNIT}test_invitations.py",),
    ),
    Mutant(
        "invited-twice",
        f"{_CORE}turn.py",
        "if wish.is_asked(offer.id) or",
        "if wish.invited.get(offer.id, 0) > now or",
        "Whoever let an invitation pass is invited again and again.",
        (f"{_UNIT}test_invitations.py",),
    ),
    Mutant(
        "invited-in-vain",
        f"{_CORE}turn.py",
        "if last >= now + policy.word_us:",
        "if last >= now:",
        "Who is invited for right now can only say yes when it is too late.",
        (f"{_UNIT}test_invitations.py",),
    ),
    Mutant(
        "asked-although-others-are-invited",
        f"{_CORE}turn.py",
        "if hurried is None or room < policy.invite_max:",
        "if hurried is None:",
        "The place is held for one while others are invited to it.",
        (f"{_UNIT}test_invitations.py",),
    ),
    Mutant(
        "one-person-takes-all-invitations",
        f"{_CORE}turn.py",
        " or offer.volunteer.ref in persons:",
        ":",
        "Somebody with three offers is invited three times, and nobody else is.",
        (f"{_UNIT}test_invitations.py",),
    ),
    Mutant(
        "older-postings-replace-newer-ones",
        f"{_CORE}decide.py",
        "before.status in (OPEN, LAPSED) and before.status_at > event.time:",
        "before.status in (OPEN, LAPSED) and before.status_at < 0:",
        "A posting that comes late gives a volunteer back a level that was taken away.",
        (_SAFE,),
    ),
    Mutant(
        "older-postings-are-stored",
        _BATCH,
        'if line["outcome"] == DECIDED:',
        "if True:",
        "After a restart a posting counts that came late and had no effect.",
        (_SAFE,),
    ),
    Mutant(
        "rounds-ignore-the-ladder",
        f"{_CORE}rounds.py",
        "if rung > reach:",
        "if rung > 99:",
        "Helpers from afar are taken while those in the building are still being asked.",
        (f"{_FOUND}::test_a_round_takes_nobody_from_beyond_the_rung", f"{_UNIT}test_rounds.py"),
    ),
    Mutant(
        "the-ladder-outlives-the-wish",
        f"{_CORE}ladder.py",
        "if reach == AREA or _asked_by(area, wish, reach + 1) <= wish.latest_start else AREA",
        "if wish else AREA",
        "A wish with little time left is over before it asks as far as its helper lives.",
        (f"{_LOST}::test_a_wish_of_which_the_next_rung_comes_too_late_is_for_everyone_in_its_last_round",),
    ),
    Mutant(
        "the-ladder-loses-who-goes",
        f"{_CORE}rounds.py",
        "yield from self._leaving.beyond(wish, reach, (rung, offer), ranked, near)",
        "pass",
        "A helper from afar is gone before the wish asks as far.",
        (f"{_LOST}::test_a_helper_from_afar_who_is_gone_before_the_wish_asks_as_far_is_taken_in_the_next_round",),
    ),
    Mutant(
        "who-goes-is-left-to-the-round",
        f"{_CORE}turn.py",
        "            self._seize(wish, goes=goes)\n",
        "            pass\n",
        "A helper is gone before the next round, and was the only one.",
        (f"{_LOST}::test_a_helper_who_is_gone_before_the_next_round_is_taken_at_once",),
    ),
    Mutant(
        "a-visit-ends-nobodys-time",
        f"{_CORE}turn.py",
        "index.visits.between(*over), ",
        "",
        "The only helper has another visit before the next round, and the wish is left to it.",
        (f"{_UNIT}test_next_visits.py::test_whose_next_visit_begins_before_the_next_round_is_taken_when_the_wish_comes",),
    ),
    Mutant(
        "a-week-ends-nobodys-time",
        f"{_CORE}state.py",
        "            self.index.weeks.note(start - WEEK_US, offer)",
        "            pass",
        "With another visit, the only helper would have too many in a week from the next round on.",
        (f"{_UNIT}test_next_visits.py::test_whom_the_limit_a_week_lets_begin_only_before_the_next_round_is_taken_at_once",),
    ),
    Mutant(
        "all-who-may-say-no-are-counted-on",
        f"{_CORE}turn.py",
        "                if len(sure) + len(asked) // 2 >= places:",
        "                if len(sure) + len(asked) >= places:",
        "Somebody who may say no lets a sure helper go.",
        (f"{_LOST}::test_of_two_who_stay_and_may_say_no_one_is_counted_on",),
    ),
    Mutant(
        "silence-counts-at-night",
        f"{_CORE}turn.py",
        "return max(min(self.now + answer, latest), min(policy.answer_by(wish.urgency, self.now), start - answer))",
        "return min(self.now + answer, latest)",
        "Who sleeps has not answered, and the next is asked, until morning.",
        (f"{_UNIT}test_time.py::test_a_night_is_waited_out_as_long_as_somebody_else_can_be_asked_in_time",),
    ),
    Mutant(
        "the-last-round-is-too-late",
        f"{_CORE}rounds.py",
        "max(lead, self.policy.round_us + ROUND_LATE_US)",
        "lead",
        "Without a lead, a pair is due when the last moment for the visit is past.",
        (f"{_LOST}::test_one_wish_and_one_offer_that_may_meet_are_proposed",),
    ),
    Mutant(
        "the-patient-keep-who-is-needed-now",
        f"{_CORE}rounds.py",
        "visits = kept if self.late[row] else left",
        "visits = left",
        "Somebody is kept for a wish that can wait, and one that is over by the next round has too few.",
        (f"{_LOST}::test_in_its_last_round_a_wish_for_two_is_given_who_is_kept_for_one_that_can_wait",),
    ),
    Mutant(
        "two-visits-of-one-hour-cost-a-wish",
        f"{_CORE}rounds.py",
        "            clashes[wish.id] = wish",
        "            pass",
        "A round leaves two wishes of one hour to one helper, and for the second the next round is too late.",
        (f"{_LOST}::test_who_is_given_to_two_wishes_of_one_hour_does_not_cost_the_second_its_last_moment",),
    ),
    Mutant(
        "two-wishes-for-one-place",
        f"{_CORE}rounds.py",
        "min(_PLACES_MAX, free)",
        "_PLACES_MAX",
        "A round counts on one helper for more wishes than they have places.",
        (f"{_UNIT}test_rounds.py",),
    ),
    Mutant(
        "the-patient-pass-the-due",
        f"{_CORE}rounds.py",
        "found.append(step * late if one else 0)",
        "found.append(0)",
        "A wish that has waited long enough is passed again and again by those that fit better.",
        (f"{_UNIT}test_nobody_is_passed.py",),
    ),
    Mutant(
        "people-are-forgotten-before-they-are-stored",
        f"{_CORE}state.py",
        "            self.idle[person.ref] = person",
        "            self.volunteers.pop(person.ref, None)",
        "Whoever posts again in the batch in which their last offer ended is a stranger.",
        (f"{_UNIT}test_people.py",),
    ),
    Mutant(
        "ids-by-chance",
        f"{_CORE}turn.py",
        'derived_id(f"{self.cause}\\n{len(self.out)}")',
        'str(__import__("uuid").uuid4())',
        "The same decision, made again after a crash, is told as another one.",
        (f"{_UNIT}test_hash_seed.py",),
    ),
    Mutant(
        "ties-by-hash",
        f"{_CORE}ranking.py",
        "person.tasks, offer.id, offer.entry, offer)",
        "person.tasks, str(hash(offer.id)), offer.entry, offer)",
        "Which of two equal helpers comes differs from process to process.",
        (f"{_UNIT}test_hash_seed.py",),
    ),
)

MUTANTS: Final = SHELL + RULES + SAFEGUARDING + COURSE
