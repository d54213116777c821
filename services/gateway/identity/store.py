"""All SQL about accounts, sessions, keys and begun sign-ins. Each method is one transaction in which PostgreSQL shows only what is asked for.

`knock` is what was presented before anybody is known (`session:<digest>`, `login:<name>`, ...): the row that it names shows itself. Once a row
has proven who it is, the transaction goes on as that account.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

import asyncpg

from services.gateway.database import Database
from services.gateway.identity.model import Account, ApiKey, Session, scope_of
from services.gateway.roles import Principal, Role

Connection = asyncpg.pool.PoolConnectionProxy

_KNOCK: Final = "SELECT set_config('lastmetre.knock', $1, true)"
_BECOME: Final = "SELECT set_config('lastmetre.principal', $1, true)"
_ACCOUNT: Final = """
    SELECT account_id, login, roles, scope, centre, volunteer_ref, resident_refs, password_hash, must_change, password_expires_at, totp, disabled_at, demo
    FROM gateway.accounts
"""
_FOUND: Final = f"""
    SELECT *, count(*) OVER () AS together FROM ({_ACCOUNT} WHERE (SELECT gateway.has('admin'))) a WHERE starts_with(login, $1) ORDER BY login LIMIT $2
"""  # noqa: S608 - of our own constants
_SESSION: Final = "SELECT digest, account_id, via, created_at, seen_at, ends_at FROM gateway.sessions"
_SESSION_OF: Final = "SELECT * FROM gateway.session_of($1)"
_SESSION_FIELDS: Final = tuple(field.name for field in fields(Session))
# Held until the session is there: whoever disables the account, or changes its password, then ends this session, too.
_STILL_OPEN: Final = """
    SELECT 1 FROM gateway.accounts a WHERE account_id = $1 AND disabled_at IS NULL AND CASE WHEN $2 = 'password' THEN password_hash = $3
        ELSE EXISTS (SELECT FROM gateway.identities i WHERE i.account_id = a.account_id) END FOR SHARE OF a
"""
_KEY: Final = "SELECT key_id, account_id, digest, scopes, expires_at, revoked_at FROM gateway.api_keys"

_DISABLE: Final = """
    UPDATE gateway.accounts SET disabled_at = coalesce(disabled_at, $2), disabled_by = CASE WHEN disabled_at IS NULL THEN $3 ELSE disabled_by END
    WHERE account_id = $1 AND gateway.manages(scope)
