"""How near a child lives is told no sooner than where, by one-time links too; and administrators see the dead letters of their own circle alone.

Before the yes of a helper, and once the pair is apart, of a child's wish no circle below the community is told (0017 hid the compound and told the rung).
"""

from alembic import op

revision = "0022_circles_of_children"
down_revision = "0021_webhook_owner"
branch_labels = None
depends_on = None

_LINKED = """
    CREATE OR REPLACE FUNCTION gateway.linked(code_digest bytea) RETURNS TABLE (
        area text, wish_id text, party text, category text, urgency text, title text, compound text, starts_at timestamptz, ends_at timestamptz,
        wish_state text, match_state text, rung text, slot_start timestamptz, slot_end timestamptz, organisation text, invited_until timestamptz
    )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT l.area, l.wish_id, l.party, w.category, w.urgency, CASE WHEN l.party = 'resident' THEN w.title END,
                CASE WHEN l.party = 'resident' OR NOT (w.age_band LIKE 'under%' OR w.category = 'left_behind_children') THEN w.compound END,
                w.starts_at, w.ends_at, w.state, m.state, {rung}, coalesce(m.starts_at, i.starts_at), coalesce(m.ends_at, i.ends_at),
                m.organisation, i.expires_at
            FROM links.links l
            LEFT JOIN gateway.wishes w USING (area, wish_id)
            LEFT JOIN gateway.matches m ON m.area = l.area AND m.match_id = l.match_id
            LEFT JOIN gateway.invitations i ON l.match_id IS NULL AND i.area = l.area AND i.wish_id = l.wish_id AND i.offer_id = l.offer_id
            WHERE l.digest = code_digest
        $$
"""
_TOLD = """CASE WHEN l.party = 'resident' OR m.state IN ('agreed', 'confirmed', 'started', 'finished') OR coalesce(m.rung, i.rung) IN ('community', 'area')
                    OR NOT (w.age_band LIKE 'under%' OR w.category = 'left_behind_children') THEN coalesce(m.rung, i.rung)
                    WHEN coalesce(m.rung, i.rung) IS NOT NULL THEN 'community' END"""
_IN_SCOPE = """coalesce(
    area = (SELECT gateway.me() ->> 'area') AND (SELECT gateway.has({roles})) AND (SELECT gateway.me() ->> 'compound') IS NULL
    AND coalesce(community = (SELECT gateway.me() ->> 'community'), (SELECT gateway.me() ->> 'community') IS NULL), false)"""
# One that names no area is nobody's; an administrator of a whole area sees that there is such a thing.
_SEES = (
    _IN_SCOPE.format(roles="'worker', 'auditor', 'admin'")
    + " OR (area IS NULL AND (SELECT gateway.has('admin')) AND (SELECT gateway.me() ->> 'community') IS NULL)"
)
_SAW = "(SELECT gateway.has('admin')) OR " + _IN_SCOPE.format(roles="'worker', 'auditor'")


def upgrade() -> None:
    """Tell less."""
    op.execute(_LINKED.replace("{rung}", _TOLD))
    op.execute(f"ALTER POLICY asks ON gateway.dead_letters USING ({_SEES})")


def downgrade() -> None:
    """Undo it."""
    op.execute(_LINKED.replace("{rung}", "coalesce(m.rung, i.rung)"))
    op.execute(f"ALTER POLICY asks ON gateway.dead_letters USING ({_SAW})")
