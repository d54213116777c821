"""Schema `matching`: the matcher's truth. The constraints repeat the contract's promises, so that a fault in the code cannot break them.

Instants are microseconds since the epoch. `data` and `event` are JSON as it came; `decision` is a JSON array of structured CloudEvents.
"""

from alembic import op

revision = "0001_matching"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    # One row a lane: who may write (epoch), what has been taken in (cursors), what has been numbered and what is on Kafka.
    """
    CREATE TABLE matching.lanes (
        lane integer PRIMARY KEY,
        epoch bigint NOT NULL DEFAULT 0,
        wishes_next bigint NOT NULL DEFAULT 0,
        offers_next bigint NOT NULL DEFAULT 0,
        responses_next bigint NOT NULL DEFAULT 0,
        confirmations_next bigint NOT NULL DEFAULT 0,
        seq bigint NOT NULL DEFAULT 0,
        published bigint NOT NULL DEFAULT 0,
        ticked bigint NOT NULL DEFAULT 0,
        owner text,
        committed_at timestamptz NOT NULL DEFAULT now(),
        CHECK (published <= seq)
    )
    """,
    """
    CREATE TABLE matching.areas (
        area text PRIMARY KEY,
        lane integer NOT NULL,
        clock bigint NOT NULL
    )
    """,
    "CREATE INDEX areas_of_lane ON matching.areas (lane)",
    """
    CREATE TABLE matching.journal (
        lane integer NOT NULL,
        seq bigint NOT NULL,
        area text NOT NULL,
        at bigint NOT NULL,
        kind text NOT NULL CHECK (kind IN ('event', 'time')),
        outcome text NOT NULL CHECK (outcome IN ('decided', 'no_effect', 'duplicate')),
        topic text,
        "offset" bigint,
        source text,
        event_id text,
        event bytea,
        decision bytea NOT NULL,
        PRIMARY KEY (lane, seq)
    )
    """,
    # A second arrival has no effect: promise 5, whatever lane it comes through.
    "CREATE UNIQUE INDEX event_once ON matching.journal (source, event_id) WHERE outcome <> 'duplicate'",
    # What goes to Kafka beside the decisions: mended events and dead letters, in the same numbering as the journal.
    """
    CREATE TABLE matching.outbox (
        lane integer NOT NULL,
        seq bigint NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        key bytea,
        header_names bytea[] NOT NULL,
        header_values bytea[] NOT NULL,
        value bytea,
        PRIMARY KEY (lane, seq)
    )
    """,
    """
    CREATE TABLE matching.wishes (
        area text NOT NULL,
        wish_id text NOT NULL,
        status text NOT NULL CHECK (status IN ('open', 'held', 'matched', 'closed', 'withdrawn', 'expired')),
        submitted_at bigint NOT NULL,
        ends_at bigint NOT NULL,
        need smallint NOT NULL,
        match_count integer NOT NULL,
        barred text NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (area, wish_id)
    )
    """,
    "CREATE INDEX wishes_under_way ON matching.wishes (area) WHERE status IN ('open', 'held')",
    """
    CREATE TABLE matching.offers (
        area text NOT NULL,
        offer_id text NOT NULL,
        status text NOT NULL CHECK (status IN ('open', 'withdrawn', 'suspended', 'lapsed')),
        status_at bigint NOT NULL,
        capacity smallint NOT NULL,
        live smallint NOT NULL CHECK (live >= 0),
        data bytea NOT NULL,
        PRIMARY KEY (area, offer_id)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX offers_open ON matching.offers (area) WHERE status = 'open'",
    # `place`: which of the helpers that the wish needs. `person`: a hash of the volunteer, for the exclusion below.
    """
    CREATE TABLE matching.matches (
        area text NOT NULL,
        wish_id text NOT NULL,
        number integer NOT NULL,
        match_id text NOT NULL,
        place smallint NOT NULL,
        need smallint NOT NULL,
        offer_id text NOT NULL,
        volunteer_ref text NOT NULL,
        person float8 NOT NULL,
        starts_at bigint NOT NULL,
        ends_at bigint NOT NULL,
        rung smallint NOT NULL,
        how text NOT NULL,
        answered boolean NOT NULL,
        approved boolean NOT NULL,
        expires_at bigint,
        group_id text,
        group_size smallint,
        state text NOT NULL CHECK (state IN ('proposed', 'agreed', 'confirmed', 'released')),
        live boolean NOT NULL,
        reason text,
        PRIMARY KEY (area, wish_id, number),
        CHECK (place < need),
        CHECK (starts_at < ends_at),
        CHECK (NOT (live AND state = 'released')),
        -- A volunteer never has two live slots that overlap in an area. Boxes that touch count as overlapping, and a double
        -- tells instants near the year 9998 apart only by 32 microseconds, hence the - 64.
        -- (A GiST over text needs a contrib module that not every server has; ranges cost three times as much as a box.)
        EXCLUDE USING gist (box(point(starts_at, person), point(ends_at - 64, person)) WITH &&) WHERE (live)
    )
    """,
    # Never more helpers than the wish needs, nor one of them twice.
    "CREATE UNIQUE INDEX place_once ON matching.matches (area, wish_id, place) WHERE state <> 'released'",
    "CREATE UNIQUE INDEX helper_once ON matching.matches (area, wish_id, volunteer_ref) WHERE state <> 'released'",
    "CREATE INDEX matches_live ON matching.matches (area) WHERE live",
    # Withdrawals that came before what they withdraw.
    """
    CREATE TABLE matching.early (
        area text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('wish', 'offer')),
        subject text NOT NULL,
        at bigint NOT NULL,
        status text NOT NULL,
        PRIMARY KEY (area, kind, subject)
    )
    """,
    # Only with LASTMETRE_CLOCK=event: until when the clock is to run on after the last event.
    "CREATE TABLE matching.clock (one boolean PRIMARY KEY DEFAULT true CHECK (one), runs_to bigint NOT NULL)",
    "INSERT INTO matching.clock (runs_to) VALUES (0)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("clock", "early", "matches", "offers", "wishes", "outbox", "journal", "areas", "lanes"):
        op.execute(f"DROP TABLE matching.{table}")
