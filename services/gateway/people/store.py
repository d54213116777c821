"""All SQL of the members' and residents' pages. Each runs for somebody (`Database.acting_for`): row-level security leaves only what they may see.

Only what a stage allows is read: the building of a wish not before acceptance, its stairway never.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.place import Place, Rung
from services.gateway.database import BEFORE_CLAIM, CORRECTED, MINORS, Database, described
from services.gateway.gather import Gather
from services.gateway.people.following import MyWish, Visit
from services.gateway.people.visits import Booked, Invitation, MyMatch
from services.gateway.people.wall import RUNG_ORDER, Choice, MyOffer, OpenWish, home_of, wanted_between
from services.gateway.roles import Principal, Scope

SHELF_MAX: Final = 400
"""So many of a circle are kept for whoever is told "too late"; where more wait, and none of these fits, the table is asked for all of them."""
_LIVE: Final = ("proposed", "agreed", "confirmed", "started", "finished")

# More at a time would wait for the same processors; more together, and the first of them would wait for the last.
_LOOKS_AT_ONCE = 4
_LOOKS_TOGETHER = 25

_OPEN_COLUMNS = """
    area, wish_id, community, compound, building, unit, category, urgency, title, skills, languages, starts_at, ends_at, minutes, helpers_needed, live,
    age_band, lives_alone, vetting_min, approval, accompanied
"""
# Of the asker's circle alone: the policies also show wishes of their own elsewhere, which are nobody's to claim from here.
_WAITS = f"""
    w.area = $1 AND w.state IN ('open', 'held') AND NOT w.frozen AND w.ends_at > $2 AND w.category IS NOT NULL AND w.community IS NOT NULL
    AND w.live < greatest(w.helpers_needed, CASE WHEN w.accompanied OR {MINORS} THEN 2 ELSE 1 END)
    AND ($3::text IS NULL OR w.community = $3) AND ($4::text IS NULL OR w.compound = $4) AND ($5::text IS NULL OR w.building = $5)
    AND ($6::text IS NULL OR w.unit = $6)
