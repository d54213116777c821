"""The board: what the topics say is going on, as rows; the stream in the order of commits; and what community workers keep here themselves.

`lastmetre_board` writes it, alone. `lastmetre_gateway` reads what the principal of its transaction may see (`gateway.me()`), and writes only drafts,
settings and what becomes of a dead letter. Row-level security is forced on every table.
"""

from alembic import op

revision = "0016_board"
down_revision = "0015_identity"
branch_labels = None
depends_on = None

# What a principal sees: workers and auditors all in their circle of the ladder.
_STAFF = """(
    area = (SELECT gateway.me() ->> 'area') AND (SELECT gateway.has('worker', 'auditor'))
    AND coalesce(community = (SELECT gateway.me() ->> 'community'), (SELECT gateway.me() ->> 'community') IS NULL)
    AND coalesce(compound = (SELECT gateway.me() ->> 'compound'), (SELECT gateway.me() ->> 'compound') IS NULL)
    AND coalesce(building = (SELECT gateway.me() ->> 'building'), (SELECT gateway.me() ->> 'building') IS NULL)
)"""
_UNIT = "coalesce(unit = (SELECT gateway.me() ->> 'unit'), (SELECT gateway.me() ->> 'unit') IS NULL)"
_MINE = """coalesce(
    (volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref') AND (SELECT gateway.has('volunteer')))
    OR ((SELECT gateway.me() -> 'resident_refs') ? resident_ref AND (SELECT gateway.has('resident', 'guardian'))), false)"""
# What was said about a wish is seen by whoever sees the wish in their circle.
_STAFF_BY_WISH = """(
    area = (SELECT gateway.me() ->> 'area') AND (SELECT gateway.has('worker', 'auditor'))
    AND ((SELECT gateway.me() ->> 'community') IS NULL OR EXISTS (SELECT FROM gateway.wishes w WHERE w.area = {table}.area AND w.wish_id = {table}.wish_id))
)"""

