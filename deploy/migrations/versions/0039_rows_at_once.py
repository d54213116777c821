"""What many rows are written from comes as one array of rows and not as an array for each column.

The driver looks at every element of an array, whether it is an array itself, and the server unpacks each array by itself: for nineteen columns that was most of
what the notifier did for the statement, and a quarter of what the server did.
"""

from alembic import op

revision = "0039_rows_at_once"
down_revision = "0038_in_each_language"
branch_labels = None
depends_on = None

TYPES = {
    "notifying.told_match": """
        match_id text, wish_id text, offer_id text, area text, partition integer, resident_ref text, volunteer_ref text, category text, rung text,
        slot_start text, slot_end text, organisation text, urgency text, minor boolean, state text, resident_key uuid, resident_text text,
        volunteer_key uuid, volunteer_text text
    """,
    "notifying.confirmed_match": """
        match_id text, resident_key uuid, resident_channel text, resident_at text, volunteer_key uuid, volunteer_channel text, volunteer_at text,
        id uuid, partition integer, topic text, key bytea, headers bytea, value bytea
    """,
    "vault.told_visit": """
        match_id text, wish_id text, resident_ref text, helper_ref text, stage text, slot_start timestamptz, slot_end timestamptz, minor boolean
    """,
}


def upgrade() -> None:
    """Types of what statements take; no table has them, so they may be made anew at any time."""
    for name, columns in TYPES.items():
        op.execute(f"CREATE TYPE {name} AS ({columns})")


def downgrade() -> None:
    """Without them."""
    for name in TYPES:
        op.execute(f"DROP TYPE {name}")
