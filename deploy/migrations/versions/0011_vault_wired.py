"""The vault learns from the notifier how far each match is, and whether it concerns a minor; who begins without a guardian's consent stands in its audit."""

from alembic import op

revision = "0011_vault_wired"
down_revision = "0010_channels"
branch_labels = None
depends_on = None

_ACTIONS = ("put", "read", "erase", "rotate", "consent", "withdraw")

STATEMENTS = (
    # Whether a guardian must have consented, as the match was proposed; false for matches of before.
    "ALTER TABLE notifying.confirmations ADD COLUMN minor boolean NOT NULL DEFAULT false",
    # How far matches are, on its way to the vault: a row until the vault has it. Empty where no vault is configured.
    """
    CREATE TABLE notifying.vault_news (
        match_id text NOT NULL,
        stage text NOT NULL,
        place bigint GENERATED ALWAYS AS IDENTITY,
        PRIMARY KEY (match_id, stage)
    )
    """,
    "CREATE INDEX vault_news_by_place ON notifying.vault_news (place)",
    "ALTER TABLE vault.visits ADD COLUMN minor boolean NOT NULL DEFAULT false",
    # What is looked through again and again: visits to minors that stand.
    "CREATE INDEX visits_of_minors ON vault.visits (slot_end) WHERE minor AND stage IN ('confirmed', 'started')",
    "ALTER TABLE vault.audit DROP CONSTRAINT audit_action_check",
    f"ALTER TABLE vault.audit ADD CONSTRAINT audit_action_check CHECK (action IN {(*_ACTIONS, 'visit')})",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE notifying.vault_news")
    op.execute("ALTER TABLE notifying.confirmations DROP COLUMN minor")
    op.execute("ALTER TABLE vault.visits DROP COLUMN minor")
    # Not valid for what is there: the audit is kept whole.
    op.execute("ALTER TABLE vault.audit DROP CONSTRAINT audit_action_check")
    op.execute(f"ALTER TABLE vault.audit ADD CONSTRAINT audit_action_check CHECK (action IN {_ACTIONS}) NOT VALID")
