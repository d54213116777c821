"""What waits for a person is not stuck: a notice for the end of somebody's night or for tomorrow, and a group for its companion's answer."""

from alembic import op

from deploy.amending import amended

revision = "0032_who_is_waited_for"
down_revision = "0031_books_shown"
branch_labels = None
depends_on = None

_ANY = "c.state IN ('agreed', 'telling')"
# Agreed is one of a group whose other members are not yet. Told is somebody whose notice waits for them; another fault of the same match counts all the same.
_NOT_WAITED_FOR = """(c.state = 'agreed' AND NOT EXISTS (SELECT FROM notifying.confirmations o WHERE o.group_id = c.group_id AND o.state = 'proposed')
                OR c.state = 'telling' AND (NOT EXISTS (SELECT FROM notifying.notices n WHERE n.match_id = c.match_id AND n.kind = 'confirmed'
                        AND n.state = 'retryable' AND n.fault IN ('quiet_hours', 'over_budget', 'unread'))
                    OR EXISTS (SELECT FROM notifying.notices n WHERE n.match_id = c.match_id AND n.kind = 'confirmed'
                        AND n.state IN ('pending', 'leased', 'retryable') AND coalesce(n.fault, '') NOT IN ('quiet_hours', 'over_budget', 'unread'))))"""


def upgrade() -> None:
    """The condition for what is stuck."""
    op.execute(amended("notifying.attention_at(bigint)", _ANY, _NOT_WAITED_FOR))


def downgrade() -> None:
    """As it was."""
    op.execute(amended("notifying.attention_at(bigint)", _NOT_WAITED_FOR, _ANY))