"""
_OPEN = f"SELECT {_OPEN_COLUMNS} FROM gateway.wishes w WHERE {_WAITS} ORDER BY ends_at LIMIT $7"  # noqa: S608 - our own words alone


def _rung_to(home: str) -> str:
    """How near a wish is, as `wall.rung_between` says it: 0 the same stairway … 4 the area."""
    return f"""CASE WHEN (w.community = {home}.community) IS NOT TRUE THEN 4 WHEN (w.compound = {home}.compound) IS NOT TRUE THEN 3
        WHEN (w.building = {home}.building) IS NOT TRUE THEN 2 WHEN (w.unit = {home}.unit) IS NOT TRUE THEN 1 ELSE 0 END"""


# Live, as the matcher counts it: until the slot is over.
_IN_HAND = """(SELECT count(*) FROM gateway.matches m WHERE m.area = o.area AND m.volunteer_ref = o.volunteer_ref AND m.offer_id = o.offer_id
    AND m.state IN ('proposed', 'agreed', 'confirmed', 'started', 'finished') AND m.ends_at > $2)"""
# What `wall.missing` says of each card, said once more where thousands are left out: so that nothing that fits is among them, and they are counted truly.
# A test holds the two together. The offers are those of the asker; who may look at what is the policies' business here as everywhere.
_WALL = f"""
WITH offers AS MATERIALIZED (
    SELECT o.community, o.compound, o.building, o.unit, o.skills, o.languages, o.vetting_level, o.checked_at,
        array_position(ARRAY['unit', 'building', 'compound', 'community', 'area'], coalesce(o.reach, 'area')) - 1 AS reach, {_IN_HAND} >= o.capacity AS is_full,
        ARRAY(SELECT (x ->> 'start')::timestamptz FROM jsonb_array_elements(o.windows) WITH ORDINALITY t(x, n) ORDER BY n) AS starts,
        ARRAY(SELECT (x ->> 'end')::timestamptz FROM jsonb_array_elements(o.windows) WITH ORDINALITY t(x, n) ORDER BY n) AS ends
    FROM gateway.offers o WHERE o.area = $1 AND o.volunteer_ref = $7 AND o.state = 'open'
), waiting AS (
    SELECT w.*, {MINORS} AS minor, CASE WHEN {MINORS} THEN 4 ELSE greatest(w.vetting_min, CASE WHEN w.lives_alone THEN 2 ELSE 0 END) END AS vetting
    FROM gateway.wishes w
    WHERE {_WAITS} AND w.wish_id <> ALL ($8::text[]) AND ($9::text IS NULL OR w.category = $9)
        AND ($10::timestamptz IS NULL OR (w.starts_at < $11::timestamptz AND w.ends_at > $10))
), judged AS MATERIALIZED (
    SELECT w.*, best.rung IS NOT NULL AS fits,
        greatest(coalesce(best.rung, (SELECT min({_rung_to("o")}) FROM offers o), {_rung_to("home")}), CASE WHEN w.minor THEN 3 ELSE 0 END) AS near
    FROM waiting w, (SELECT $12::text, $13::text, $14::text, $15::text) AS home(community, compound, building, unit),
        LATERAL (
            SELECT min({_rung_to("o")}) AS rung FROM offers o
            WHERE NOT o.is_full AND o.skills @> w.skills AND (w.languages = '{{}}' OR o.languages && w.languages) AND {_rung_to("o")} <= o.reach
                AND o.vetting_level >= w.vetting AND (w.vetting < 4 OR o.checked_at >= greatest(w.starts_at, $2) - interval '365 days')
                AND EXISTS (SELECT FROM unnest(o.starts, o.ends) AS x(start, until)
                    WHERE least(x.until, w.ends_at) - greatest(x.start, w.starts_at, $2) >= make_interval(mins => w.minutes))
        ) best
), near AS MATERIALIZED (
    SELECT * FROM judged WHERE near <= $16
), page AS (
    SELECT * FROM near WHERE fits OR $17
    ORDER BY NOT fits, category IS DISTINCT FROM $18 AND $18 IS NOT NULL,
        array_position(ARRAY['red', 'yellow', 'blue'], urgency), near, ends_at, wish_id COLLATE "C"
    LIMIT $19
)
SELECT counted.fitting, counted.together, {_OPEN_COLUMNS}
FROM (SELECT count(*) FILTER (WHERE fits) AS fitting, count(*) AS together FROM near) counted LEFT JOIN page ON true
"""  # noqa: S608 - the same
_FULL = f"""
SELECT o.offer_id FROM gateway.offers o
WHERE o.area = $1 AND o.volunteer_ref = $3 AND o.state = 'open' AND {_IN_HAND} >= o.capacity
"""  # noqa: S608 - the same
# Of a child, before the yes and once the pair is apart: the community, and no circle nearer than that.
_OF_ADULTS = "NOT (w.age_band LIKE 'under%' OR w.category = 'left_behind_children')"
_KNOWN = f"(m.state IN ('agreed', 'confirmed', 'started', 'finished') OR {_OF_ADULTS})"
_MATCH_COLUMNS = f"""
    m.area, m.match_id, m.wish_id, m.offer_id, m.resident_ref, m.volunteer_ref, m.state,
    CASE WHEN {_KNOWN} OR m.rung IN ('community', 'area') THEN m.rung ELSE 'community' END AS rung, m.starts_at, m.ends_at, m.needs_answer, m.needs_approval,
    m.expires_at, m.release_reason, m.outcome, m.minutes, m.closed_at, m.group_id IS NOT NULL AS together,
    m.accepted_at IS NOT NULL AS answered, m.approved_at IS NOT NULL AS approved,
    w.category, w.community, CASE WHEN {_KNOWN} THEN w.compound END AS compound,
    CASE WHEN m.state IN ('agreed', 'confirmed', 'started', 'finished', 'closed')
        OR {_OF_ADULTS} THEN w.title END AS title,
    CASE WHEN m.state IN ('agreed', 'confirmed', 'started', 'finished') THEN w.building END AS building
FROM gateway.matches m LEFT JOIN gateway.wishes w USING (area, wish_id)
"""
_MATCHES = f"""
SELECT {_MATCH_COLUMNS}
WHERE m.area = $1 AND m.volunteer_ref = $2 AND m.starts_at IS NOT NULL
ORDER BY m.state IN ('closed', 'released'), CASE WHEN m.state IN ('closed', 'released') THEN m.changed_at END DESC, m.starts_at
LIMIT $3
"""
_MATCH = f"SELECT {_MATCH_COLUMNS} WHERE m.area = $1 AND m.match_id = $2 AND m.volunteer_ref = $3"
_INVITATIONS = f"""
SELECT i.area, i.wish_id, i.offer_id, i.starts_at, i.ends_at, i.expires_at, w.category,
    CASE WHEN i.rung IN ('community', 'area') OR {_OF_ADULTS} THEN i.rung ELSE 'community' END AS rung,
    CASE WHEN {_OF_ADULTS} THEN w.title END AS title,
    w.community, CASE WHEN {_OF_ADULTS} THEN w.compound END AS compound
