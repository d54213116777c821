"""All SQL of schema `links`: minting, looking and redeeming. A code itself is never stored, only its digest beside the signed claims.

Whoever redeems hands over its connection, so that what follows from a tap is written in the same transaction. Two taps at once wait for each other at the
row: one is `Redeemed`, the other `Used`.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.links.claims import FINAL, LASTING, Action, Claims, signed, verified
from services.links.keys import LinkKeys, digest, normal

_MINT: Final = """
INSERT INTO links.links AS known (jti, digest, key_id, token, area, wish_id, offer_id, match_id, party, purpose, expires_at_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (jti) DO UPDATE SET jti = excluded.jti
RETURNING key_id
"""
# The key that it was minted with is gone, and its code with it.
_MINT_ANEW: Final = "UPDATE links.links SET digest = $2, key_id = $3, token = $4, expires_at_us = $5 WHERE jti = $1 AND key_id <> $3"
_COLUMNS: Final = "jti, digest, key_id, token, used_at_us, used_for, superseded_at_us"
_LOOK: Final = f"SELECT {_COLUMNS} FROM links.links WHERE digest = $1"  # noqa: S608 - of our own constants
_HOLD: Final = f"{_LOOK} FOR UPDATE"
_USE: Final = "UPDATE links.links SET used_at_us = $2, used_for = $3 WHERE jti = $1"
_SUPERSEDE: Final = """
UPDATE links.links SET superseded_at_us = $2 WHERE match_id = ANY($1::text[]) AND used_at_us IS NULL AND superseded_at_us IS NULL AND purpose <> ALL($3::text[])
"""
_SUPERSEDE_SIDE: Final = """
UPDATE links.links SET superseded_at_us = $5
WHERE wish_id = $1 AND offer_id = $2 AND party = $3 AND jti <> $4 AND used_at_us IS NULL AND superseded_at_us IS NULL
"""
_FORGET: Final = "DELETE FROM links.links WHERE expires_at_us < $1"


@dataclass(frozen=True, slots=True)
class Redeemed:
    """This tap counts; for `follow`, each does."""

    claims: Claims
    action: Action


@dataclass(frozen=True, slots=True)
class Used:
    """A tap before has counted. `same`: it said the same, so the person got what they want."""

    claims: Claims
    action: Action
    at: int
    same: bool


@dataclass(frozen=True, slots=True)
class Expired:
    """It came too late."""

    claims: Claims


@dataclass(frozen=True, slots=True)
class Superseded:
    """What it was for is over, or said by another link: the match was released, or its side has called off."""

    claims: Claims


@dataclass(frozen=True, slots=True)
class Forged:
    """No link of ours, not whole, or one that may not say this."""


@dataclass(frozen=True, slots=True)
class Ready:
    """It may be used now."""

    claims: Claims


Outcome = Redeemed | Used | Expired | Superseded | Forged
Seen = Ready | Used | Expired | Superseded | Forged


async def mint(connection: Any, keys: LinkKeys, claims: Claims) -> str:
    """The code of a link, made once: a second time gives the same, also after another key has come first. `connection`: asyncpg's, or a pool.

    Codes belong into a message to one person and nowhere else: not into a log, a topic or a row.
    """
    key = keys.newest
    code = key.code(claims.jti)
    key_id = await connection.fetchval(
        _MINT, claims.jti, digest(code), key.id, signed(claims, key), claims.area, claims.wish_id, claims.offer_id, claims.match_id, claims.party,
        claims.purpose, claims.expires_at,
    )  # fmt: skip
    former = keys.get(key_id)
    if former is None:
        await connection.execute(_MINT_ANEW, claims.jti, digest(code), key.id, signed(claims, key), claims.expires_at)
        return code
    return former.code(claims.jti)


def _opened(row: Any, keys: LinkKeys) -> Claims | None:
    """The claims of a row, if it is whole: the token is ours, and row, token and code belong together."""
    claims = verified(row["token"], row["key_id"], keys)
    key = keys.get(row["key_id"])
    if claims is None or key is None or claims.jti != row["jti"] or not hmac.compare_digest(digest(key.code(claims.jti)), row["digest"]):
        return None
    return claims


def _state(row: Any, claims: Claims, action: Action | None, now: int) -> Used | Expired | Superseded | None:
    if row["used_at_us"] is not None:
        return Used(claims, row["used_for"], row["used_at_us"], same=row["used_for"] == action)
    if row["superseded_at_us"] is not None:
        return Superseded(claims)
    return Expired(claims) if claims.expires_at <= now else None


async def look(connection: Any, keys: LinkKeys, code: str, now: int) -> Seen:
    """What a link is for and how it stands; changes nothing. `now` is in microseconds."""
    whole = normal(code)
    row = None if whole is None else await connection.fetchrow(_LOOK, digest(whole))
    claims = None if row is None else _opened(row, keys)
    if claims is None:
        return Forged()
    return _state(row, claims, None, now) or Ready(claims)


async def redeem(connection: Any, keys: LinkKeys, code: str, action: Action, now: int) -> Outcome:
    """Use a link for one action; in a transaction of its own, or as a part of the caller's. `now` is in microseconds.

    A call for a page to be shown (GET) must not come here: programs that preview a link fetch it, too.
    """
    whole = normal(code)
    if whole is None:
        return Forged()
    async with connection.transaction():
        row = await connection.fetchrow(_HOLD, digest(whole))
        claims = None if row is None else _opened(row, keys)
        if claims is None or action not in claims.actions:
            return Forged()
        over = _state(row, claims, action, now)
        if over is not None:
            return over
        if action not in LASTING:
            await connection.execute(_USE, claims.jti, now, action)
        if action in FINAL:
            await connection.execute(_SUPERSEDE_SIDE, claims.wish_id, claims.offer_id, claims.party, claims.jti, now)
        return Redeemed(claims, action)


async def supersede(connection: Any, match_ids: Sequence[str], now: int, *, but: Sequence[str] = ()) -> None:
    """These matches are over: their links say so from now on, but for those of the purposes in `but`."""
    if match_ids:
        await connection.execute(_SUPERSEDE, list(match_ids), now, list(but))


async def forget(connection: Any, before: int) -> None:
    """Delete links that expired before then: they answer as if they had never been."""
    await connection.execute(_FORGET, before)
