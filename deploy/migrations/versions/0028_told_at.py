"""When both sides had been told of a visit: what names no match and was said before that, and before the slot, is not about it.

It stays empty for visits that had begun before: of them everything that was said of the pair counts, as it did.
"""

from alembic import op

revision = "0028_told_at"
down_revision = "0027_what_notices_say"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column that no index holds."""
    op.execute("ALTER TABLE notifying.visits ADD COLUMN told_at_us bigint")


def downgrade() -> None:
    """Without it."""
    op.execute("ALTER TABLE notifying.visits DROP COLUMN told_at_us")