FROM gateway.invitations i LEFT JOIN gateway.wishes w USING (area, wish_id)
WHERE i.area = $1 AND i.volunteer_ref = $2 AND i.live AND i.expires_at > $3
    AND NOT EXISTS (SELECT FROM gateway.matches m WHERE m.area = i.area AND m.wish_id = i.wish_id AND m.volunteer_ref = $2)
ORDER BY i.expires_at
"""  # noqa: S608 - our own words alone
_OFFERED = "SELECT EXISTS (SELECT FROM gateway.offers WHERE area = $1 AND volunteer_ref = $2 AND offer_id = $3)"
_BOOKS = "SELECT match_id, starts_at, outcome, minutes, points, corrected FROM gateway.my_books()"
_WISH_COLUMNS = f"""
    area, wish_id, community, compound, building, category, urgency, title, starts_at, ends_at, minutes, state, resident_ref, live, helpers_needed, changed_at,
    {CORRECTED} AS corrected
"""
_MY_WISHES = f"""
SELECT {_WISH_COLUMNS} FROM gateway.wishes w
WHERE area = $1 AND resident_ref = ANY($2::text[]) AND category IS NOT NULL
ORDER BY state IN ('closed', 'withdrawn', 'expired'), submitted_at DESC
LIMIT 100
"""  # noqa: S608 - the same
_MY_WISH = f"SELECT {_WISH_COLUMNS} FROM gateway.wishes w WHERE area = $1 AND wish_id = $2"  # noqa: S608 - the same
_VISITS = """
SELECT m.match_id, m.offer_id, m.state, m.rung, m.starts_at, m.ends_at, coalesce(c.outcome, m.outcome) AS outcome, m.organisation,
    c.outcome IS NOT NULL AS corrected,
    EXISTS (SELECT FROM gateway.stream s WHERE s.area = m.area AND s.wish_id = m.wish_id AND s.kind = 'service.acknowledged.v1' AND s.match_id = m.match_id)
        AS told
FROM gateway.matches m LEFT JOIN gateway.corrected c ON c.area = m.area AND c.wish_id = m.wish_id AND c.match_id = m.match_id AND m.state = 'closed'
WHERE m.area = $1 AND m.wish_id = $2 AND m.starts_at IS NOT NULL AND m.state <> 'released'
ORDER BY m.starts_at, m.match_id
"""
_REVIEWS = "SELECT reviews FROM gateway.communities WHERE area = $1 AND community = $2"
_DRAFT = """
INSERT INTO gateway.drafts (draft_id, area, community, compound, building, unit, wish_id, data, origin, resident_ref, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, 'entered', $9, $10)
ON CONFLICT (area, wish_id) DO NOTHING
"""
_ENTERED = """
SELECT title FROM gateway.wishes WHERE area = $1 AND wish_id = $2
UNION ALL SELECT data ->> 'title' FROM gateway.drafts WHERE area = $1 AND wish_id = $2
"""
_DRAFTS = """
SELECT wish_id, data ->> 'title' AS title, state, reason FROM gateway.drafts
WHERE area = $1 AND entered_by = $2 AND origin = 'entered' AND state <> 'published'
ORDER BY entered_at DESC LIMIT 50
"""
# Of half a year, and their own of all time: through half a million wishes it took two seconds.
_PLACES = """
SELECT community, compound FROM gateway.wishes WHERE area = $1 AND community IS NOT NULL AND submitted_at > now() - interval '183 days' GROUP BY 1, 2
UNION SELECT community, compound FROM gateway.wishes WHERE area = $1 AND community IS NOT NULL AND resident_ref = ANY ($2::text[])
ORDER BY community, compound LIMIT 200
"""
_INBOX = """
SELECT key, kind, coalesce(texts ->> $1, text) AS text, at, read_at, wish_id, count(*) FILTER (WHERE read_at IS NULL) OVER () AS unread
FROM gateway.inbox ORDER BY read_at IS NOT NULL, at DESC LIMIT 100
"""
_UNREAD = "SELECT count(*) FROM gateway.inbox WHERE read_at IS NULL"
_READ = "SELECT gateway.mark_read($1::uuid[])"


def _place(row: Any) -> Place | None:
    if row["community"] is None:
        return None
    return Place(community=row["community"], compound=row["compound"], building=row["building"], unit=row["unit"])


def _steps(circle: Scope | Place) -> tuple[str | None, ...]:
    return circle.community, circle.compound, circle.building, circle.unit


def _open_wish(row: Any) -> OpenWish | None:
    place = _place(row)
    if place is None:
        return None
    given = {name: value for name, value in dict(row).items() if name not in {"community", "compound", "building", "unit"}}
    return OpenWish(**{**given, "place": place, "skills": tuple(row["skills"]), "languages": tuple(row["languages"])})


def _offer(row: Any) -> MyOffer:
    windows: list[dict[str, str]] = json.loads(row["windows"]) if isinstance(row["windows"], str) else row["windows"]
    return MyOffer(
        row["area"],
        row["offer_id"],
        _place(row),
        row["reach"] or "area",
        frozenset(row["skills"]),
        frozenset(row["languages"]),
        row["vetting_level"],
        row["checked_at"],
        tuple((datetime.fromisoformat(window["start"]), datetime.fromisoformat(window["end"])) for window in windows),
    )


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Mine:
    """A match of the member's, in brief."""

    wish_id: str
    match_id: str
    state: str
    starts_at: datetime
    ends_at: datetime
    needs_answer: bool

    @property
    def live(self) -> bool:
        """Whether it stands."""
        return self.state in _LIVE


