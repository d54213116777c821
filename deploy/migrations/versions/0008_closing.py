"""Matches close: what helped stands for good, and what did not help frees its place in the wish."""

from alembic import op

revision = "0008_closing"
down_revision = "0007_visits"
branch_labels = None
depends_on = None

_PLACES = (("place_once", "place"), ("helper_once", "volunteer_ref"))


def _states(states: str, standing: str) -> None:
    op.execute("ALTER TABLE matching.matches DROP CONSTRAINT matches_state_check")
    op.execute(f"ALTER TABLE matching.matches ADD CONSTRAINT matches_state_check CHECK (state IN ({states}))")
    for name, column in _PLACES:
        op.execute(f"DROP INDEX matching.{name}")
        op.execute(f"CREATE UNIQUE INDEX {name} ON matching.matches (area, wish_id, {column}) WHERE {standing}")


def upgrade() -> None:
    """Two more states, of which one holds no place."""
    _states("'proposed', 'agreed', 'confirmed', 'released', 'closed', 'unhelped'", "state NOT IN ('released', 'unhelped')")


def downgrade() -> None:
    """What is closed was confirmed; what did not help was let go."""
    op.execute("UPDATE matching.matches SET state = 'confirmed' WHERE state = 'closed'")
    op.execute("UPDATE matching.matches SET state = 'released' WHERE state = 'unhelped'")
    _states("'proposed', 'agreed', 'confirmed', 'released'", "state <> 'released'")
