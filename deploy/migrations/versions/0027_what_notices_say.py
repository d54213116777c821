"""Notices keep what their text tells of, where no match says it; what was given up and not released wants attention; nobody is their own guardian.

An invitation has no match, so a text message and another language had nothing to say it again from.
"""

from alembic import op

from deploy.amending import amended

revision = "0027_what_notices_say"
down_revision = "0026_vault_in_place"
branch_labels = None
depends_on = None

_STUCK = "c.state IN ('agreed', 'telling')"
# After its slot a match is nobody's to release any more.
_STUCK_OR_GIVEN_UP = "(c.state IN ('agreed', 'telling') OR c.state = 'failed' AND (extract(epoch FROM c.slot_end::timestamptz) * 1000000)::bigint > now_us)"


def upgrade() -> None:
    """A column, a condition, and a rule for what is written from now on."""
    op.execute("ALTER TABLE notifying.notices ADD COLUMN about text")
    op.execute(amended("notifying.attention_at(bigint)", _STUCK, _STUCK_OR_GIVEN_UP))
    op.execute("ALTER TABLE vault.consents ADD CONSTRAINT another_ones_guardian CHECK (guardian_ref <> minor_ref) NOT VALID")


def downgrade() -> None:
    """As it was."""
    op.execute("ALTER TABLE vault.consents DROP CONSTRAINT another_ones_guardian")
    op.execute(amended("notifying.attention_at(bigint)", _STUCK_OR_GIVEN_UP, _STUCK))
    op.execute("ALTER TABLE notifying.notices DROP COLUMN about")
