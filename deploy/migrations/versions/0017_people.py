"""The inbox in the app, as its owner reads it: a window on the notifier's table that shows whoever asks their own messages, and marks them read.

The role of requests gets nothing on schema `notifying`; the view and the function look with the owner's eyes, and for `gateway.me()` alone. The view cannot be
written through, whatever is granted on it.
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


def upgrade() -> None:
    """Make them; the function is for the role of requests alone."""
    for statement in (REFS, INBOX, MARK_READ):
        op.execute(statement)
    op.execute("REVOKE ALL ON gateway.inbox FROM lastmetre_board")
    op.execute("REVOKE ALL ON FUNCTION gateway.mark_read(uuid[]) FROM PUBLIC, lastmetre_board")


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP FUNCTION gateway.mark_read(uuid[])")
    op.execute("DROP VIEW gateway.inbox")
    op.execute("DROP FUNCTION gateway.my_refs()")
