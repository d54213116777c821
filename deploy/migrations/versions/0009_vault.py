"""Schema `vault`: people's contact data and exact doors, sealed. PostgreSQL holds ciphertext, wrapped keys and opaque references; no key opens anything here.

Instants are `timestamptz`, written by the vault's own clock. `sealed.value` is never compressed, as ciphertext does not shrink.
"""

from alembic import op

revision = "0009_vault"
down_revision = "0008_closing"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Leaves of the master keys' trees. A number is used once; a master key that was renewed begins with the next one all the same.
    "CREATE SEQUENCE vault.leaves AS bigint MINVALUE 0 MAXVALUE 4294967295 START 0 NO CYCLE",
    # `minor` is bound to the wrapped key: changed here alone, the key does not open.
    """
    CREATE TABLE vault.people (
        person_ref text PRIMARY KEY CHECK (length(person_ref) BETWEEN 1 AND 128),
        area text NOT NULL,
        minor boolean NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE vault.keys (
        person_ref text PRIMARY KEY REFERENCES vault.people,
        key_id text NOT NULL,
        leaf bigint NOT NULL,
        wrapped bytea NOT NULL,
        UNIQUE (key_id, leaf)
    )
    """,
    # Under which leaves a person was sealed before a rotation: older backups hold that, so an erasure makes them forgotten, too.
    """
    CREATE TABLE vault.former (
        person_ref text NOT NULL REFERENCES vault.people,
        key_id text NOT NULL,
        leaf bigint NOT NULL,
        PRIMARY KEY (person_ref, key_id, leaf)
    )
    """,
    # Every person has a row for every field, given or not, so that the rows do not tell which were given.
    """
    CREATE TABLE vault.sealed (
        person_ref text NOT NULL REFERENCES vault.people,
        field text NOT NULL,
        version integer NOT NULL,
        value bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (person_ref, field)
    )
    """,
    # Of an erased person: the reference, and which leaves were forgotten, so that they can be forgotten again in a key file from a backup.
    """
    CREATE TABLE vault.tombstones (
        person_ref text NOT NULL,
        key_id text NOT NULL,
        leaf bigint NOT NULL,
        erased_at timestamptz NOT NULL,
        PRIMARY KEY (person_ref, key_id, leaf)
    )
    """,
    # Who visits whom, and how far that is: what the ladder decides by, so that no caller can claim it at the moment of reading.
    """
    CREATE TABLE vault.visits (
        match_id text PRIMARY KEY,
        wish_id text NOT NULL,
        resident_ref text NOT NULL,
        helper_ref text NOT NULL,
        stage text NOT NULL CHECK (stage IN ('proposed', 'agreed', 'confirmed', 'started', 'finished', 'closed', 'released')),
        slot_start timestamptz NOT NULL,
        slot_end timestamptz NOT NULL,
        CHECK (slot_start < slot_end)
    )
    """,
    "CREATE INDEX visits_of_resident ON vault.visits (resident_ref)",
    "CREATE INDEX visits_of_helper ON vault.visits (helper_ref)",
    # `proof_sha256`: of the signed paper or record, which is kept elsewhere.
    """
    CREATE TABLE vault.consents (
        minor_ref text NOT NULL,
        guardian_ref text NOT NULL,
        purpose text NOT NULL CHECK (purpose IN ('keep', 'notify', 'visit', 'support', 'access')),
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        proof_sha256 bytea NOT NULL CHECK (octet_length(proof_sha256) = 32),
        given_at timestamptz NOT NULL,
        withdrawn_at timestamptz,
        PRIMARY KEY (minor_ref, guardian_ref, purpose, given_at),
        CHECK (starts_at < ends_at)
    )
    """,
    """
    CREATE TABLE vault.audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL,
        action text NOT NULL CHECK (action IN ('put', 'read', 'erase', 'rotate', 'consent', 'withdraw')),
        outcome text NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
        reason text,
        role text NOT NULL,
        reader_ref text NOT NULL,
        person_ref text,
        fields text[] NOT NULL,
        why text NOT NULL,
        match_id text,
        wish_id text,
        CHECK ((outcome = 'allowed') = (reason IS NULL))
    )
    """,
    "CREATE INDEX audit_of_person ON vault.audit (person_ref, id)",
    # The vault's role may not change its own audit either: beside the rights it lacks (deploy/migrate.py), a trigger says so to everyone.
    """
    CREATE FUNCTION vault.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING ERRCODE = 'LM002', MESSAGE = 'vault.audit is only ever added to';
    END
    $$
    """,
    "CREATE TRIGGER audit_is_added_to BEFORE UPDATE OR DELETE ON vault.audit FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()",
    "CREATE TRIGGER audit_is_kept BEFORE TRUNCATE ON vault.audit FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()",
    # Dead rows of these two are wrapped keys and sealed values of old: vacuum soon, not at a fifth of the table.
    "ALTER TABLE vault.keys SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50)",
    "ALTER TABLE vault.sealed SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)",
)


def upgrade() -> None:
    """Make the tables; the schema and its role are `deploy/migrate.py`'s."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables: what was sealed is lost."""
    for table in ("audit", "consents", "visits", "tombstones", "sealed", "former", "keys", "people"):
        op.execute(f"DROP TABLE vault.{table}")
    op.execute("DROP FUNCTION vault.refuse_change")
    op.execute("DROP SEQUENCE vault.leaves")
