"""What the SKIP LOCKED peer says to PostgreSQL: its tables, its search and its writes, with slots kept apart and without.

Slots are kept apart by a multirange in the offer's row: when its volunteer is taken, by any of that person's offers. Whoever books locks the row and the
person (an advisory lock, as a volunteer may have several offers) and only then looks for room, so the room is that of the newest version; and the write adds
the slot to all of that person's offers, only where it is still free. This is the fastest of the ways that were tried: a row a volunteer, the
volunteer's rows of `peer.matches`, and an exclusion constraint on that table as the guard.
"""

from typing import Final

MATCHES: Final = "SELECT wish_id, offer_id, rung, starts_at, ends_at FROM peer.matches"
TABLES: Final = ("wishes", "offers", "search", "matches", "outbox")

SCHEMA: Final = """
    CREATE SCHEMA peer;
    CREATE TABLE peer.wishes (
        id bigint PRIMARY KEY, wish_id text NOT NULL UNIQUE, area text NOT NULL, community text NOT NULL, compound text, building text, unit text,
        skills text[] NOT NULL, vetting smallint NOT NULL, opens timestamptz NOT NULL, closes timestamptz NOT NULL, visit interval NOT NULL,
        resident_ref text NOT NULL, status text NOT NULL DEFAULT 'waiting'
    );
    CREATE INDEX wishes_waiting ON peer.wishes (id) WHERE status = 'waiting';
    CREATE TABLE peer.offers (
        offer_id text PRIMARY KEY, volunteer_ref text NOT NULL, skills text[] NOT NULL, level smallint NOT NULL,
        capacity smallint NOT NULL, live smallint NOT NULL DEFAULT 0 CHECK (live <= capacity)
    ) WITH (fillfactor = 70);
    CREATE TABLE peer.search (
        area text NOT NULL, skill text NOT NULL, community text NOT NULL, compound text, building text, reach smallint NOT NULL, level smallint NOT NULL,
        opens timestamptz NOT NULL, closes timestamptz NOT NULL, offer_id text NOT NULL REFERENCES peer.offers
    );
    CREATE TABLE peer.matches (
        match_id uuid PRIMARY KEY, wish_id text NOT NULL UNIQUE, offer_id text NOT NULL, rung smallint NOT NULL,
        starts_at timestamptz NOT NULL, ends_at timestamptz NOT NULL
    );
    CREATE TABLE peer.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL, payload bytea NOT NULL);
"""
# When the offer's volunteer is taken, by any of that person's offers. It grows with each match, hence the room left in the pages.
BUSY: Final = """
    ALTER TABLE peer.offers ADD COLUMN busy tstzmultirange NOT NULL DEFAULT '{}', SET (fillfactor = 50);
    CREATE INDEX offers_volunteer ON peer.offers (volunteer_ref);
"""
INDEX: Final = "CREATE INDEX search_nearest ON peer.search (area, skill, community, compound, building)"
TAKE: Final = """
    SELECT id, wish_id, area, community, compound, building, skills, vetting, opens, closes, visit, resident_ref
    FROM peer.wishes WHERE status = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
NOBODY: Final = "UPDATE peer.wishes SET status = 'unmet' WHERE id = $1"

_CANDIDATES: Final = """
    FROM peer.search s JOIN peer.offers o USING (offer_id)
    WHERE s.area = {area} AND s.skill = ({skills})[1] AND {circle} AND s.reach >= {rung} AND s.level >= {vetting}
        AND s.opens <= {closes} - {visit} AND s.closes >= {opens} + {visit} AND o.live < o.capacity AND o.skills @> {skills}
"""
# One branch a circle, nearest first. The next branch is run only where the one before gave nobody.
_BRANCH_SPARED: Final = """
    SELECT * FROM (
        SELECT o.offer_id, o.volunteer_ref, {rung} AS rung, greatest(s.opens, {opens}) AS starts_at {candidates}
        ORDER BY o.live, o.offer_id LIMIT 1 FOR UPDATE OF o SKIP LOCKED
    ) AS within_{rung}
"""
# From the inside out: candidates in order, each locked as it comes up; its volunteer, so that nobody books another offer of that person's meanwhile; the
# earliest room. The first who has some ends all three. (Without OFFSET 0 the person's lock would be pushed down to the scan, and taken for all candidates.)
_BRANCH: Final = """
    SELECT * FROM (
        SELECT held.offer_id, held.volunteer_ref, {rung} AS rung, slot.starts_at
        FROM (
            SELECT o.offer_id, o.volunteer_ref, o.busy, greatest(s.opens, {opens}) AS opens, least(s.closes, {closes}) AS closes {candidates}
            ORDER BY o.live, o.offer_id, s.opens OFFSET 0
            FOR UPDATE OF o {locked}
        ) AS held
        CROSS JOIN LATERAL (
            SELECT lower(room) AS starts_at FROM unnest(tstzmultirange(tstzrange(held.opens, held.closes)) - held.busy) AS room
            WHERE lower(room) + {visit} <= upper(room) LIMIT 1
        ) AS slot
        WHERE {person}
        LIMIT 1
    ) AS within_{rung}
