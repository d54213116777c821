"""SQL of the usual course of a match, in schema `notifying`: told to both sides at once, and confirmed as soon as both were; one statement each.

`store` has the same in parts, for all that goes otherwise. Here a match and its two notices are one row on their way to the database and not three, and whoever
waits for it waits for one answer and not for three.
All rows come as one array of rows (migration 0039): an array for each column costs the driver and the server a good deal more.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from services.notifier.book import Match, Notice, Told, Untold
from services.notifier.notices import Kind, Party
from services.notifier.outgoing import Outgoing, packed

_RESIDENT: Final[tuple[Party, Kind]] = ("resident", "confirmed")
_VOLUNTEER: Final[tuple[Party, Kind]] = ("volunteer", "confirmed")
_TELL_BOTH = """
WITH new AS (
    SELECT * FROM unnest($1::notifying.told_match[])
), written AS (
    INSERT INTO notifying.confirmations AS known (match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, category, rung,
        slot_start, slot_end, state, organisation, urgency, minor)
    SELECT match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, category, rung, slot_start, slot_end, 'telling',
        organisation, urgency, minor FROM new
    ON CONFLICT (match_id) DO UPDATE SET state = excluded.state, released_for = excluded.released_for, changed_at = now()
)
INSERT INTO notifying.notices (key, match_id, wish_id, partition, area, party, kind, ref, language, text, state, offer_id, due_at)
SELECT told.key, match_id, wish_id, partition, area, told.party, 'confirmed', told.ref, $2, told.text, state, offer_id,
    clock_timestamp() + CASE state WHEN 'leased' THEN make_interval(secs => $3) ELSE interval '0' END
FROM new CROSS JOIN LATERAL (
    VALUES ('resident', resident_key, resident_ref, resident_text), ('volunteer', volunteer_key, volunteer_ref, volunteer_text)
) told(party, key, ref, text)
ON CONFLICT (key) DO NOTHING
"""
# Each of the two has been sent at the first attempt. One that has its end keeps it, as everywhere.
_CONFIRM_BOTH = """
WITH told AS (
    SELECT * FROM unnest($1::notifying.confirmed_match[]) WITH ORDINALITY told(match_id, resident_key, resident_channel, resident_at, volunteer_key,
        volunteer_channel, volunteer_at, id, partition, topic, key, headers, value, place)
), heard AS (
    UPDATE notifying.notices n SET state = 'sent', attempts = 1, channel = c.channel, sent_at = c.sent_at, fault = NULL, due_at = clock_timestamp(), tried = ''
    FROM told CROSS JOIN LATERAL (
        VALUES (resident_key, resident_channel, resident_at), (volunteer_key, volunteer_channel, volunteer_at)
    ) c(key, channel, sent_at) WHERE n.key = c.key AND n.state NOT IN ('sent', 'discarded', 'dead')
), confirmed AS (
    UPDATE notifying.confirmations m SET state = 'confirmed', released_for = NULL, changed_at = now() FROM told WHERE m.match_id = told.match_id
)
INSERT INTO notifying.outbox (id, partition, topic, key, headers, value)
SELECT id, partition, topic, key, headers, value FROM told ORDER BY place
ON CONFLICT (id) DO NOTHING
"""


def told_at_once(matches: Iterable[Match], new_notices: Mapping[UUID, Notice]) -> dict[str, Match]:
    """Those that are to be told to both sides just now, and hang on no other; by their ids."""
    found = {}
    for match in matches:
        if match.state == "telling" and match.group_id is None:
            one, other = match.notices[_RESIDENT], match.notices[_VOLUNTEER]
            if one.key in new_notices and other.key in new_notices and one.state == other.state:
                found[match.match_id] = match
    return found


def confirmed_at_once(ends: Iterable[Told | Untold], changed: Mapping[UUID, Notice], counted: Collection[UUID]) -> dict[str, Match]:
    """Those that are confirmed because both sides were told just now, each at the first attempt, and hang on no other; by their ids.

    Args: `counted`: notices that count against their person's number a day, which depends on what the row was.
    """
    found = {}
    for end in ends:
        match = end.match
        if match.state == "confirmed" and match.group_id is None:
            told = (match.notices[_RESIDENT], match.notices[_VOLUNTEER])
            if all(one.key in changed and one.attempts == 1 and one.fault is None and not one.tried and one.key not in counted for one in told):
                found[match.match_id] = match
    return found


def set_apart(usual: Mapping[str, Match], changed: Mapping[str, Match]) -> tuple[list[Match], set[UUID]]:
    """What is written in parts beside the usual ones: the other matches that changed; and the keys of the notices that are written with the usual ones."""
    rest = [match for match_id, match in changed.items() if match_id not in usual]
    return rest, {notice.key for match in usual.values() for notice in match.notices.values() if notice.kind == "confirmed"}


class UsualUnit:
    """The usual course's part of one transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def tell_both(self, matches: Sequence[Match], lease_seconds: float) -> None:
        """Insert matches with the notices to both sides, or change the state of those that are known."""
        rows = []
        for m in matches:
            one, other = m.notices[_RESIDENT], m.notices[_VOLUNTEER]
            rows.append((
                m.match_id, m.wish_id, m.offer_id, m.area, m.partition, m.resident_ref, m.volunteer_ref, m.category, m.rung, m.slot[0], m.slot[1],
                m.organisation, m.urgency, m.minor, one.state, one.key, one.text, other.key, other.text,
            ))  # fmt: skip
        if rows:
            language = matches[0].notices[_RESIDENT].language
            await self._connection.execute(_TELL_BOTH, rows, language, lease_seconds)

    async def confirm_both(self, matches: Sequence[Match], records: Sequence[Outgoing]) -> None:
        """Write that both sides know of these, with the records that say so, in this order."""
        rows = []
        for m, r in zip(matches, records, strict=True):
            one, other = m.notices[_RESIDENT], m.notices[_VOLUNTEER]
            rows.append((
                m.match_id, one.key, one.channel, one.sent_at, other.key, other.channel, other.sent_at,
                r.id, r.partition, r.topic, r.key, packed(r.headers), r.value,
            ))  # fmt: skip
        if rows:
            await self._connection.execute(_CONFIRM_BOTH, rows)
