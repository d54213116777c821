"""`gateway.before_claim`: all that a claim must know of its member beforehand, in one question instead of four or five.

It does what `services/gateway/people/store.py` did in a transaction of its own: become the member, look, see whether a wish that does not wait is in
their circle at all. It runs with the asker's rights, so the policies show what they showed before, and what it sets ends with its statement's transaction.
"""

from alembic import op

revision = "0020_before_claim"
down_revision = "0019_session_of"
branch_labels = None
depends_on = None

# Offers, the wish where it waits, and which wishes they have or had a match of. Planned once a connection: with the policies in it, a plan costs more
# than the look, and PostgreSQL would make five before it settles on one.
FUNCTION = """
CREATE FUNCTION gateway.before_claim(whoever text, of_area text, of_volunteer text, of_wish text)
RETURNS TABLE (offers json, wish json, matches json, near boolean)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER ROWS 1 SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('lastmetre.principal', whoever, true);
    SELECT coalesce(json_agg(o ORDER BY o.offer_id), '[]') INTO offers FROM (
        SELECT r.area, r.offer_id, r.community, r.compound, r.building, r.unit, r.reach, r.skills, r.languages, r.vetting_level, r.checked_at, r.windows
        FROM gateway.offers r WHERE r.area = of_area AND r.volunteer_ref = of_volunteer AND r.state = 'open') o;
    SELECT row_to_json(w) INTO wish FROM (
        SELECT r.area, r.wish_id, r.community, r.compound, r.building, r.unit, r.category, r.urgency, r.title, r.skills, r.languages, r.starts_at,
            r.ends_at, r.minutes, r.helpers_needed, r.live, r.age_band, r.lives_alone, r.vetting_min, r.approval, r.accompanied
        FROM gateway.wishes r WHERE r.area = of_area AND r.wish_id = of_wish AND r.state IN ('open', 'held') AND r.category IS NOT NULL) w;
    SELECT coalesce(json_agg(m), '[]') INTO matches FROM (
        SELECT r.wish_id, r.match_id, r.state, r.starts_at, r.ends_at, r.needs_answer FROM gateway.matches r
        WHERE r.area = of_area AND r.volunteer_ref = of_volunteer AND r.starts_at IS NOT NULL
            AND (r.wish_id = of_wish OR r.changed_at > now() - interval '90 days')) m;
    near := wish IS NOT NULL OR gateway.was_near(of_area, of_wish);
    RETURN NEXT;
END
$$
"""


def upgrade() -> None:
    """Make the function, for the role of requests alone."""
    op.execute(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION gateway.before_claim(text, text, text, text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION gateway.before_claim(text, text, text, text) TO lastmetre_gateway")


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP FUNCTION gateway.before_claim(text, text, text, text)")