"""
_CIRCLES: Final = (
    (1, "s.community = {community} AND s.compound = {compound} AND s.building = {building}"),
    (2, "s.community = {community} AND s.compound = {compound} AND s.building <> {building}"),
    (3, "s.community = {community} AND s.compound <> {compound}"),
    (4, "s.community <> {community}"),
)
ASKED: Final = ("area", "community", "compound", "building", "skills", "vetting", "opens", "closes", "visit")
"""What the search wants to know of a wish, in the order of its parameters."""
_TYPES: Final = ("text", "text", "text", "text", "text[]", "smallint", "timestamptz", "timestamptz", "interval")
_PARAMETERS: Final = {name: f"${number}::{kind}" for number, (name, kind) in enumerate(zip(ASKED, _TYPES, strict=True), 1)}


# How the offer and its volunteer are locked: whoever is being booked is passed by, or waited for.
_PASS_BY: Final = {"locked": "SKIP LOCKED", "person": "pg_try_advisory_xact_lock(hashtextextended(held.volunteer_ref, 0))"}
_WAIT: Final = {"locked": "", "person": "pg_advisory_xact_lock(hashtextextended(held.volunteer_ref, 0)) IS NOT NULL"}


def _find(values: dict[str, str], *, apart: bool, wait: bool = False) -> str:
    branch = _BRANCH if apart else _BRANCH_SPARED
    branches = []
    for rung, circle in _CIRCLES:
        candidates = _CANDIDATES.format(rung=rung, circle=circle.format(**values), **values)
        branches.append(branch.format(rung=rung, candidates=candidates, **(_WAIT if wait else _PASS_BY), **values))
    return f"SELECT * FROM ({' UNION ALL '.join(branches)}) nearest LIMIT 1"  # noqa: S608 - of our own constants


def find(*, apart: bool, wait: bool = False) -> str:
    """The nearest offer and, where `apart`, its volunteer's earliest clear start.

    Whoever is being booked just now is passed by; with `apart` and `wait` they are waited for, which is asked before it is said that nobody can.
    """
    return _find(_PARAMETERS, apart=apart, wait=wait)


_WRITE_SPARED: Final = """
    WITH matched AS (INSERT INTO peer.matches VALUES ($1, $2, $3, $4, $5, $6)),
        taken AS (UPDATE peer.offers SET live = live + 1 WHERE offer_id = $3),
        done AS (UPDATE peer.wishes SET status = 'matched' WHERE id = $7)
    INSERT INTO peer.outbox (topic, key, payload) VALUES ('matches', $8, $9)
"""
_WRITE: Final = """
    WITH booked AS (
            UPDATE peer.offers SET busy = busy + tstzmultirange(tstzrange($5, $6)), live = live + (offer_id = $3)::int
            WHERE volunteer_ref = $10 AND NOT busy && tstzrange($5, $6) RETURNING offer_id
        ),
        matched AS (INSERT INTO peer.matches VALUES ($1, $2, $3, $4, $5, $6)),
        done AS (UPDATE peer.wishes SET status = 'matched' WHERE id = $7)
    INSERT INTO peer.outbox (topic, key, payload) SELECT 'matches', $8, $9 FROM booked WHERE offer_id = $3 RETURNING id
"""


def write(*, apart: bool) -> str:
    """All writes of a match in one statement; where `apart`, it returns nothing if the volunteer has been booked for that time after all."""
    return _WRITE if apart else _WRITE_SPARED


def match_one(*, apart: bool) -> str:
    """The function that does all of it in the server: true for a match, false where nobody can, null where no wish waits."""
    asked = {name: f"w.{name}" for name in ASKED}
    again, book = "", "UPDATE peer.offers SET live = live + 1 WHERE offer_id = chosen.offer_id;"
    if apart:
        again = f"IF NOT FOUND THEN {_find(asked, apart=True, wait=True)} INTO chosen; END IF;"
        book = """
            UPDATE peer.offers SET busy = busy + tstzmultirange(tstzrange(chosen.starts_at, chosen.starts_at + w.visit)),
                live = live + (offer_id = chosen.offer_id)::int
            WHERE volunteer_ref = chosen.volunteer_ref AND NOT busy && tstzrange(chosen.starts_at, chosen.starts_at + w.visit);
            IF NOT FOUND THEN RAISE exclusion_violation; END IF;
        """
    return f"""
        CREATE FUNCTION peer.match_one() RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off AS $$
        DECLARE w record; chosen record; m uuid := gen_random_uuid();
        BEGIN
            {TAKE} INTO w;
            IF NOT FOUND THEN RETURN NULL; END IF;
            {_find(asked, apart=apart)} INTO chosen;
            {again}
            IF NOT FOUND THEN UPDATE peer.wishes SET status = 'unmet' WHERE id = w.id; RETURN false; END IF;
            {book}
            INSERT INTO peer.matches VALUES (m, w.wish_id, chosen.offer_id, chosen.rung, chosen.starts_at, chosen.starts_at + w.visit);
            UPDATE peer.wishes SET status = 'matched' WHERE id = w.id;
            INSERT INTO peer.outbox (topic, key, payload) VALUES ('matches', w.area, convert_to(json_build_object(
                'area', w.area, 'match_id', m, 'wish_id', w.wish_id, 'offer_id', chosen.offer_id,
                'resident_ref', w.resident_ref, 'volunteer_ref', chosen.volunteer_ref, 'rung', chosen.rung,
                'slot', json_build_object('start', chosen.starts_at, 'end', chosen.starts_at + w.visit))::text, 'UTF8'));
            RETURN true;
        END $$
    """  # noqa: S608 - of our own constants
