"""Visits and the ledger: what was said about a visit, how it ended, and the hours and points that follow from it."""

from alembic import op

revision = "0007_visits"
down_revision = "0006_people"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Who reads a partition of `responses` and `confirmations`, and from where. Locked in each transaction: an old epoch changes nothing.
    """
    CREATE TABLE notifying.visit_lanes (
        partition integer PRIMARY KEY,
        epoch bigint NOT NULL,
        responses_next bigint NOT NULL DEFAULT 0,
        confirmations_next bigint NOT NULL DEFAULT 0,
        ticked_us bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE TABLE notifying.visit_areas (area text PRIMARY KEY, partition integer NOT NULL, clock_us bigint NOT NULL)",
    # The branch, unit or team that a volunteer comes from, as the proposal names it: statements are made for them too.
    "ALTER TABLE notifying.confirmations ADD COLUMN organisation text",
    # Facts, kept for good. A second arrival has no effect.
    """
    CREATE TABLE notifying.reports (
        source text NOT NULL,
        event_id text NOT NULL,
        area text NOT NULL,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        match_id text,
        kind text NOT NULL CHECK (kind IN ('started', 'finished', 'acknowledged')),
        at_us bigint NOT NULL,
        minutes integer,
        said_by text CHECK (said_by IN ('resident', 'community')),
        outcome text CHECK (outcome IN ('done', 'partly', 'not_done')),
        rating smallint,
        PRIMARY KEY (source, event_id)
    )
    """,
    "CREATE INDEX reports_of_pair ON notifying.reports (area, wish_id, offer_id)",
    # `due_at_us`: when to look again by the area's clock. `outcome` and the rest: what was told last, `number` how often.
    """
    CREATE TABLE notifying.visits (
        match_id text PRIMARY KEY,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        area text NOT NULL,
        partition integer NOT NULL,
        volunteer_ref text NOT NULL,
        organisation text,
        starts_at_us bigint NOT NULL,
        ends_at_us bigint NOT NULL,
        number integer NOT NULL,
        outcome text,
        minutes integer,
        closed_by text,
        closed_at_us bigint,
        due_at_us bigint,
        CHECK ((number = 0) = (outcome IS NULL)),
        CHECK (starts_at_us < ends_at_us)
    )
    """,
    "CREATE INDEX visits_of_pair ON notifying.visits (area, wish_id, offer_id)",
    # What is watched: visits that have not come to their end, by the end of their slot.
    "CREATE INDEX visits_open ON notifying.visits (ends_at_us) WHERE number = 0 AND due_at_us IS NOT NULL",
    "CREATE INDEX visits_due ON notifying.visits (partition, due_at_us) WHERE due_at_us IS NOT NULL",
    "CREATE INDEX confirmations_under_way ON notifying.confirmations (changed_at) WHERE state IN ('agreed', 'telling')",
    # As notifying.outbox, but of those who read `responses`.
    """
    CREATE TABLE notifying.visit_outbox (
        id uuid PRIMARY KEY,
        place bigint GENERATED ALWAYS AS IDENTITY,
        partition integer NOT NULL,
        topic text NOT NULL,
        key bytea,
        headers bytea NOT NULL,
        value bytea
    )
    """,
    "CREATE INDEX visit_outbox_order ON notifying.visit_outbox (partition, place)",
    """
    CREATE TABLE notifying.ledger_transactions (
        id uuid PRIMARY KEY,
        match_id text NOT NULL,
        number integer NOT NULL CHECK (number > 0),
        area text NOT NULL,
        volunteer_ref text NOT NULL,
        organisation text,
        outcome text NOT NULL,
        closed_by text NOT NULL,
        booked_at_us bigint NOT NULL,
        points_per_hour integer NOT NULL,
        minutes_max integer NOT NULL,
        UNIQUE (match_id, number)
    )
    """,
    "CREATE INDEX ledger_of_volunteer ON notifying.ledger_transactions (area, volunteer_ref)",
    "CREATE INDEX ledger_of_organisation ON notifying.ledger_transactions (organisation, booked_at_us) WHERE organisation IS NOT NULL",
    """
    CREATE TABLE notifying.ledger_entries (
        transaction_id uuid NOT NULL REFERENCES notifying.ledger_transactions,
        account text NOT NULL,
        unit text NOT NULL CHECK (unit IN ('minutes', 'points')),
        amount bigint NOT NULL CHECK (amount <> 0),
        PRIMARY KEY (transaction_id, account, unit)
    )
    """,
    "CREATE INDEX ledger_of_account ON notifying.ledger_entries (account, unit)",
    # Append-only, whoever asks.
    """
    CREATE FUNCTION notifying.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING ERRCODE = 'LM002', MESSAGE = format('%s is append-only: book a correction', tg_table_name);
    END
    $$
    """,
    *(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON notifying.{table} FOR EACH STATEMENT EXECUTE FUNCTION notifying.refuse_change()"
        for table in ("ledger_transactions", "ledger_entries", "reports")
    ),
    # Judged when the transaction commits, when all of its entries are there.
    """
    CREATE FUNCTION notifying.sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM notifying.ledger_entries WHERE transaction_id = new.transaction_id GROUP BY unit HAVING sum(amount) <> 0) THEN
            RAISE EXCEPTION USING ERRCODE = 'LM003', MESSAGE = format('ledger transaction %s does not add up to zero', new.transaction_id);
        END IF;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE CONSTRAINT TRIGGER adds_up AFTER INSERT ON notifying.ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION notifying.sums_to_zero()
    """,
    # Only with LASTMETRE_CLOCK=event: until when the clock of the visits is to run on after the last event.
    "CREATE TABLE notifying.clock (one boolean PRIMARY KEY DEFAULT true CHECK (one), runs_to bigint NOT NULL)",
    "INSERT INTO notifying.clock (runs_to) VALUES (0)",
)
_TABLES = ("clock", "ledger_entries", "ledger_transactions", "visit_outbox", "visits", "reports", "visit_areas", "visit_lanes")


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for table in _TABLES:
        op.execute(f"DROP TABLE notifying.{table}")
    op.execute("DROP INDEX notifying.confirmations_under_way")
    op.execute("DROP FUNCTION notifying.sums_to_zero")
    op.execute("DROP FUNCTION notifying.refuse_change")
    op.execute("ALTER TABLE notifying.confirmations DROP COLUMN organisation")