@dataclass(frozen=True, slots=True)
class Before:
    """What a claim knows beforehand; `wish` is None where it does not wait, or is not to be seen. `near`: it lies in the circle of whoever asks."""

    offers: list[MyOffer]
    wish: OpenWish | None
    matches: list[Mine]
    near: bool

    def match_of(self, wish_id: str) -> Mine | None:
        """The member's live match of a wish."""
        return next((match for match in self.matches if match.wish_id == wish_id and match.live), None)

    @property
    def parted(self) -> frozenset[str]:
        """Wishes that they have or had a match of."""
        return frozenset(match.wish_id for match in self.matches)


Asked = tuple[str, str, str, str]
"""A principal as the policies read it, the area, the volunteer, the wish."""
Looks = Gather[Asked, Any]
"""Answers with a row of `gateway.before_claim`."""


def looks(database: Database) -> Looks:
    """What looks for all who ask in the same instant."""

    async def look(asked: Sequence[Asked]) -> Sequence[Any]:
        rows: Sequence[Any] = await database.pool.fetch(BEFORE_CLAIM, *map(list, zip(*asked, strict=True)))
        return rows

    return Gather(look, at_once=_LOOKS_AT_ONCE, most=_LOOKS_TOGETHER)


async def before_claim(look: Looks, principal: Principal, wish_id: str) -> Before:
    """All of it in one look, for whoever asks."""
    row = await look((described(principal), principal.scope.area, principal.volunteer_ref or "", wish_id))
    wish: dict[str, Any] | None = json.loads(row["wish"]) if row["wish"] else None
    if wish is not None:
        wish |= {name: _at(wish[name]) for name in ("starts_at", "ends_at")}
    offers = [_offer(one | {"checked_at": _at(one["checked_at"])}) for one in json.loads(row["offers"])]
    matches = [Mine(**(one | {name: _at(one[name]) for name in ("starts_at", "ends_at")})) for one in json.loads(row["matches"])]
    return Before(offers, None if wish is None else _open_wish(wish), matches, row["near"])


async def open_wishes(connection: Any, scope: Scope, now: datetime) -> list[OpenWish]:
    """What waits for somebody in a circle: the `SHELF_MAX` that end soonest."""
    rows = await connection.fetch(_OPEN, scope.area, now, *_steps(scope), SHELF_MAX)
    return [wish for wish in map(_open_wish, rows) if wish is not None]


@dataclass(frozen=True, slots=True)
class Picked:
    """The first of what waits, in the wall's order; `fitting`: how many fit in all, `together`: with those that do not."""

    wishes: tuple[OpenWish, ...]
    fitting: int
    together: int


async def pick(
    connection: Any, principal: Principal, before: Before, choice: Choice, now: datetime, most: int, *, but: str | None = None, like: str | None = None
) -> Picked:
    """Of all open wishes in somebody's circle that they have no match of, and that their choice leaves, the first `most`.

    `but`: not this one either. `like`: those of this category go before what is urgent.
    """
    scope, home = principal.scope, home_of(before.offers, principal.scope)
    rows = await connection.fetch(
        _WALL, scope.area, now, *_steps(scope), principal.volunteer_ref, sorted(before.parted | ({but} if but else set())), choice.category,
        *wanted_between(choice.when, now), *((None,) * 4 if home is None else _steps(home)),
        RUNG_ORDER.index(choice.rung or Rung.AREA), choice.everything, like, most,
    )  # fmt: skip
    found = [_open_wish({name: row[name] for name in row.keys() if name not in {"fitting", "together"}}) for row in rows if row["wish_id"] is not None]  # noqa: SIM118 - a record's
    return Picked(tuple(wish for wish in found if wish is not None), rows[0]["fitting"], rows[0]["together"])