"""
_ENABLE: Final = """
    UPDATE gateway.accounts SET disabled_at = NULL, disabled_by = NULL
    WHERE account_id = $1 AND gateway.manages(scope) AND (disabled_at IS NULL OR disabled_by IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that was begun at the OpenID provider. `verifier` is sealed."""

    nonce: str
    verifier: bytes
    next: str
    browser: bytes


def account_of(row: asyncpg.Record) -> Account:
    """An account from its row."""
    return Account(
        account_id=row["account_id"],
        login=row["login"],
        roles=frozenset(Role(role) for role in row["roles"]),
        scope=scope_of(row["scope"]),
        centre=None if row["centre"] is None else scope_of(row["centre"]),
        volunteer_ref=row["volunteer_ref"],
        resident_refs=frozenset(row["resident_refs"]),
        password_hash=row["password_hash"],
        must_change=row["must_change"],
        password_expires_at=row["password_expires_at"],
        totp=row["totp"],
        disabled_at=row["disabled_at"],
        demo=row["demo"],
    )


async def _become(connection: Connection, account_id: str) -> Account | None:
    await connection.execute(_BECOME, json.dumps({"account": account_id, "roles": []}))
    row = await connection.fetchrow(f"{_ACCOUNT} WHERE account_id = $1", account_id)
    return None if row is None else account_of(row)


class Store:
    """The tables, seen as whoever asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _knocking(self, what: str) -> AsyncIterator[Connection]:
        async with self._database.pool.acquire() as connection, connection.transaction():
            await connection.execute(_KNOCK, what)
            yield connection

    # --- who is it?

    async def by_session(self, digest: bytes) -> tuple[Session, Account] | None:
        """The session of a digest, with its account: one question, as every request asks it."""
        row = await self._database.pool.fetchrow(_SESSION_OF, digest)
        if row is None:
            return None
        return Session(**{name: row[name] for name in _SESSION_FIELDS}), account_of(row)

    async def by_key(self, key_id: str) -> tuple[ApiKey, Account] | None:
        """The key of an id, with its account; whether its secret is right is the caller's to see."""
        async with self._knocking(f"key:{key_id}") as connection:
            row = await connection.fetchrow(f"{_KEY} WHERE key_id = $1", key_id)
            if row is None:
                return None
            account = await _become(connection, row["account_id"])
            key = ApiKey(row["key_id"], row["account_id"], row["digest"], frozenset(row["scopes"]), row["expires_at"], row["revoked_at"])
            return None if account is None else (key, account)

    async def by_identity(self, issuer: str, subject: str) -> Account | None:
        """The account that belongs to somebody at an OpenID provider."""
        async with self._knocking(f"identity:{issuer} {subject}") as connection:
            found = await connection.fetchval("SELECT account_id FROM gateway.identities WHERE issuer = $1 AND subject = $2", issuer, subject)
            return None if found is None else await _become(connection, found)

    async def by_login(self, login: str) -> Account | None:
        """The account of a login, for the comparison of its password."""
        async with self._knocking(f"login:{login}") as connection:
            row = await connection.fetchrow(f"{_ACCOUNT} WHERE login = $1", login)
            return None if row is None else account_of(row)

    # --- sessions

    async def open_session(self, session: Session, replaced: bytes | None, password_hash: str | None) -> bool:
        """Keep a new session, and end the one that the browser had; false where the account is shut by now.

        So it is where its password is no more the one of this hash, or, of a session by the provider, where it has no link.
        """
        async with self._database.pool.acquire() as connection:
            # As nobody: only those that are over. By itself, as whoever ends all sessions of an account holds the account, and waits for these.
            await connection.execute("DELETE FROM gateway.sessions")
            async with connection.transaction():
                await connection.execute(_BECOME, json.dumps({"account": session.account_id, "roles": []}))
                if await connection.fetchval(_STILL_OPEN, session.account_id, session.via, password_hash) is None:
                    return False
                if replaced is not None:
                    await connection.execute(_KNOCK, f"session:{replaced.hex()}")
                    await connection.execute("DELETE FROM gateway.sessions WHERE digest = $1", replaced)
                await connection.execute(
                    "INSERT INTO gateway.sessions (digest, account_id, via, created_at, seen_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)",
                    session.digest,
                    session.account_id,
                    session.via,
                    session.created_at,
                    session.seen_at,
                    session.ends_at,
                )
                return True

    async def touch(self, session: Session, now: datetime) -> None:
        """Somebody was there."""
        async with self._acting(session.account_id) as connection:
            await connection.execute("UPDATE gateway.sessions SET seen_at = $2 WHERE digest = $1 AND seen_at < $2", session.digest, now)

    async def sessions(self, account_id: str) -> list[Session]:
        """All of one's own sessions, the latest first."""
        async with self._acting(account_id) as connection:
            rows = await connection.fetch(f"{_SESSION} WHERE account_id = $1 ORDER BY seen_at DESC", account_id)
            return [Session(**dict(row)) for row in rows]

    async def close_sessions(self, account_id: str, *, only: bytes | None = None, keep: bytes | None = None) -> int:
        """End one session, or all but one; how many ended."""
        async with self._acting(account_id) as connection:
            done = await connection.execute(
                "DELETE FROM gateway.sessions WHERE account_id = $1 AND ($2::bytea IS NULL OR digest = $2) AND ($3::bytea IS NULL OR digest <> $3)",
                account_id,
                only,
                keep,
            )
            return int(done.rpartition(" ")[2])

    # --- passwords and codes

    async def take_step(self, account_id: str, step: int) -> bool:
        """Use up a step of the one-time codes: false where it, or a later one, was used before."""
        async with self._acting(account_id) as connection:
            done = await connection.execute("UPDATE gateway.accounts SET totp_step = $2 WHERE account_id = $1 AND totp_step < $2", account_id, step)
            return bool(done == "UPDATE 1")

    async def set_password(self, account_id: str, hashed: str, *, before: str, ends_sessions: bool = False) -> bool:
        """Replace the hash `before`, with `ends_sessions` all sessions ending with it: false where it was replaced meanwhile."""
        async with self._acting(account_id) as connection:
            done = await connection.execute(
                "UPDATE gateway.accounts SET password_hash = $2, must_change = false, password_expires_at = NULL WHERE account_id = $1 AND password_hash = $3",
                account_id,
                hashed,
                before,
            )
            if ends_sessions and done == "UPDATE 1":
                await connection.execute("DELETE FROM gateway.sessions WHERE account_id = $1", account_id)
            return bool(done == "UPDATE 1")

    # --- sign-ins begun at the provider

    async def begin(self, digest: bytes, pending: Pending, ends_at: datetime) -> None:
        """Remember an authorization request, and forget those that nobody finished."""
        async with self._database.pool.acquire() as connection, connection.transaction():
            await connection.execute("DELETE FROM gateway.pending_sign_ins")  # without a knock: only those that are over
            await connection.execute(_KNOCK, f"state:{digest.hex()}")
            await connection.execute(
                "INSERT INTO gateway.pending_sign_ins (digest, browser, nonce, verifier, next, ends_at) VALUES ($1, $2, $3, $4, $5, $6)",
                digest,
                pending.browser,
                pending.nonce,
                pending.verifier,
                pending.next,
                ends_at,
            )

    async def finish(self, digest: bytes, now: datetime) -> Pending | None:
        """Take an authorization request away: the second who asks finds nothing."""
        async with self._knocking(f"state:{digest.hex()}") as connection:
            row = await connection.fetchrow(
                "DELETE FROM gateway.pending_sign_ins WHERE digest = $1 RETURNING nonce, verifier, next, browser, ends_at",
                digest,
            )
            if row is None or row["ends_at"] <= now:
                return None
            return Pending(row["nonce"], row["verifier"], row["next"], row["browser"])

    # --- what an admin does

    async def accounts(self, admin: Principal) -> list[Account]:
        """The accounts that an admin manages."""
        async with self._database.acting_for(admin) as connection:
            rows = await connection.fetch(f"{_ACCOUNT} WHERE (SELECT gateway.has('admin')) ORDER BY login")
            return [account_of(row) for row in rows]

    async def found_accounts(self, admin: Principal, login: str, most: int) -> tuple[list[Account], int]:
        """The first of those whose login begins so, by login; and how many there are of them."""
        async with self._database.acting_for(admin) as connection:
            rows = await connection.fetch(_FOUND, login, most)
            return [account_of(row) for row in rows], rows[0]["together"] if rows else 0

    async def account(self, admin: Principal, account_id: str) -> Account | None:
        """One of them."""
        async with self._database.acting_for(admin) as connection:
            row = await connection.fetchrow(f"{_ACCOUNT} WHERE account_id = $1 AND gateway.manages(scope)", account_id)
            return None if row is None else account_of(row)

    async def set_disabled(self, admin: Principal, account_id: str, at: datetime | None) -> bool:
        """Disable an account and end its sessions, or let it in again: false where it is not theirs, or was disabled by the operator.

        Who disabled it first is kept, so that nobody makes the operator's word their own by saying it again.
        """
        async with self._database.acting_for(admin) as connection:
            done = await connection.execute(_ENABLE if at is None else _DISABLE, account_id, *(() if at is None else (at, admin.account)))
            if at is not None:
                await connection.execute("DELETE FROM gateway.sessions WHERE account_id = $1", account_id)
            return bool(done == "UPDATE 1")

    async def key_was_used(self, account_id: str, key_id: str, at: datetime) -> None:
        """Note when a key was last good for something."""
        async with self._acting(account_id) as connection:
            await connection.execute("UPDATE gateway.api_keys SET last_used_at = $2 WHERE key_id = $1", key_id, at)

    @asynccontextmanager
    async def _acting(self, account_id: str) -> AsyncIterator[Connection]:
        async with self._database.pool.acquire() as connection, connection.transaction():
            await connection.execute(_BECOME, json.dumps({"account": account_id, "roles": []}))
            yield connection
