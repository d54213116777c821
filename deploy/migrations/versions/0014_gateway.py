"""The gateway's schema and its two roles: who asks, and what they may see.

`gateway.me()` is the principal of the transaction, set by `services/gateway/database.py`; the policies of every table read it.
"""

from alembic import op

revision = "0014_gateway"
down_revision = "0013_links"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE FUNCTION gateway.me() RETURNS jsonb
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN nullif(current_setting('lastmetre.principal', true), '')::jsonb
    """,
    """
    CREATE FUNCTION gateway.has(VARIADIC roles text[]) RETURNS boolean
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN coalesce((gateway.me() -> 'roles') ?| roles, false)
    """,
    # Whether a place lies in the principal's circle of the ladder; a step that the scope does not name covers all.
    """
    CREATE FUNCTION gateway.covers(area text, community text, compound text, building text, unit text) RETURNS boolean
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN coalesce(
            gateway.me() ->> 'area' = area
            AND coalesce(gateway.me() ->> 'community' = community, gateway.me() ->> 'community' IS NULL)
            AND coalesce(gateway.me() ->> 'compound' = compound, gateway.me() ->> 'compound' IS NULL)
            AND coalesce(gateway.me() ->> 'building' = building, gateway.me() ->> 'building' IS NULL)
            AND coalesce(gateway.me() ->> 'unit' = unit, gateway.me() ->> 'unit' IS NULL),
            false)
    """,
)


def upgrade() -> None:
    """Make the functions that the policies use; the schema and its roles are `deploy/migrate.py`'s."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    for function in ("covers(text, text, text, text, text)", "has(text[])", "me()"):
        op.execute(f"DROP FUNCTION gateway.{function}")
