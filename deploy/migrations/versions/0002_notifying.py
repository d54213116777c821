"""Schema `notifying`: what the notifier has taken in, whom it told, and what it still has to publish."""

from alembic import op

revision = "0002_notifying"
down_revision = "0001_matching"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Who reads a partition of `matches`, and from where. Locked in each transaction: an old epoch changes nothing.
    """
    CREATE TABLE notifying.partitions (
        partition integer PRIMARY KEY,
        epoch bigint NOT NULL,
        next_offset bigint NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # Event time's clock of each area, in microseconds since 1970; empty where the clock is the wall's.
    """
    CREATE TABLE notifying.areas (
        area text PRIMARY KEY,
        partition integer NOT NULL,
        clock_us bigint NOT NULL
    )
    """,
    "CREATE INDEX areas_of_partition ON notifying.areas (partition)",
    # The events taken in: a second arrival has no effect.
    """
    CREATE TABLE notifying.inbox (
        source text NOT NULL,
        event_id text NOT NULL,
        taken_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (source, event_id)
    )
    """,
    "CREATE INDEX inbox_by_age ON notifying.inbox USING brin (taken_at)",
    # One row a match; the slot as the proposal wrote it, so that it goes out again letter for letter.
    """
    CREATE TABLE notifying.confirmations (
        match_id text PRIMARY KEY,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        area text NOT NULL,
        partition integer NOT NULL,
        resident_ref text NOT NULL,
        volunteer_ref text NOT NULL,
        category text,
        rung text NOT NULL,
        slot_start text NOT NULL,
        slot_end text NOT NULL,
        group_id text,
        group_size integer,
        state text NOT NULL CHECK (state IN
            ('proposed', 'agreed', 'telling', 'confirmed', 'failed', 'discarded', 'released')),
        released_for text,
        changed_at timestamptz NOT NULL DEFAULT now(),
        CHECK ((state = 'released') = (released_for IS NOT NULL))
    )
    """,
    "CREATE INDEX confirmations_of_group ON notifying.confirmations (group_id) WHERE group_id IS NOT NULL",
    "CREATE INDEX confirmations_of_wish ON notifying.confirmations (wish_id)",
    # One row a message to one person. `key` is the idempotency key, the same on every attempt. `due_at`: when it next needs
    # someone's hand; of a leased one, when its lease ends.
    """
    CREATE TABLE notifying.notices (
        key uuid PRIMARY KEY,
        match_id text REFERENCES notifying.confirmations,
        wish_id text NOT NULL,
        partition integer NOT NULL,
        area text NOT NULL,
        party text NOT NULL CHECK (party IN ('resident', 'volunteer')),
        kind text NOT NULL CHECK (kind IN ('confirmed', 'released', 'expired')),
        ref text NOT NULL,
        language text NOT NULL,
        text text NOT NULL,
        state text NOT NULL CHECK (state IN ('pending', 'leased', 'retryable', 'sent', 'discarded', 'dead')),
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL,
        channel text,
        sent_at text,
        fault text,
        CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
        CHECK ((kind = 'expired') = (match_id IS NULL))
    )
    """,
    "CREATE INDEX notices_of_match ON notifying.notices (match_id)",
    """
    CREATE INDEX notices_under_way ON notifying.notices (partition, due_at)
        WHERE state IN ('pending', 'leased', 'retryable')
    """,
    # Records to publish; deleted once the broker has them. Rows of one partition are written under its lock, so that within it
    # `place` is the order of commits; nobody pages by it.
    """
    CREATE TABLE notifying.outbox (
        id uuid PRIMARY KEY,
        place bigint GENERATED ALWAYS AS IDENTITY,
        partition integer NOT NULL,
        topic text NOT NULL,
        key bytea,
        headers bytea NOT NULL,
        value bytea,
        published_at timestamptz
    )
    """,
    "CREATE INDEX outbox_under_way ON notifying.outbox (partition, place) WHERE published_at IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("outbox", "notices", "confirmations", "inbox", "areas", "partitions"):
        op.execute(f"DROP TABLE notifying.{table}")
