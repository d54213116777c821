"""Who is it? Every request's answer to that, and the ways to sign in and out.

What is found is kept for two seconds, so that a busy key costs no query a request; what ends here ends at once, elsewhere within these two seconds.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from services.gateway.database import Database
from services.gateway.identity import second_factor
from services.gateway.identity.audit import Anchor, Audit
from services.gateway.identity.keys import DoesNotOpen, Keys
from services.gateway.identity.model import NOBODY, Account, Caller, Lifetime, Session, digest_of, new_secret
from services.gateway.identity.oidc import OpenID, ProviderSettings
from services.gateway.identity.passwords import Passwords, check_new
from services.gateway.identity.store import Store
from services.gateway.identity.throttle import Buckets, Rate
from services.gateway.identity.tokens import BadToken, ProviderAway
from services.gateway.policy import Act
from services.gateway.roles import Principal, Role, Scope
from services.gateway.settings import Settings

KEY_PREFIX: Final = "lmk_"
# Any id and any secret that one of ours could have: keys of other lengths were made by hand, as tests do.
_KEY: Final = re.compile(r"lmk_[0-9A-Za-z]+_[0-9A-Za-z_-]+")
SCOPE_PREFIX: Final = "lastmetre:"
_KNOWN_SECONDS: Final = 2.0
_KNOWN_MAX: Final = 20_000
_TOUCH: Final = timedelta(minutes=1)
_KEY_SCOPES: Final = frozenset(Act)
# Who does not know the password: so many tries at once, then one in so many seconds. A browser that signed in here before has tries of its own,
# so nobody is locked out by a stranger who knows their login.
TRIES: Final = Rate(burst=8, per_second=1 / 30)
TRIES_OF_ADDRESS: Final = Rate(burst=30, per_second=1 / 10)


def utc_now() -> datetime:
    """Now."""
    return datetime.now(UTC)


class Refused(Exception):
    """Nobody is signed in by this. `reason` is a code for page and log; `wait_seconds` where it is only too early."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. `secret` goes into the cookie and nowhere else, `device` marks the browser as known."""

    secret: str
    device: str
    account: Account
    lasts: timedelta
    next: str = "/"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a secret stands for, as it was a moment ago."""

    caller: Caller
    session: Session | None = None
    account: Account | None = None


def _unproven(why: str) -> _Found:
    return _Found(replace(NOBODY, refused=True, why=why))


class Identity:
    """Everything about who somebody is, over one store."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keys: Keys,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.store = Store(database)
        self.passwords = Passwords(memory_kib=settings.password_memory_kib)
        anchor = settings.identity_keys.with_name("audit-anchor.json")
        self.audit = Audit(database, keys, Anchor(anchor, keys))
        self.clock = clock
        self.openid = self._provider()
        self._known: OrderedDict[bytes, tuple[float, _Found]] = OrderedDict()
        self._by_login = Buckets(TRIES)
        self._by_device = Buckets(TRIES)
        self._by_address = Buckets(TRIES_OF_ADDRESS)
        self._used: dict[str, float] = {}

    def _provider(self) -> OpenID | None:
        settings = self.settings
        if settings.oidc_issuer is None:
            return None
        secret = settings.oidc_client_secret
        return OpenID.connect(
            ProviderSettings(
                settings.oidc_issuer,
                settings.oidc_client_id,
                None if secret is None else secret.get_secret_value(),
                f"{settings.address}/sign-in/oidc/callback",
                settings.oidc_audience,
            ),
            self.store,
            self.keys,
            settings.provider_tls(),
        )

    async def close(self) -> None:
        """Close what it holds open."""
        if self.openid is not None:
            await self.openid.close()

    # --- who is it?

    async def caller(self, cookie: str | None, authorization: str | None, *, asks: bool = True) -> Caller:
        """Who presents a session's cookie or an `Authorization` header; the header goes before. `asks`: they do so now, which is noted."""
        if authorization is not None:
            scheme, _, value = authorization.partition(" ")
            value = value.strip()
            if scheme.lower() != "bearer" or not value:
                return _unproven("no_bearer").caller
            if value.startswith(KEY_PREFIX):
                return (await self._remembered(value, self._by_api_key)).caller
            return (await self._remembered(value, self._by_token)).caller
        if cookie is None:
            return NOBODY
        found = await self._remembered(cookie, self._by_session)
        if found.session is not None and found.account is not None:
            now = self.clock()
            if found.session.is_over(now, self._lifetime(found.account, found.session.via)):
                self.forget(cookie)
                return replace(NOBODY, refused=True)
            if asks and now - found.session.seen_at > _TOUCH:
                await self.store.touch(found.session, now)
                self.forget(cookie)
        return found.caller

    async def is_still(self, caller: Caller, authorization: str | None) -> bool:
        """Whether what let somebody in before lets in the same one now: for answers that go on for hours, though nobody asks for anything."""
        return (await self.caller_now(caller, authorization)).principal == caller.principal

    async def caller_now(self, caller: Caller, authorization: str | None) -> Caller:
        """Who is let in now by what let somebody in before."""
        if authorization is None and caller.session is None:
            return caller  # a demonstration
        return await self.caller(caller.secret, authorization, asks=False)

    def forget(self, secret: str) -> None:
        """Look it up anew next time."""
        self._known.pop(digest_of(secret), None)

    def forget_account(self, account_id: str) -> None:
        """Look everything of an account up anew."""
        for digest, (_, found) in list(self._known.items()):
            if found.caller.principal is not None and found.caller.principal.account == account_id:
                del self._known[digest]

    async def _remembered(self, secret: str, look_up: Callable[[str], object]) -> _Found:
        digest, now = digest_of(secret), time.monotonic()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        found: _Found = await look_up(secret)  # type: ignore[misc]
        self._known[digest] = (now + _KNOWN_SECONDS, found)
        self._known.move_to_end(digest)
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return found

    def _is_shut(self, account: Account) -> bool:
        """Whether nobody comes in by it, whatever they show. Accounts for trying it out are for this machine; where others come in they are nobody."""
        return account.disabled_at is not None or (account.demo and not self.settings.is_of_this_machine)

    async def _by_session(self, secret: str) -> _Found:
        digest = digest_of(secret)
        row = await self.store.by_session(digest)
        if row is None or self._is_shut(row[1]):
            return _Found(replace(NOBODY, refused=True))
        session, account = row
        # Whom the provider vouched for came by no first password.
        caller = Caller(account.principal("session"), digest, secret, must_change=account.must_change and session.via != "oidc")
        return _Found(caller, session, account)

    async def _by_api_key(self, value: str) -> _Found:
        if _KEY.fullmatch(value) is None:
            return _unproven("malformed_key")
        # Whether there is a key of this id, and whose, is told to nobody who does not have the whole of it.
        refused = _unproven("unknown_key")
        key_id = value.removeprefix(KEY_PREFIX).partition("_")[0]
        row = await self.store.by_key(key_id)
        # The whole key is what the digest is of, so that a secret belongs to one id.
        if row is None or not hmac.compare_digest(row[0].digest, digest_of(value)):
            return refused
        key, account = row
        now = self.clock()
        if not key.is_good(now):
            return _unproven("key_ended")
        if account.disabled_at is not None or account.must_change:
            return _unproven("account_rests")  # told to whoever has the whole key alone
        if self._is_shut(account):
            return refused
        if time.monotonic() - self._used.get(key_id, float("-inf")) > _TOUCH.total_seconds():
            self._used[key_id] = time.monotonic()
            await self.store.key_was_used(account.account_id, key_id, now)
        return _Found(Caller(account.principal("key", key.scopes & _KEY_SCOPES)))

    async def _by_token(self, value: str) -> _Found:
        refused = _unproven("bad_token")
        if self.openid is None or self.openid.settings.audience is None:
            return refused
        try:
            claims = await self.openid.tokens.verify(value, self.openid.settings.audience)
        except (BadToken, ProviderAway) as fault:
            structlog.get_logger().info("token_refused", reason=str(fault))
            return refused
        account = await self.store.by_identity(self.openid.settings.issuer, claims["sub"])
        # A second factor cannot be seen in an access token: who needs one works in a browser.
        if account is None or self._is_shut(account) or account.needs_second_factor:
            return refused
        granted = str(claims.get("scope", "")).split()
        acts = frozenset(one.removeprefix(SCOPE_PREFIX) for one in granted if one.startswith(SCOPE_PREFIX)) & _KEY_SCOPES
        return _Found(Caller(account.principal("token", acts)))

    def demonstrated(self, said: str | None) -> Principal | None:
        """For tests on this machine only: whoever the header says, where the settings allow it."""
        if said is None or not self.settings.demo_principals:
            return None
        found = json.loads(said)
        return Principal(
            account=found["account"],
            roles=frozenset(Role(role) for role in found["roles"]),
            scope=Scope(**found["scope"]),
            volunteer_ref=found.get("volunteer_ref"),
            resident_refs=frozenset(found.get("resident_refs", ())),
            centre=Scope(**found["centre"]) if found.get("centre") else None,
        )

    # --- signing in

    def device_of(self, cookie: str | None, login: str) -> str | None:
        """The known browser's id, where it signed in to this login before."""
        device, _, mac = (cookie or "").partition(".")
        if not device or not mac:
            return None
        for key_id in self.keys.by_id:
            with contextlib.suppress(DoesNotOpen):
                if hmac.compare_digest(self._device_mac(device, login, key_id), mac):
                    return device
        return None

    def _device_mac(self, device: str, login: str, key_id: str) -> str:
        return self.keys.mac("device", f"{device} {login}".encode(), key_id).hex()

    def _device_cookie(self, login: str) -> str:
        device = new_secret()
        return f"{device}.{self._device_mac(device, login, self.keys.current)}"

    async def sign_in(self, login: str, password: str, code: str, *, address: str, device: str | None, replaced: str | None) -> SignedIn:
        """Sign in with a local account. `device`, `replaced`: the cookies that the browser has.

        Raises:
            Refused: `wrong` (login, password or code: not said which), `wait`, and, only to who knows all of them, `no_second_factor`, `expired`.
        """
        login = login.strip().lower()
        known = self.device_of(device, login)
        buckets, key = (self._by_login, login) if known is None else (self._by_device, f"{known} {login}")
        now = time.monotonic()
        # Taken before the comparison, so that many at once are counted, too, and given back where it was right: a hall full of members behind one
        # address may all sign in.
        wait = max(buckets.take(key, now), self._by_address.take(address, now) if known is None else 0.0)
        if wait > 0:
            raise Refused("wait", wait)
        account = await self.store.by_login(login) if 0 < len(login) <= 64 else None
        good = await self.passwords.verify(None if account is None else account.password_hash, password)
        if account is None or self._is_shut(account) or not good:
            raise Refused("wrong")
        assert account.password_hash is not None
        if account.totp is not None:
            try:
                step = second_factor.matching_step(self.keys, account.totp, account.account_id, code, self.clock().timestamp())
            except DoesNotOpen:
                structlog.get_logger().error("second_factor_does_not_open")
                step = None
            if step is None or not await self.store.take_step(account.account_id, step):
                raise Refused("wrong")
        elif account.needs_second_factor:
            raise Refused("no_second_factor")
        if account.password_expires_at is not None and account.password_expires_at <= self.clock():
            raise Refused("expired")
        buckets.fill(key)
        if known is None:
            self._by_address.give_back(address)
        done = await self._open(account, "password", replaced)
        if self.passwords.is_outdated(account.password_hash) and not account.must_change:
            await self.store.set_password(account.account_id, await self.passwords.hash(password), before=account.password_hash)
        return done

    async def sign_in_by_provider(self, answer: Mapping[str, str], *, address: str, browser: str | None, replaced: str | None) -> SignedIn:
        """Sign in with what the provider's answer proves.

        Raises:
            Refused: `unknown` (nobody here belongs to it), `no_second_factor`, `no_provider`, `wait`.
            BadCallback, BadToken, ProviderAway: as `OpenID.finish`.
        """
        if self.openid is None:
            raise Refused("no_provider")
        # Each that fails is written down: made-up answers must not bury the rest, as made-up passwords must not.
        if (wait := self._by_address.take(address, time.monotonic())) > 0:
            raise Refused("wait", wait)
        try:
            proven = await self.openid.finish(answer, browser, self.clock())
        except ProviderAway:
            self._by_address.give_back(address)
            raise
        account = await self.store.by_identity(proven.issuer, proven.subject)
        if account is None or self._is_shut(account):
            raise Refused("unknown")
        if account.needs_second_factor and not proven.strong:
            raise Refused("no_second_factor")
        self._by_address.give_back(address)
        return replace(await self._open(account, "oidc", replaced), next=proven.next)

    def _lifetime(self, account: Account, via: str) -> Lifetime:
        """Whom the provider vouched for it vouches for again after `oidc_session_hours`: somebody whom it knows no more has no session here for longer."""
        if via != "oidc":
            return account.lifetime
        return replace(account.lifetime, absolute=min(account.lifetime.absolute, timedelta(hours=self.settings.oidc_session_hours)))

    async def _open(self, account: Account, via: str, replaced: str | None) -> SignedIn:
        """A session of an account as it was looked at.

        Raises:
            Refused: it was shut meanwhile, or what it was proven by is good no more (`wrong`): who has that ended must not find it open afterwards.
        """
        secret, now = new_secret(), self.clock()
        lifetime = self._lifetime(account, via).absolute
        session = Session(digest_of(secret), account.account_id, via, now, now, now + lifetime)
        if not await self.store.open_session(session, None if replaced is None else digest_of(replaced), account.password_hash):
            raise Refused("wrong" if via == "password" else "unknown")
        if replaced is not None:
            self.forget(replaced)
        return SignedIn(secret, self._device_cookie(account.login), account, lifetime)

    async def change_password(self, caller: Caller, old: str, new: str) -> SignedIn:
        """Replace one's own password; all other sessions end, and this one gets a new id.

        Raises:
            Refused: `wrong`, `wait`, `no_password` (whoever signs in at the provider has none here).
            BadPassword: the new one is not taken.
        """
        assert caller.principal is not None
        assert caller.session is not None
        row = await self.store.by_session(caller.session)
        if row is None:
            raise Refused("wrong")
        account = row[1]
        if (wait := self._by_device.take(f"change {account.account_id}", time.monotonic())) > 0:
            raise Refused("wait", wait)
        if account.password_hash is None:
            raise Refused("no_password")
        if not await self.passwords.verify(account.password_hash, old):
            raise Refused("wrong")
        hashed = await self.passwords.hash(check_new(new, account.login))
        if not await self.store.set_password(account.account_id, hashed, before=account.password_hash, ends_sessions=True):
            raise Refused("wrong")
        self.forget_account(account.account_id)
        return await self._open(replace(account, password_hash=hashed), "password", None)

    async def sign_out(self, caller: Caller, *, everywhere: bool) -> int:
        """End this session, or all; how many ended."""
        assert caller.principal is not None
        account = caller.principal.account
        ended = await self.store.close_sessions(account, only=None if everywhere else caller.session)
        self.forget_account(account)
        return ended
