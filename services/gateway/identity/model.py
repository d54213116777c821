"""Accounts, sessions and keys as values, and what a caller is. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Literal

from services.gateway.roles import Principal, Role, Scope

Via = Literal["session", "key", "token", "link"]
SECRET_BYTES: Final = 32
SECOND_FACTOR_ROLES: Final = frozenset({Role.WORKER, Role.ADMIN, Role.AUDITOR})
"""Who sees or decides for others needs a second factor."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lasts: without a request, and in any case."""

    idle: timedelta
    absolute: timedelta


AT_WORK: Final = Lifetime(idle=timedelta(hours=4), absolute=timedelta(hours=12))
"""Workers, auditors, admins: a shift, at a desk that others pass."""
AT_HOME: Final = Lifetime(idle=timedelta(days=7), absolute=timedelta(days=30))
"""Members and residents on their own phones."""


def scope_of(steps: tuple[str, ...] | list[str]) -> Scope:
    """A scope from its steps, the area first."""
    return Scope(*steps)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the table has it. `totp` is sealed."""

    account_id: str
    login: str
    roles: frozenset[Role]
    scope: Scope
    centre: Scope | None = None
    volunteer_ref: str | None = None
    resident_refs: frozenset[str] = frozenset()
    password_hash: str | None = None
    must_change: bool = False
    password_expires_at: datetime | None = None
    totp: bytes | None = None
    disabled_at: datetime | None = None
    demo: bool = False

    @property
    def needs_second_factor(self) -> bool:
        """Whether signing in takes more than a password."""
        return not SECOND_FACTOR_ROLES.isdisjoint(self.roles)

    @property
    def lifetime(self) -> Lifetime:
        """How long its sessions last."""
        return AT_WORK if self.needs_second_factor else AT_HOME

    def principal(self, via: Via, acts: frozenset[str] | None = None) -> Principal:
        """As the policy sees them; with `acts`, they may do no more than these."""
        return Principal(
            account=self.account_id,
            roles=self.roles,
            scope=self.scope,
            volunteer_ref=self.volunteer_ref,
            resident_refs=self.resident_refs,
            via=via,
            centre=self.centre,
            acts=acts,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser. `digest` is of the id, which is only in the cookie."""

    digest: bytes
    account_id: str
    via: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime

    def is_over(self, now: datetime, lifetime: Lifetime) -> bool:
        """Whether it has lasted long enough, or nobody was there for too long."""
        return now >= self.ends_at or now - self.created_at >= lifetime.absolute or now - self.seen_at >= lifetime.idle


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of an integrator, without its secret."""

    key_id: str
    account_id: str
    digest: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and by what it is known. `secret`: what the browser alone has, from which its form token is made."""

    principal: Principal | None = None
    session: bytes | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    must_change: bool = False
    refused: bool = False
    """A key, token or session was presented that is not good (any more)."""
    why: str | None = None
    """What is wrong with what the header `Authorization` presented, as a code of `errors.UNPROVEN`."""

    def as_nobody(self) -> Caller:
        """The same browser, with nobody signed in."""
        return replace(self, principal=None, session=None, must_change=False)


NOBODY: Final = Caller()


def new_secret() -> str:
    """256 random bits as text for a cookie or a key."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    """What is kept of a random secret. A plain digest suffices: there is nothing to guess in 256 random bits."""
    return sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `key` is shown once and kept nowhere; the table has `digest`, which is of the whole of it."""

    key_id: str
    key: str = field(repr=False)
    digest: bytes


def new_api_key(key_id: str | None = None) -> NewKey:
    """`lmk_<id>_<secret>`: an id, by which it is found and named (16 hex digits, random by default), and 256 random bits."""
    key_id = secrets.token_hex(8) if key_id is None else key_id
    key = f"lmk_{key_id}_{new_secret()}"
    return NewKey(key_id, key, digest_of(key))
