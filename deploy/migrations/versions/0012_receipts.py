"""What gateways say afterwards about what they took: delivered, failed, read; and under which number of their own they know a notice."""

from alembic import op

revision = "0012_receipts"
down_revision = "0011_vault_wired"
branch_labels = None
depends_on = None

STATEMENTS = (
    # One row a thing that was said; `reference` is the idempotency key as it was sent, or the gateway's own number. `outcome`: null until somebody has
    # looked at it; what nobody knows is kept apart as 'unknown', and looked at again at `look_at`.
    """
    CREATE TABLE notifying.receipts (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        channel text NOT NULL CHECK (channel ~ '^[a-z0-9_]{1,32}$'),
        reference text NOT NULL CHECK (length(reference) BETWEEN 1 AND 200),
        status text NOT NULL CHECK (status IN ('delivered', 'failed', 'read')),
        at timestamptz NOT NULL,
        fault text CHECK (fault ~ '^[a-z0-9_]{1,40}$'),
        came_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        repeats integer NOT NULL DEFAULT 0,
        outcome text,
        look_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (channel, reference, status)
    )
    """,
    "CREATE INDEX receipts_to_look_at ON notifying.receipts (look_at) WHERE outcome IS NULL OR outcome = 'unknown'",
    """
    CREATE TABLE notifying.handles (
        channel text NOT NULL,
        reference text NOT NULL,
        key uuid NOT NULL REFERENCES notifying.notices,
        PRIMARY KEY (channel, reference)
    )
    """,
    # The only way in for whoever answers the gateways' callbacks: it may call this and see no row.
    """
    CREATE FUNCTION notifying.leave_receipt(of_channel text, of_reference text, of_status text, of_at timestamptz, of_fault text DEFAULT NULL) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        INSERT INTO notifying.receipts AS known (channel, reference, status, at, fault) VALUES (of_channel, of_reference, of_status, of_at, of_fault)
        ON CONFLICT (channel, reference, status) DO UPDATE SET repeats = known.repeats + 1
        RETURNING CASE WHEN repeats = 0 THEN 'left' ELSE 'repeated' END
    $$
    """,
    "REVOKE ALL ON FUNCTION notifying.leave_receipt FROM PUBLIC",
)


def upgrade() -> None:
    """Make the tables, and the door."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop both."""
    op.execute("DROP FUNCTION notifying.leave_receipt")
    op.execute("DROP TABLE notifying.handles")
    op.execute("DROP TABLE notifying.receipts")
