"""What an area remembers of its people: how often they were asked and said yes, their visits, and whom they know.

A second `matching.store` takes both as two arrays more, in the same call. They change when somebody answers and when a visit is over, never with a match.
Instants are microseconds.
"""

from alembic import op

revision = "0006_people"
down_revision = "0005_more_notices"
branch_labels = None
depends_on = None

# `asked`: answers that were due, `agreed`: those that were a yes; `visits`: slots that are over and were not taken back, the last of which ended at `last_at`.
PEOPLE = """
    CREATE TABLE matching.people (
        area text NOT NULL,
        volunteer_ref text NOT NULL,
        asked integer NOT NULL,
        agreed integer NOT NULL,
        visits integer NOT NULL CHECK (visits >= 0),
        last_at bigint NOT NULL,
        PRIMARY KEY (area, volunteer_ref),
        CHECK (0 <= agreed AND agreed <= asked)
    ) WITH (fillfactor = 70)
"""
MET = """
    CREATE TABLE matching.met (
        area text NOT NULL,
        volunteer_ref text NOT NULL,
        resident_ref text NOT NULL,
        times integer NOT NULL CHECK (times > 0),
        PRIMARY KEY (area, volunteer_ref, resident_ref)
    ) WITH (fillfactor = 70)
"""
# The batch as it was stored before, and then, if no lane was lost, the people.
STORE = """
CREATE FUNCTION matching.store(
    fence matching.lanes[], updated_wishes matching.wishes[], updated_matches matching.matches[],
    updated_offers matching.offers[], capacity_max integer[], new_wishes matching.wishes[], new_offers matching.offers[], new_matches matching.matches[],
    posted matching.posts[],
    new_journal matching.journal[], new_outbox matching.outbox[], saved_early matching.early[], dropped_early matching.early[], clocks matching.areas[],
    saved_people matching.people[], saved_met matching.met[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    lost integer[];
BEGIN
    lost := matching.store(fence, updated_wishes, updated_matches, updated_offers, capacity_max, new_wishes, new_offers, new_matches,
        posted, new_journal, new_outbox, saved_early, dropped_early, clocks);
    IF lost IS NOT NULL THEN
        RETURN lost;
    END IF;
    IF saved_people IS NOT NULL THEN
        INSERT INTO matching.people SELECT * FROM unnest(saved_people)
        ON CONFLICT (area, volunteer_ref) DO UPDATE
            SET asked = excluded.asked, agreed = excluded.agreed, visits = excluded.visits, last_at = excluded.last_at;
    END IF;
    IF saved_met IS NOT NULL THEN
        INSERT INTO matching.met SELECT * FROM unnest(saved_met)
        ON CONFLICT (area, volunteer_ref, resident_ref) DO UPDATE SET times = excluded.times;
    END IF;
    RETURN NULL;
END
$$
"""
DROP_STORE = """
DROP FUNCTION matching.store(
    matching.lanes[], matching.wishes[], matching.matches[], matching.offers[], integer[], matching.wishes[], matching.offers[], matching.matches[],
    matching.posts[], matching.journal[], matching.outbox[], matching.early[], matching.early[], matching.areas[], matching.people[], matching.met[]
)
"""


def upgrade() -> None:
    """Make the tables and the function."""
    op.execute(PEOPLE)
    op.execute(MET)
    op.execute(STORE)


def downgrade() -> None:
    """Drop the function and the tables."""
    op.execute(DROP_STORE)
    op.execute("DROP TABLE matching.met")
    op.execute("DROP TABLE matching.people")
