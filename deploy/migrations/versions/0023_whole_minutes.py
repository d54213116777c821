"""By event time the lines of one minute are decided together: who plays says while it publishes, and then up to where.

The lines lie in several topics, and a reader has them in any order: an answer could be decided before the offer that it is about.
"""

from alembic import op

revision = "0023_whole_minutes"
down_revision = "0022_circles_of_children"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """`publishing`: lines are still coming; `ends`: the end of each partition, by topic, once they came."""
    op.execute("ALTER TABLE matching.clock ADD COLUMN publishing boolean NOT NULL DEFAULT false, ADD COLUMN ends text NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """As it was."""
    op.execute("ALTER TABLE matching.clock DROP COLUMN publishing, DROP COLUMN ends")
