"""After five years, half a million wishes later: what is asked again and again finds what is under way by an index, and does not go through all there ever was.

Found with a database of that size. Two policies asked each row for the principal, in JSON; the view of a desk's messages compared with a volatile clock, which
no index can serve; and some tables had no index for what is asked of them.
"""

from alembic import op

from deploy.amending import amended

revision = "0037_after_years"
down_revision = "0036_unread"
branch_labels = None
depends_on = None

_DEAD = "state = 'dead' AND kind IN ('released', 'not_started', 'not_finished')"
_DEAD_NOTICES = "n.state = 'dead' AND n.kind IN ('released', 'not_started', 'not_finished')"
# A slot begins within 366 days of its wish, so word of it that was given up longer ago is about nothing that is still to come.
_LATELY = f"""{_DEAD_NOTICES}
                AND n.due_at > to_timestamp(now_us::float8 / 1000000) - interval '400 days'"""
# (index, on what, which rows)
_INDEXES = (
    # The story of a wish; what is about a match is found by that.
    ("notifying.notices_of_wish", "notifying.notices (wish_id)", "match_id IS NULL"),
    ("gateway.drafts_of_account", "gateway.drafts (area, entered_by, entered_at)", "origin = 'entered' AND state <> 'published'"),
    # An offer whose windows are over stays open on the topics: its last end tells.
    ("gateway.offers_open", "gateway.offers (area, last_end)", "state = 'open'"),
)
_AUDIT = "CREATE INDEX audit_of_area ON gateway.audit (area, seq)"
# The journal of an area from some time on, at next to no cost for who writes it: a summary of each megabyte.
_JOURNAL = "CREATE INDEX journal_by_time ON matching.journal USING brin (at) WITH (autosummarize = on)"
_ME = "(SELECT gateway.me() ->> '{step}')"
_READ = {
    "each": "gateway.has('auditor', 'admin') AND gateway.me() ->> 'community' IS NULL AND (area IS NULL OR area = gateway.me() ->> 'area')",
    "once": f"(SELECT gateway.has('auditor', 'admin')) AND {_ME.format(step='community')} IS NULL AND (area IS NULL OR area = {_ME.format(step='area')})",
}
# As `gateway.manages` says it.
_SCOPE = " AND ".join(
    f"coalesce(scope[{number}] = {_ME.format(step=step)}, {_ME.format(step=step)} IS NULL)"
    for number, step in enumerate(("community", "compound", "building", "unit"), start=2)
)
_MANAGED = {"each": "gateway.manages(scope)", "once": f"(SELECT gateway.has('admin')) AND scope[1] = {_ME.format(step='area')} AND {_SCOPE}"}
_CIRCLE = " AND ".join(
    f"coalesce(w.{step} = {_ME.format(step=step)}, {_ME.format(step=step)} IS NULL)" for step in ("community", "compound", "building", "unit")
)
_INBOX = """
    CREATE OR REPLACE VIEW gateway.inbox WITH (security_barrier) AS
    SELECT key, kind, text, at, read_at, NULL::text AS wish_id FROM notifying.app_inbox WHERE ref = ANY (gateway.my_refs())
    UNION ALL
    SELECT i.key, i.kind, i.text, i.at, i.read_at, n.wish_id
    FROM notifying.app_inbox i JOIN notifying.notices n USING (key) JOIN gateway.wishes w USING (area, wish_id)
    WHERE (SELECT gateway.has('worker')) AND i.ref = 'desk-' || (SELECT gateway.me() ->> 'area') AND i.at > {clock}() - interval '30 days'
        AND w.area = (SELECT gateway.me() ->> 'area') AND {circle}
"""


def _amend_attention(before: str, after: str) -> None:
    op.execute(amended("notifying.attention_at(bigint)", before, after))


def _ask(how: str, clock: str) -> None:
    op.execute(f"ALTER POLICY read ON gateway.audit USING ({_READ[how]})")
    op.execute(f"ALTER POLICY managed ON gateway.accounts USING ({_MANAGED[how]})")
    op.execute(_INBOX.format(clock=clock, circle=_CIRCLE))


def upgrade() -> None:
    """Indexes for what is under way, and questions that they can answer."""
    for name, on, rows in _INDEXES:
        op.execute(f"CREATE INDEX {name.partition('.')[2]} ON {on} WHERE {rows}")
    op.execute(_AUDIT)
    # From when on the board's topics are read where there is no cursor: after a rebuild not from their start, as what is older stays.
    op.execute("ALTER TABLE gateway.reader ADD COLUMN begins_at timestamptz")
    op.execute(_JOURNAL)
    op.execute("DROP INDEX notifying.notices_unheard")
    op.execute(f"CREATE INDEX notices_unheard ON notifying.notices (due_at) WHERE {_DEAD}")
    _amend_attention(_DEAD_NOTICES, _LATELY)
    _ask("once", "statement_timestamp")


def downgrade() -> None:
    """As it was."""
    _ask("each", "clock_timestamp")
    _amend_attention(_LATELY, _DEAD_NOTICES)
    op.execute("DROP INDEX notifying.notices_unheard")
    op.execute(f"CREATE INDEX notices_unheard ON notifying.notices (match_id) WHERE {_DEAD}")
    op.execute("DROP INDEX matching.journal_by_time")
    op.execute("ALTER TABLE gateway.reader DROP COLUMN begins_at")
    op.execute("DROP INDEX gateway.audit_of_area")
    for name, _, _ in _INDEXES:
        op.execute(f"DROP INDEX {name}")
