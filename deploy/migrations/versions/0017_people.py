"""What the people's pages see through two windows: their messages in the app, and what a one-time link is about.

The role of requests gets nothing on schema `notifying`; the view and the functions look with the owner's eyes, for `gateway.me()` alone, or for whoever holds a
link's code. The view cannot be written through, whatever is granted on it.
"""

from alembic import op

revision = "0017_people"
down_revision = "0016_board"
branch_labels = None
depends_on = None

# What somebody is known by on the topics, as far as their roles make it theirs.
REFS = """
    CREATE FUNCTION gateway.my_refs() RETURNS text[]
        LANGUAGE sql STABLE
        RETURN array_remove(
            CASE WHEN gateway.has('volunteer') THEN ARRAY[gateway.me() ->> 'volunteer_ref'] ELSE '{}'::text[] END
            || CASE WHEN gateway.has('resident', 'guardian')
                THEN ARRAY(SELECT jsonb_array_elements_text(coalesce(gateway.me() -> 'resident_refs', '[]'))) ELSE '{}'::text[] END,
            NULL)
"""
# OFFSET makes it a view that no statement can write through.
INBOX = """
    CREATE VIEW gateway.inbox WITH (security_barrier) AS
    SELECT key, kind, text, at, read_at FROM notifying.app_inbox WHERE ref = ANY (gateway.my_refs()) OFFSET 0
"""
MARK_READ = """
    CREATE FUNCTION gateway.mark_read(keys uuid[]) RETURNS void
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS 'UPDATE notifying.app_inbox SET read_at = greatest(at, clock_timestamp())
            WHERE key = ANY (keys) AND ref = ANY (gateway.my_refs()) AND read_at IS NULL'
"""
# Whoever has the code may know what it is about: of a helper's link not the title, as they may not have agreed yet.
LINKED = """
    CREATE FUNCTION gateway.linked(code_digest bytea) RETURNS TABLE (
        area text, wish_id text, party text, category text, urgency text, title text, compound text, starts_at timestamptz, ends_at timestamptz,
        wish_state text, match_state text, rung text, slot_start timestamptz, slot_end timestamptz, organisation text, invited_until timestamptz
    )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT l.area, l.wish_id, l.party, w.category, w.urgency, CASE WHEN l.party = 'resident' THEN w.title END,
                CASE WHEN l.party = 'resident' OR NOT (w.age_band LIKE 'under%' OR w.category = 'left_behind_children') THEN w.compound END,
                w.starts_at, w.ends_at, w.state, m.state, coalesce(m.rung, i.rung), coalesce(m.starts_at, i.starts_at), coalesce(m.ends_at, i.ends_at),
                m.organisation, i.expires_at
            FROM links.links l
            LEFT JOIN gateway.wishes w USING (area, wish_id)
            LEFT JOIN gateway.matches m ON m.area = l.area AND m.match_id = l.match_id
            LEFT JOIN gateway.invitations i ON l.match_id IS NULL AND i.area = l.area AND i.wish_id = l.wish_id AND i.offer_id = l.offer_id
            WHERE l.digest = code_digest
        $$
"""
# Whether a wish that a volunteer no longer sees (it was taken, or is over) lies in their circle: they are told so kindly; of others they are told nothing.
WAS_NEAR = """
    CREATE FUNCTION gateway.was_near(wish_area text, wish text) RETURNS boolean
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS 'SELECT EXISTS (SELECT FROM gateway.wishes w WHERE w.area = wish_area AND w.wish_id = wish
            AND gateway.covers(w.area, w.community, w.compound, w.building, w.unit))'
"""


def upgrade() -> None:
    """Make them; the functions are for the role of requests alone."""
    for statement in (REFS, INBOX, MARK_READ, LINKED, WAS_NEAR):
        op.execute(statement)
    op.execute("REVOKE ALL ON gateway.inbox FROM lastmetre_board")
    for function in ("mark_read(uuid[])", "linked(bytea)", "was_near(text, text)"):
        op.execute(f"REVOKE ALL ON FUNCTION gateway.{function} FROM PUBLIC, lastmetre_board")


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP FUNCTION gateway.was_near(text, text)")
    op.execute("DROP FUNCTION gateway.linked(bytea)")
    op.execute("DROP FUNCTION gateway.mark_read(uuid[])")
    op.execute("DROP VIEW gateway.inbox")
    op.execute("DROP FUNCTION gateway.my_refs()")