TABLES = (
    """
    CREATE TABLE gateway.wishes (
        area text NOT NULL,
        wish_id text NOT NULL,
        community text, compound text, building text, unit text,
        category text,
        urgency text,
        title text,
        note text,
        skills text[] NOT NULL DEFAULT '{}',
        starts_at timestamptz,
        ends_at timestamptz,
        minutes integer,
        helpers_needed integer NOT NULL DEFAULT 1,
        age_band text,
        lives_alone boolean NOT NULL DEFAULT false,
        vetting_min integer NOT NULL DEFAULT 0,
        approval text NOT NULL DEFAULT 'none',
        accompanied boolean NOT NULL DEFAULT false,
        languages text[] NOT NULL DEFAULT '{}',
        resident_ref text,
        state text NOT NULL,
        live integer NOT NULL DEFAULT 0,
        confirmed integer NOT NULL DEFAULT 0,
        reach text,
        unmet jsonb,
        unmet_at timestamptz,
        submitted_at timestamptz,
        received_at timestamptz,
        withdrawn_at timestamptz,
        expired_at timestamptz,
        filled integer,
        confirmed_at timestamptz,
        changed_at timestamptz,
        frozen boolean NOT NULL DEFAULT false,
        PRIMARY KEY (area, wish_id),
        -- Until its submission is read, only what other topics say is known.
        CHECK ((submitted_at IS NULL) = (state = 'unknown'))
    )
    """,
    "CREATE INDEX wishes_waiting ON gateway.wishes (area, ends_at) WHERE state IN ('open', 'held')",
    "CREATE INDEX wishes_by_state ON gateway.wishes (area, state, changed_at DESC)",
    "CREATE INDEX wishes_of_resident ON gateway.wishes (area, resident_ref)",
    "CREATE INDEX wishes_by_day ON gateway.wishes (area, submitted_at)",
    """
    CREATE TABLE gateway.offers (
        area text NOT NULL,
        offer_id text NOT NULL,
        volunteer_ref text,
        community text, compound text, building text, unit text,
        skills text[] NOT NULL DEFAULT '{}',
        reach text,
        vetting_level integer NOT NULL DEFAULT 0,
        checked_at timestamptz,
        capacity integer NOT NULL DEFAULT 1,
        accepts text,
        languages text[] NOT NULL DEFAULT '{}',
        organisation text,
        windows jsonb NOT NULL DEFAULT '[]',
        last_end timestamptz,
        state text NOT NULL,
        state_at timestamptz,
        posted_at timestamptz,
        changed_at timestamptz,
        PRIMARY KEY (area, offer_id)
    )
    """,
    "CREATE INDEX offers_of_volunteer ON gateway.offers (area, volunteer_ref)",
    """
    CREATE TABLE gateway.matches (
        area text NOT NULL,
        match_id text NOT NULL,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        -- Of the wish, once that is known: who sees what is decided without a look at another table.
        community text, compound text, building text, unit text,
        resident_ref text,
        volunteer_ref text,
        rung text,
        starts_at timestamptz,
        ends_at timestamptz,
        how text,
        state text NOT NULL,
        needs_answer boolean NOT NULL DEFAULT false,
        needs_approval boolean NOT NULL DEFAULT false,
        expires_at timestamptz,
        group_id text,
        organisation text,
        reasons jsonb NOT NULL DEFAULT '[]',
        proposed_at timestamptz,
        accepted_at timestamptz,
        approved_at timestamptz,
        agreed_at timestamptz,
        released_at timestamptz,
        release_reason text,
        failed_reason text,
        confirmed_at timestamptz,
        confirmed_seen_at timestamptz,
        started_at timestamptz,
        finished_at timestamptz,
        reported_minutes integer,
        outcome text,
        minutes integer,
        closed_at timestamptz,
        closed_by text,
        closed_said_at timestamptz,
        changed_at timestamptz,
        PRIMARY KEY (area, match_id)
    )
    """,
    "CREATE INDEX matches_of_wish ON gateway.matches (area, wish_id)",
    "CREATE INDEX matches_of_volunteer ON gateway.matches (area, volunteer_ref)",
    "CREATE INDEX matches_of_resident ON gateway.matches (area, resident_ref)",
    """
    CREATE TABLE gateway.reports (
        area text NOT NULL,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        kind text NOT NULL,
        match_id text NOT NULL,
        at timestamptz NOT NULL,
        minutes integer,
        said jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (area, wish_id, offer_id, kind, match_id)
    )
    """,
    """
    CREATE TABLE gateway.invitations (
        area text NOT NULL,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        volunteer_ref text,
        invited_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        rung text,
        starts_at timestamptz,
        ends_at timestamptz,
        live boolean NOT NULL,
        PRIMARY KEY (area, wish_id, offer_id)
    )
    """,
    "CREATE INDEX invitations_of_volunteer ON gateway.invitations (area, volunteer_ref) WHERE live",
    # One writer allots `seq`, so that it is the order of commits. A line about a wish that is not known yet waits without one.
    """
    CREATE TABLE gateway.stream (
        event_key uuid PRIMARY KEY,
        seq bigint UNIQUE,
        at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        area text NOT NULL,
        community text, compound text, building text,
        kind text NOT NULL,
        subject text NOT NULL,
        wish_id text,
        match_id text,
        offer_id text,
        volunteer_ref text,
        resident_ref text,
        brief jsonb NOT NULL
    )
    """,
    "CREATE SEQUENCE gateway.stream_seq OWNED BY gateway.stream.seq",
    "CREATE INDEX stream_of_wish ON gateway.stream (area, wish_id, seq)",
    "CREATE INDEX stream_unplaced ON gateway.stream (area, wish_id) WHERE seq IS NULL",
    "CREATE INDEX stream_by_age ON gateway.stream (stored_at)",
    """
    CREATE TABLE gateway.taken (
        event_key uuid PRIMARY KEY,
        stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE INDEX taken_by_age ON gateway.taken (stored_at)",
    """
    CREATE TABLE gateway.cursors (
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        PRIMARY KEY (topic, partition)
    )
    """,
    # `generation` grows with each rebuild, so that a reader knows that its cursors are not what it thinks. `behind`: when the reader wrote last.
    """
    CREATE TABLE gateway.reader (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        generation integer NOT NULL DEFAULT 0,
        wrote_at timestamptz
    )
    """,
    "INSERT INTO gateway.reader DEFAULT VALUES",
    """
    CREATE TABLE gateway.dead_letters (
        topic text NOT NULL,
        partition integer NOT NULL,
        position bigint NOT NULL,
        at timestamptz NOT NULL,
        reason text NOT NULL,
        message text NOT NULL,
        origin text NOT NULL,
        area text,
        community text,
        kind text,
        key text,
        headers jsonb NOT NULL,
        value text,
        mended text,
        mended_id text,
        mended_by text,
        mended_at timestamptz,
        sent_at timestamptz,
        PRIMARY KEY (topic, partition, position),
        CHECK (sent_at IS NULL OR mended IS NOT NULL)
    )
    """,
    "CREATE INDEX dead_letters_by_age ON gateway.dead_letters (at DESC)",
    # Per community: whether a wish that somebody enters here is looked at by a worker before it is published.
    """
    CREATE TABLE gateway.communities (
        area text NOT NULL,
        community text NOT NULL,
        reviews boolean NOT NULL DEFAULT false,
        changed_by text,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (area, community)
    )
    """,
    # A wish that waits for a worker's look, or that was frozen. `data` is the event's, `state`: waiting → sending → published; waiting → refused.
    """
    CREATE TABLE gateway.drafts (
        draft_id uuid PRIMARY KEY,
        area text NOT NULL,
        community text NOT NULL,
        compound text, building text, unit text,
        wish_id text NOT NULL,
        data jsonb NOT NULL,
        state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'published', 'refused')),
        origin text NOT NULL CHECK (origin IN ('entered', 'frozen')),
        resident_ref text,
        entered_by text NOT NULL,
        entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        reviewed_by text,
        reviewed_at timestamptz,
        reason text,
        UNIQUE (area, wish_id)
    )
    """,
    "CREATE INDEX drafts_waiting ON gateway.drafts (area, community, entered_at) WHERE state IN ('waiting', 'sending')",
)

_OPEN_IN_SCOPE = """(
    state IN ('open', 'held') AND submitted_at IS NOT NULL AND area = (SELECT gateway.me() ->> 'area') AND (SELECT gateway.has('volunteer'))
    AND coalesce(community = (SELECT gateway.me() ->> 'community'), (SELECT gateway.me() ->> 'community') IS NULL)
    AND coalesce(compound = (SELECT gateway.me() ->> 'compound'), (SELECT gateway.me() ->> 'compound') IS NULL)
    AND coalesce(building = (SELECT gateway.me() ->> 'building'), (SELECT gateway.me() ->> 'building') IS NULL)
)"""
_WISH_MINE = """(
    ((SELECT gateway.me() -> 'resident_refs') ? resident_ref AND (SELECT gateway.has('resident', 'guardian')))
    OR ((SELECT gateway.has('volunteer')) AND EXISTS (
        SELECT FROM gateway.matches m
        WHERE m.area = wishes.area AND m.wish_id = wishes.wish_id AND m.volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref')))
)"""

# (table, who may read it)
READ = {
    "wishes": f"({_STAFF} AND {_UNIT}) OR {_OPEN_IN_SCOPE} OR {_WISH_MINE}",
    "offers": f"({_STAFF} AND {_UNIT}) OR coalesce(volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref') AND (SELECT gateway.has('volunteer')), false)",
    "matches": f"{_MINE} OR ({_STAFF} AND {_UNIT})",
    "reports": _STAFF_BY_WISH.format(table="reports"),
    "invitations": f"""live AND ({_STAFF_BY_WISH.format(table="invitations")}
        OR coalesce(volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref') AND (SELECT gateway.has('volunteer')), false))""",
    "stream": f"seq IS NOT NULL AND ({_STAFF} OR {_MINE})",
    "dead_letters": """(SELECT gateway.has('admin')) OR coalesce(
        area = (SELECT gateway.me() ->> 'area') AND (SELECT gateway.has('worker', 'auditor'))
        AND (SELECT gateway.me() ->> 'compound') IS NULL
        AND coalesce(community = (SELECT gateway.me() ->> 'community'), (SELECT gateway.me() ->> 'community') IS NULL), false)""",
    "communities": "area = (SELECT gateway.me() ->> 'area')",
    "drafts": f"({_STAFF} AND {_UNIT}) OR entered_by = (SELECT gateway.me() ->> 'account')",
    "taken": "false",
    "cursors": "true",
    "reader": "true",
}
# What the role of requests may also write, for whom.
WRITE = {
    "dead_letters": (("UPDATE", READ["dead_letters"].replace("'worker', 'auditor'", "'worker'").replace("(SELECT gateway.has('admin')) OR ", "")),),
    "communities": (
        ("INSERT", f"({_STAFF.replace('compound =', 'null =').replace('building =', 'null =')})".replace("'worker', 'auditor'", "'worker'")),
        ("UPDATE", f"({_STAFF.replace('compound =', 'null =').replace('building =', 'null =')})".replace("'worker', 'auditor'", "'worker'")),
    ),
    "drafts": (
        ("INSERT", "area = (SELECT gateway.me() ->> 'area') AND entered_by = (SELECT gateway.me() ->> 'account')"),
        ("UPDATE", f"{_STAFF} AND {_UNIT}".replace("'worker', 'auditor'", "'worker'")),
    ),
}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table, sees in READ.items():
        op.execute(f"ALTER TABLE gateway.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE gateway.{table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY board_writes ON gateway.{table} TO lastmetre_board USING (true) WITH CHECK (true)")
        op.execute(f"CREATE POLICY asks ON gateway.{table} FOR SELECT TO lastmetre_gateway USING ({sees})")
        for verb, writes in WRITE.get(table, ()):
            check = f"WITH CHECK ({writes})" if verb == "INSERT" else f"USING ({writes}) WITH CHECK ({writes})"
            op.execute(f"CREATE POLICY {verb.lower()}s ON gateway.{table} FOR {verb} TO lastmetre_gateway {check}")


def downgrade() -> None:
    # Together: the policy of one looks into another.
    op.execute(f"DROP TABLE {', '.join(f'gateway.{table}' for table in READ)}")
