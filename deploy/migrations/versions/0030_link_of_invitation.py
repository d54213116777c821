"""The page of an invitation's link also knows the match that came of it: who said yes first is told so, and whoever said it later is told not to set out.

The function is 0022's, but for how it finds the match.
"""

from alembic import op

from deploy.amending import amended

revision = "0030_link_of_invitation"
down_revision = "0029_said"
branch_labels = None
depends_on = None

_NAMED = "m.match_id = l.match_id"
_NAMED_OR_CAME = """m.match_id = coalesce(l.match_id, (SELECT o.match_id FROM gateway.matches o
                WHERE o.area = l.area AND o.wish_id = l.wish_id AND o.offer_id = l.offer_id ORDER BY o.proposed_at DESC NULLS LAST, o.match_id LIMIT 1))"""


def upgrade() -> None:
    """By the match that is named, or by the pair's."""
    op.execute(amended("gateway.linked(bytea)", _NAMED, _NAMED_OR_CAME))


def downgrade() -> None:
    """As it was."""
    op.execute(amended("gateway.linked(bytea)", _NAMED_OR_CAME, _NAMED))