async def full_offers(connection: Any, area: str, volunteer_ref: str, now: datetime) -> frozenset[str]:
    """The member's offers that have as many live visits as they take at once."""
    return frozenset(row["offer_id"] for row in await connection.fetch(_FULL, area, now, volunteer_ref))


async def my_matches(connection: Any, area: str, volunteer_ref: str, limit: int = 60) -> list[MyMatch]:
    """The member's matches: what is still to come by its time, then what is over."""
    return [MyMatch(**dict(row)) for row in await connection.fetch(_MATCHES, area, volunteer_ref, limit)]


async def my_match(connection: Any, area: str, match_id: str, volunteer_ref: str) -> MyMatch | None:
    """One of them."""
    row = await connection.fetchrow(_MATCH, area, match_id, volunteer_ref)
    return None if row is None or row["starts_at"] is None else MyMatch(**dict(row))


async def my_invitations(connection: Any, area: str, volunteer_ref: str, now: datetime) -> list[Invitation]:
    """What the member is asked at once with others."""
    return [Invitation(**dict(row)) for row in await connection.fetch(_INVITATIONS, area, volunteer_ref, now)]


async def has_offered(connection: Any, area: str, volunteer_ref: str, offer_id: str) -> bool:
    """Whether an offer is the member's, also one that was withdrawn since."""
    return bool(await connection.fetchval(_OFFERED, area, volunteer_ref, offer_id))


async def my_books(connection: Any) -> dict[str, Booked]:
    """What the ledger holds of each visit of whoever asks, in their area, by match."""
    return {row["match_id"]: Booked(**dict(row)) for row in await connection.fetch(_BOOKS)}


async def my_wishes(connection: Any, area: str, resident_refs: frozenset[str]) -> list[MyWish]:
    """The wishes of these residents."""
    return [MyWish(**dict(row)) for row in await connection.fetch(_MY_WISHES, area, sorted(resident_refs))]


async def my_wish(connection: Any, area: str, wish_id: str) -> MyWish | None:
    """One wish, as its resident or a worker follows it."""
    row = await connection.fetchrow(_MY_WISH, area, wish_id)
    return None if row is None or row["category"] is None else MyWish(**dict(row))


async def visits_of(connection: Any, area: str, wish_id: str) -> list[Visit]:
    """Who comes, or came, for a wish."""
    return [Visit(**dict(row)) for row in await connection.fetch(_VISITS, area, wish_id)]


async def is_reviewed(connection: Any, area: str, community: str) -> bool:
    """Whether a worker looks at this community's wishes before they are published."""
    return bool(await connection.fetchval(_REVIEWS, area, community))


async def add_draft(connection: Any, draft_id: str, data: dict[str, Any], account: str) -> None:
    """Let a wish wait for a worker's look."""
    place = data["place"]
    await connection.execute(
        _DRAFT, draft_id, data["area"], place["community"], place.get("compound"), place.get("building"), place.get("unit"), data["wish_id"],
        json.dumps(data, ensure_ascii=False), data["resident_ref"], account,
    )  # fmt: skip


async def entered_before(connection: Any, area: str, wish_id: str) -> str | None:
    """The title of what was entered under this id, as far as it shows."""
    title: str | None = await connection.fetchval(_ENTERED, area, wish_id)
    return title


async def my_drafts(connection: Any, area: str, account: str) -> list[dict[str, Any]]:
    """What somebody has entered and nobody has published yet: wish_id, title, state, reason."""
    return [dict(row) for row in await connection.fetch(_DRAFTS, area, account)]


async def known_places(connection: Any, area: str, resident_refs: frozenset[str]) -> list[tuple[str, str | None]]:
    """Communities and compounds that wishes have named within half a year, and those of these residents ever, to choose from."""
    return [(row["community"], row["compound"]) for row in await connection.fetch(_PLACES, area, sorted(resident_refs))]


async def inbox(connection: Any, language: str) -> list[dict[str, Any]]:
    """The messages in the app to whoever asks, those not read yet first, then the newest, a hundred at most: key, kind, text, at, read_at.

    `text` is in the `language` in which they read, where it was kept in it. `wish_id`: of what lies there for the desk; `unread`: how many are not read in all.
    """
    return [dict(row) for row in await connection.fetch(_INBOX, language)]


async def unread(connection: Any) -> int:
    """How many they have not read."""
    return int(await connection.fetchval(_UNREAD))


async def mark_read(connection: Any, keys: list[str]) -> None:
    """They have been shown and read; once."""
    await connection.execute(_READ, keys)
