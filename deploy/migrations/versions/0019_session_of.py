"""`gateway.session_of`: who presents a session, in one question instead of six.

It does what `services/gateway/identity/store.py` did in a transaction of its own: knock, look at the session, become its account, look at the
account. It runs with the asker's rights, so the policies show what they showed before, and what it sets ends with its statement's transaction.
"""

from alembic import op

revision = "0019_session_of"
down_revision = "0018_door"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION gateway.session_of(presented bytea) RETURNS TABLE (
    digest bytea, account_id text, via text, created_at timestamptz, seen_at timestamptz, ends_at timestamptz,
    login text, roles text[], scope text[], centre text[], volunteer_ref text, resident_refs text[], password_hash text, must_change boolean,
    password_expires_at timestamptz, totp bytea, disabled_at timestamptz, demo boolean
) LANGUAGE plpgsql VOLATILE SECURITY INVOKER ROWS 1 AS $$
#variable_conflict use_column
DECLARE
    found gateway.sessions;
BEGIN
    PERFORM set_config('lastmetre.knock', 'session:' || encode(presented, 'hex'), true);
    SELECT s.* INTO found FROM gateway.sessions s WHERE s.digest = presented;
    IF found.digest IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('lastmetre.principal', jsonb_build_object('account', found.account_id, 'roles', '[]'::jsonb)::text, true);
    RETURN QUERY SELECT found.digest, found.account_id, found.via, found.created_at, found.seen_at, found.ends_at,
        a.login, a.roles, a.scope, a.centre, a.volunteer_ref, a.resident_refs, a.password_hash, a.must_change,
        a.password_expires_at, a.totp, a.disabled_at, a.demo
        FROM gateway.accounts a WHERE a.account_id = found.account_id;
END
$$
"""


def upgrade() -> None:
    """Make the function, for the role of requests alone."""
    op.execute(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION gateway.session_of(bytea) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION gateway.session_of(bytea) TO lastmetre_gateway")


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP FUNCTION gateway.session_of(bytea)")
