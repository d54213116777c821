"""A word to the community's desk that a wish has ended, as no guardian's consent holds (decision 0045)."""

from alembic import op

revision = "0034_unconsented"
down_revision = "0033_booked"
branch_labels = None
depends_on = None

_KINDS = "'asked', 'invited', 'confirmed', 'released', 'expired', 'widened', 'unmet', 'reminder', 'report', 'feedback', 'not_started', 'not_finished'"
_OF_A_WISH = "'invited', 'expired', 'widened', 'unmet'"
_NEW = ", 'unconsented'"


def _set(more: str) -> None:
    op.execute("ALTER TABLE notifying.notices DROP CONSTRAINT notices_kind_check")
    op.execute(f"ALTER TABLE notifying.notices ADD CONSTRAINT notices_kind_check CHECK (kind IN ({_KINDS}{more}))")
    op.execute("ALTER TABLE notifying.notices DROP CONSTRAINT notices_check1")
    op.execute(f"ALTER TABLE notifying.notices ADD CONSTRAINT notices_check1 CHECK ((kind IN ({_OF_A_WISH}{more})) = (match_id IS NULL))")


def upgrade() -> None:
    """Take one more kind of notice."""
    _set(_NEW)


def downgrade() -> None:
    """Drop it, with its notices."""
    op.execute("DELETE FROM notifying.notices WHERE kind = 'unconsented'")
    _set("")
