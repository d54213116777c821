"""Schema `gateway`: accounts, sessions, keys and the audit log, each row visible only to whom it belongs.

Before anybody is known there is a *knock*: what was presented (a login, a session's digest, a key's id), set by
`services/gateway/identity/store.py` for one transaction. The row that it names shows itself, and no other does. No function in between runs with
more rights than the asker, except for the two that add to the audit log.

Every table has forced row-level security. The owner has a policy of its own, as an owner who is no superuser is bound, too.
"""

from alembic import op

revision = "0015_identity"
down_revision = "0014_gateway"
branch_labels = None
depends_on = None

TABLES = ("accounts", "identities", "sessions", "pending_sign_ins", "api_keys", "audit", "audit_head")

STATEMENTS = (
    """
    CREATE FUNCTION gateway.knock() RETURNS text
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN nullif(current_setting('lastmetre.knock', true), '')
    """,
    """
    CREATE FUNCTION gateway.account() RETURNS text
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN gateway.me() ->> 'account'
    """,
    # `scope`, `centre`: steps of the ladder, the area first. `totp`: sealed by the gateway's key file. No name: people's names are the vault's.
    """
    CREATE TABLE gateway.accounts (
        account_id text PRIMARY KEY CHECK (account_id ~ '^[a-z0-9-]{8,64}$'),
        login text NOT NULL UNIQUE CHECK (login = lower(login) AND length(login) BETWEEN 3 AND 64),
        roles text[] NOT NULL CHECK (
            cardinality(roles) > 0
            AND roles <@ ARRAY['resident', 'guardian', 'volunteer', 'worker', 'auditor', 'integrator', 'admin']),
        scope text[] NOT NULL CHECK (cardinality(scope) BETWEEN 1 AND 5),
        centre text[] CHECK (cardinality(centre) BETWEEN 1 AND 5),
        volunteer_ref text,
        resident_refs text[] NOT NULL DEFAULT '{}',
        password_hash text,
        must_change boolean NOT NULL DEFAULT false,
        password_expires_at timestamptz,
        totp bytea,
        totp_step bigint NOT NULL DEFAULT 0,
        demo boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        disabled_at timestamptz
    )
    """,
    """
    CREATE TABLE gateway.identities (
        issuer text NOT NULL,
        subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
        account_id text NOT NULL REFERENCES gateway.accounts ON DELETE CASCADE,
        PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX identities_of_account ON gateway.identities (account_id)",
    """
    CREATE TABLE gateway.sessions (
        digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        account_id text NOT NULL REFERENCES gateway.accounts ON DELETE CASCADE,
        via text NOT NULL CHECK (via IN ('password', 'oidc')),
        created_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX sessions_of_account ON gateway.sessions (account_id)",
    "CREATE INDEX sessions_that_end ON gateway.sessions (ends_at)",
    # One authorization request: `browser` binds it to the browser that began it; taken away when it is used.
    """
    CREATE TABLE gateway.pending_sign_ins (
        digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        browser bytea NOT NULL CHECK (octet_length(browser) = 32),
        nonce text NOT NULL,
        verifier bytea NOT NULL,
        next text NOT NULL,
        ends_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE gateway.api_keys (
        key_id text PRIMARY KEY CHECK (key_id ~ '^[a-z0-9]{8,32}$'),
        account_id text NOT NULL REFERENCES gateway.accounts ON DELETE CASCADE,
        digest bytea NOT NULL CHECK (octet_length(digest) = 32),
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
        scopes text[] NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        last_used_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX api_keys_of_account ON gateway.api_keys (account_id)",
    # `hash`: an HMAC over the row and the hash before it, under a key that PostgreSQL does not have.
    """
    CREATE TABLE gateway.audit (
        seq bigint PRIMARY KEY CHECK (seq > 0),
        at timestamptz NOT NULL,
        who text,
        roles text[] NOT NULL,
        area text,
        act text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
        things text[] NOT NULL,
        request text NOT NULL,
        key_id text NOT NULL,
        hash bytea NOT NULL CHECK (octet_length(hash) = 32)
    )
    """,
    "CREATE TABLE gateway.audit_head (one boolean PRIMARY KEY DEFAULT true CHECK (one), seq bigint NOT NULL, hash bytea NOT NULL)",
    "INSERT INTO gateway.audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'))",
    *(
        statement
        for table in TABLES
        for statement in (
            f"ALTER TABLE gateway.{table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE gateway.{table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY owner ON gateway.{table} TO CURRENT_USER USING (true) WITH CHECK (true)",
            f"REVOKE ALL ON gateway.{table} FROM lastmetre_board",
        )
    ),
    """
    CREATE FUNCTION gateway.manages(scope text[]) RETURNS boolean
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN gateway.has('admin') AND gateway.covers(scope[1], scope[2], scope[3], scope[4], scope[5])
    """,
    # --- what was presented shows its own row
    """
    CREATE POLICY presented ON gateway.sessions FOR ALL TO lastmetre_gateway
        USING (gateway.knock() = 'session:' || encode(digest, 'hex')) WITH CHECK (false)
    """,
    """
    CREATE POLICY presented ON gateway.api_keys FOR SELECT TO lastmetre_gateway
        USING (gateway.knock() = 'key:' || key_id)
    """,
    """
    CREATE POLICY presented ON gateway.identities FOR SELECT TO lastmetre_gateway
        USING (gateway.knock() = 'identity:' || issuer || ' ' || subject)
    """,
    """
    CREATE POLICY presented ON gateway.pending_sign_ins FOR ALL TO lastmetre_gateway
        USING (gateway.knock() = 'state:' || encode(digest, 'hex')) WITH CHECK (gateway.knock() = 'state:' || encode(digest, 'hex'))
    """,
    """
    CREATE POLICY swept ON gateway.pending_sign_ins FOR DELETE TO lastmetre_gateway USING (ends_at < now())
    """,
    "CREATE POLICY presented ON gateway.accounts FOR SELECT TO lastmetre_gateway USING (gateway.knock() = 'login:' || login)",
    # Ended ones are swept by a DELETE that names no row: it sees none.
    "CREATE POLICY swept ON gateway.sessions FOR DELETE TO lastmetre_gateway USING (ends_at < now())",
    # --- one's own, and what an admin manages
    "CREATE POLICY own ON gateway.accounts FOR SELECT TO lastmetre_gateway USING (account_id = gateway.account())",
    "CREATE POLICY managed ON gateway.accounts FOR SELECT TO lastmetre_gateway USING (gateway.manages(scope))",
    """
    CREATE POLICY changed ON gateway.accounts FOR UPDATE TO lastmetre_gateway
        USING (account_id = gateway.account() OR gateway.manages(scope) OR gateway.knock() = 'login:' || login)
        WITH CHECK (account_id = gateway.account() OR gateway.manages(scope) OR gateway.knock() = 'login:' || login)
    """,
    """
    CREATE POLICY own ON gateway.sessions FOR ALL TO lastmetre_gateway
        USING (account_id = gateway.account()) WITH CHECK (account_id = gateway.account())
    """,
    """
    CREATE POLICY managed ON gateway.sessions FOR ALL TO lastmetre_gateway
        USING (gateway.has('admin') AND EXISTS (SELECT FROM gateway.accounts a WHERE a.account_id = sessions.account_id AND gateway.manages(a.scope)))
        WITH CHECK (false)
    """,
    """
    CREATE POLICY own ON gateway.api_keys FOR ALL TO lastmetre_gateway
        USING (account_id = gateway.account()) WITH CHECK (account_id = gateway.account())
    """,
    """
    CREATE POLICY managed ON gateway.api_keys FOR ALL TO lastmetre_gateway
        USING (gateway.has('admin') AND EXISTS (SELECT FROM gateway.accounts a WHERE a.account_id = api_keys.account_id AND gateway.manages(a.scope)))
        WITH CHECK (gateway.has('admin') AND EXISTS (SELECT FROM gateway.accounts a WHERE a.account_id = api_keys.account_id AND gateway.manages(a.scope)))
    """,
    "CREATE POLICY own ON gateway.identities FOR SELECT TO lastmetre_gateway USING (account_id = gateway.account())",
    # What has no area (somebody unknown knocked) is for those who see a whole area.
    """
    CREATE POLICY read ON gateway.audit FOR SELECT TO lastmetre_gateway USING (
        gateway.has('auditor', 'admin') AND gateway.me() ->> 'community' IS NULL AND (area IS NULL OR area = gateway.me() ->> 'area'))
    """,
    # --- no account raises itself: through the gateway only passwords, codes and the end of an account change
    """
    CREATE FUNCTION gateway.keep_rights() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_user = 'lastmetre_gateway'
            AND (OLD.account_id, OLD.login, OLD.roles, OLD.scope, OLD.centre, OLD.volunteer_ref, OLD.resident_refs, OLD.totp, OLD.demo, OLD.created_at)
                IS DISTINCT FROM
                (NEW.account_id, NEW.login, NEW.roles, NEW.scope, NEW.centre, NEW.volunteer_ref, NEW.resident_refs, NEW.totp, NEW.demo, NEW.created_at)
        THEN
            RAISE EXCEPTION USING ERRCODE = 'LM004', MESSAGE = 'the rights of an account are not changed from here';
        END IF;
        RETURN NEW;
    END
    $$
    """,
    "CREATE TRIGGER rights_are_kept BEFORE UPDATE ON gateway.accounts FOR EACH ROW EXECUTE FUNCTION gateway.keep_rights()",
    # --- the audit log is only added to, one row after the other
    """
    CREATE FUNCTION gateway.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING ERRCODE = 'LM002', MESSAGE = 'gateway.audit is only ever added to';
    END
    $$
    """,
    "CREATE TRIGGER audit_is_added_to BEFORE UPDATE OR DELETE ON gateway.audit FOR EACH ROW EXECUTE FUNCTION gateway.refuse_change()",
    "CREATE TRIGGER audit_is_kept BEFORE TRUNCATE ON gateway.audit FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change()",
    "CREATE TRIGGER head_stays BEFORE DELETE ON gateway.audit_head FOR EACH ROW EXECUTE FUNCTION gateway.refuse_change()",
    "CREATE TRIGGER head_is_kept BEFORE TRUNCATE ON gateway.audit_head FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change()",
    """
    CREATE FUNCTION gateway.audit_last(OUT seq bigint, OUT hash bytea)
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
        AS 'SELECT h.seq, h.hash FROM gateway.audit_head h FOR UPDATE'
    """,
    """
    CREATE FUNCTION gateway.audit_add(
        seq bigint, at timestamptz, who text, roles text[], area text, act text, outcome text, things text[], request text, key_id text, hash bytea
    ) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
    #variable_conflict use_column
    BEGIN
        UPDATE gateway.audit_head h SET seq = audit_add.seq, hash = audit_add.hash WHERE h.seq = audit_add.seq - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'LM003', MESSAGE = 'the audit log went on meanwhile';
        END IF;
        INSERT INTO gateway.audit VALUES (
            audit_add.seq, audit_add.at, audit_add.who, audit_add.roles, audit_add.area, audit_add.act, audit_add.outcome, audit_add.things,
            audit_add.request, audit_add.key_id, audit_add.hash);
    END
    $$
    """,
    "REVOKE ALL ON FUNCTION gateway.audit_last FROM PUBLIC, lastmetre_board",
    "REVOKE ALL ON FUNCTION gateway.audit_add FROM PUBLIC, lastmetre_board",
    "REVOKE INSERT, UPDATE, DELETE ON gateway.audit FROM lastmetre_gateway",
    "REVOKE ALL ON gateway.audit_head FROM lastmetre_gateway",
    "REVOKE INSERT, DELETE ON gateway.accounts FROM lastmetre_gateway",
)


def upgrade() -> None:
    """Make the tables and who sees what of them; `deploy/migrate.py` takes the same rights back after each general grant."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them: accounts and the audit log are lost."""
    for function in ("audit_add", "audit_last"):
        op.execute(f"DROP FUNCTION gateway.{function}")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE gateway.{table} CASCADE")
    for function in ("refuse_change", "keep_rights", "manages", "account", "knock"):
        op.execute(f"DROP FUNCTION gateway.{function}")
