"""What is new for a desk is counted on the monitor, every few seconds: its view asks once a statement whose circle it is, and of the messages not read alone.

It asked of each message, in JSON: 600 ms where 5,000 lay there. A union is written through by nobody, so the view needs no OFFSET, behind which all were read.
"""

from alembic import op

revision = "0036_unread"
down_revision = "0035_told"
branch_labels = None
depends_on = None

# As `gateway.covers` says it, and as the policies ask it.
_CIRCLE = " AND ".join(
    f"coalesce(w.{step} = (SELECT gateway.me() ->> '{step}'), (SELECT gateway.me() ->> '{step}') IS NULL)"
    for step in ("community", "compound", "building", "unit")
)
_COVERS = "gateway.covers(w.area, w.community, w.compound, w.building, w.unit)"
_INBOX = """
    CREATE VIEW gateway.inbox WITH (security_barrier) AS
    SELECT key, kind, text, at, read_at, NULL::text AS wish_id FROM notifying.app_inbox WHERE ref = ANY (gateway.my_refs())
    UNION ALL
    SELECT i.key, i.kind, i.text, i.at, i.read_at, n.wish_id
    FROM notifying.app_inbox i JOIN notifying.notices n USING (key) JOIN gateway.wishes w USING (area, wish_id)
    WHERE (SELECT gateway.has('worker')) AND i.ref = 'desk-' || (SELECT gateway.me() ->> 'area') AND i.at > clock_timestamp() - interval '30 days'
        AND w.area = (SELECT gateway.me() ->> 'area') AND {covers} {offset}
"""


def _show(covers: str, offset: str) -> None:
    op.execute("DROP VIEW gateway.inbox")
    op.execute(_INBOX.format(covers=covers, offset=offset))
    op.execute("REVOKE ALL ON gateway.inbox FROM lastmetre_board")


def upgrade() -> None:
    """Ask once."""
    _show(_CIRCLE, "")


def downgrade() -> None:
    """As it was."""
    _show(_COVERS, "OFFSET 0")
