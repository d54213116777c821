"""Notices of more than confirmations: a volunteer is asked or invited, a community worker hears of a wish that nobody takes up."""

from alembic import op

revision = "0005_more_notices"
down_revision = "0004_posts"
branch_labels = None
depends_on = None

# By column: what it may be now, and what it could be before.
_CHECKS = {
    "party": ("('resident', 'volunteer', 'worker')", "('resident', 'volunteer')"),
    "kind": ("('asked', 'invited', 'confirmed', 'released', 'expired', 'widened', 'unmet')", "('confirmed', 'released', 'expired')"),
}
_ABOUT_A_WISH = ("(kind IN ('invited', 'expired', 'widened', 'unmet')) = (match_id IS NULL)", "(kind = 'expired') = (match_id IS NULL)")


def _set(number: int) -> None:
    """Replace each check; the last one of the table, over two columns, has the table's own name."""
    for column, words in _CHECKS.items():
        op.execute(f"ALTER TABLE notifying.notices DROP CONSTRAINT notices_{column}_check")
        op.execute(f"ALTER TABLE notifying.notices ADD CONSTRAINT notices_{column}_check CHECK ({column} IN {words[number]})")
    op.execute("ALTER TABLE notifying.notices DROP CONSTRAINT notices_check1")
    op.execute(f"ALTER TABLE notifying.notices ADD CONSTRAINT notices_check1 CHECK ({_ABOUT_A_WISH[number]})")


def upgrade() -> None:
    """Take more kinds of notices, and a third party."""
    _set(0)


def downgrade() -> None:
    """Drop the new kinds, with their notices."""
    op.execute("DELETE FROM notifying.notices WHERE party = 'worker' OR kind IN ('asked', 'invited')")
    _set(1)
