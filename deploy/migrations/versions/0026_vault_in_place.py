"""What the notifier tells the vault costs less: a visit that comes further is written in place, and news are found by their lane.

Each visit comes further at least once, and its three other indexes took a new entry each time: now no index holds its stage, and its page has room for the
row's next version. News were joined with their matches to see whose they are, by each of the notifiers.
"""

from alembic import op

revision = "0026_vault_in_place"
down_revision = "0025_unheard"
branch_labels = None
depends_on = None

_MINORS = "CREATE INDEX visits_of_minors ON vault.visits (slot_end) WHERE minor"
_NEWS = "notifying.vault_news"


def upgrade() -> None:
    """The index of visits to minors tells them by their end alone: those that stand are few."""
    op.execute("DROP INDEX vault.visits_of_minors")
    op.execute(_MINORS)
    op.execute("ALTER TABLE vault.visits SET (fillfactor = 70)")
    # -1 is anybody's: a notifier of before this column still writes, while one by one they are started anew.
    op.execute(f"ALTER TABLE {_NEWS} ADD COLUMN partition integer NOT NULL DEFAULT -1")
    op.execute("UPDATE notifying.vault_news n SET partition = c.partition FROM notifying.confirmations c WHERE c.match_id = n.match_id")
    op.execute("DROP INDEX notifying.vault_news_by_place")
    op.execute(f"CREATE INDEX vault_news_of_lane ON {_NEWS} (partition, place)")


def downgrade() -> None:
    """As it was."""
    op.execute("DROP INDEX notifying.vault_news_of_lane")
    op.execute(f"CREATE INDEX vault_news_by_place ON {_NEWS} (place)")
    op.execute(f"ALTER TABLE {_NEWS} DROP COLUMN partition")
    op.execute("ALTER TABLE vault.visits RESET (fillfactor)")
    op.execute("DROP INDEX vault.visits_of_minors")
    op.execute(f"{_MINORS} AND stage IN ('confirmed', 'started')")
