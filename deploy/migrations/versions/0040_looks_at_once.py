"""What became of each look of a batch goes into the vault's audit as one array of rows; when, who and which fields are the same for all of them and come once.

They were copied in, each with its own array of fields' names: the driver looked at every name, whether it is an array itself, for half of what a row took.
"""

from alembic import op

revision = "0040_looks_at_once"
down_revision = "0039_rows_at_once"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A type of what a statement takes; no table has it, so it may be made anew at any time."""
    op.execute("CREATE TYPE vault.judged_look AS (outcome text, reason text, person_ref text, why text, match_id text, wish_id text)")


def downgrade() -> None:
    """Without it."""
    op.execute("DROP TYPE vault.judged_look")
