"""The door for other systems: webhooks with how far each has been served, quotas of keys with what was used of them.

Each row is seen by the account that it belongs to, and by admins of its area; `lastmetre_board`, which delivers, sees the webhooks and moves their cursors.
"""

from alembic import op

revision = "0018_door"
down_revision = "0017_people"
branch_labels = None
depends_on = None

TABLES = ("webhooks", "webhook_cursors", "key_quotas", "key_usage")

# Gateways' receipts go into the notifier's table by its one function, through a window in our own schema: the role has no right in the notifier's.
RECEIPTS = """
    CREATE FUNCTION gateway.leave_receipt(channel text, reference text, status text, at timestamptz, fault text) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        SELECT notifying.leave_receipt(channel, reference, status, at, fault)
    $$
"""

STATEMENTS = (
    # `secret_version`: the secret itself is derived from the gateway's own and stands nowhere. `failing_since`: of the delivery that does not go through now.
    """
    CREATE TABLE gateway.webhooks (
        webhook_id text PRIMARY KEY CHECK (webhook_id ~ '^wh[0-9a-f]{16}$'),
        account_id text NOT NULL,
        area text NOT NULL,
        url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
        types text[] NOT NULL CHECK (cardinality(types) BETWEEN 1 AND 32),
        state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
        reason text,
        secret_version integer NOT NULL DEFAULT 1 CHECK (secret_version > 0),
        revision bigint NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL,
        failing_since timestamptz,
        attempts integer NOT NULL DEFAULT 0,
        last_status integer,
        last_at timestamptz
    )
    """,
    "CREATE INDEX webhooks_of_account ON gateway.webhooks (account_id)",
    # The next record of the area's partition that this webhook has not been served.
    """
    CREATE TABLE gateway.webhook_cursors (
        webhook_id text NOT NULL REFERENCES gateway.webhooks ON DELETE CASCADE,
        topic text NOT NULL,
        next_offset bigint NOT NULL CHECK (next_offset >= 0),
        PRIMARY KEY (webhook_id, topic)
    )
    """,
    # Null: no limit of its own. `family`: what all keys of one rotation count under together.
    """
    CREATE TABLE gateway.key_quotas (
        key_id text PRIMARY KEY REFERENCES gateway.api_keys ON DELETE CASCADE,
        per_minute integer CHECK (per_minute > 0),
        per_day integer CHECK (per_day > 0),
        family text NOT NULL
    )
    """,
    # `used` counts what gateways have set apart for themselves, so it may run a little ahead of what was sent.
    """
    CREATE TABLE gateway.key_usage (
        family text NOT NULL,
        account_id text NOT NULL,
        seconds integer NOT NULL CHECK (seconds IN (60, 86400)),
        starts_at timestamptz NOT NULL,
        used bigint NOT NULL,
        PRIMARY KEY (family, seconds, starts_at)
    )
    """,
    "CREATE INDEX key_usage_by_time ON gateway.key_usage (starts_at)",
    *(
        statement
        for table in TABLES
        for statement in (
            f"ALTER TABLE gateway.{table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE gateway.{table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY owner ON gateway.{table} TO CURRENT_USER USING (true) WITH CHECK (true)",
        )
    ),
    """
    CREATE POLICY own ON gateway.webhooks FOR ALL TO lastmetre_gateway
        USING (account_id = gateway.me() ->> 'account' OR (gateway.has('admin') AND gateway.covers(area, NULL, NULL, NULL, NULL)))
        WITH CHECK (gateway.covers(area, NULL, NULL, NULL, NULL)
            AND (account_id = gateway.me() ->> 'account' OR gateway.has('admin')))
    """,
    """
    CREATE POLICY own ON gateway.webhook_cursors FOR ALL TO lastmetre_gateway
        USING (EXISTS (SELECT FROM gateway.webhooks w WHERE w.webhook_id = webhook_cursors.webhook_id))
        WITH CHECK (EXISTS (SELECT FROM gateway.webhooks w WHERE w.webhook_id = webhook_cursors.webhook_id))
    """,
    """
    CREATE POLICY own ON gateway.key_quotas FOR ALL TO lastmetre_gateway
        USING (EXISTS (SELECT FROM gateway.api_keys k WHERE k.key_id = key_quotas.key_id))
        WITH CHECK (EXISTS (SELECT FROM gateway.api_keys k WHERE k.key_id = key_quotas.key_id))
    """,
    """
    CREATE POLICY own ON gateway.key_usage FOR ALL TO lastmetre_gateway
        USING (account_id = gateway.me() ->> 'account') WITH CHECK (account_id = gateway.me() ->> 'account')
    """,
    "CREATE POLICY delivered ON gateway.webhooks FOR ALL TO lastmetre_board USING (true) WITH CHECK (true)",
    "CREATE POLICY delivered ON gateway.webhook_cursors FOR ALL TO lastmetre_board USING (true) WITH CHECK (true)",
    "CREATE POLICY swept ON gateway.key_usage FOR DELETE TO lastmetre_board USING (true)",
    "CREATE POLICY seen ON gateway.key_usage FOR SELECT TO lastmetre_board USING (true)",
    RECEIPTS,
    "REVOKE ALL ON FUNCTION gateway.leave_receipt FROM PUBLIC, lastmetre_board",
)


def upgrade() -> None:
    """Make the tables and who sees what of them."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them: subscriptions and quotas are lost."""
    op.execute("DROP FUNCTION gateway.leave_receipt")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE gateway.{table} CASCADE")
