"""What each channel has done for a notice, how urgent a match's wish is, the inbox of the app, and how much each person was told a day."""

from alembic import op

revision = "0010_channels"
down_revision = "0009_vault"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Decides whether a notice may come at night; null for matches of before.
    "ALTER TABLE notifying.confirmations ADD COLUMN urgency text",
    # What was tried, channel by channel, as JSON; empty where there is only one channel.
    "ALTER TABLE notifying.notices ADD COLUMN tried text NOT NULL DEFAULT ''",
    # What a person finds in the app. The gateway reads it and sets `read_at`, once. `key` is the notice's own: a second attempt is the same row.
    """
    CREATE TABLE notifying.app_inbox (
        key uuid PRIMARY KEY,
        ref text NOT NULL,
        kind text NOT NULL,
        text text NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        read_at timestamptz,
        CHECK (read_at IS NULL OR read_at >= at)
    )
    """,
    "CREATE INDEX app_inbox_of_ref ON notifying.app_inbox (ref, at)",
    # Only of people who have set a number of notices a day; `day` is local.
    """
    CREATE TABLE notifying.told (
        ref text NOT NULL,
        day date NOT NULL,
        notices integer NOT NULL CHECK (notices > 0),
        PRIMARY KEY (ref, day)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE notifying.told")
    op.execute("DROP TABLE notifying.app_inbox")
    op.execute("ALTER TABLE notifying.notices DROP COLUMN tried")
    op.execute("ALTER TABLE notifying.confirmations DROP COLUMN urgency")
