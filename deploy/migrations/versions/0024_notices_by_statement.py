"""A notice is written by the statement that writes its match, or by one that reads it there, so no key needs to be looked up and locked for each.

The check took a fifth of that statement's time, and the notifier waits for it twice a match.
"""

from alembic import op

revision = "0024_notices_by_statement"
down_revision = "0023_whole_minutes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Without the foreign key; `match_id` keeps its index and its meaning."""
    op.execute("ALTER TABLE notifying.notices DROP CONSTRAINT notices_match_id_fkey")


def downgrade() -> None:
    """As it was."""
    op.execute("ALTER TABLE notifying.notices ADD CONSTRAINT notices_match_id_fkey FOREIGN KEY (match_id) REFERENCES notifying.confirmations (match_id)")
