"""Passwords: argon2id, rules that people can live with, and words that do not tell which half was wrong.

The cost is the least that OWASP names for argon2id in memory, and half as much again: some 0.1 to 0.3 s on the machine of a
community office. At most two are computed at a time, off the loop, so that a flood of sign-ins waits in line and the pages do not.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 128
MEMORY_KIB: Final = 28 * 1024
ROUNDS: Final = 2
_AT_ONCE: Final = 2
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what is mistaken for something else when it is read aloud."""
# Words of this system and place, which a guesser tries first (docs/security.md); compared without case, blanks and marks.
CONTEXT_WORDS: Final = (
    *("lastmetre", "lastmeter", "zuihouyimi", "volunteer", "zhiyuanzhe", "dangyuan", "xinyuan", "ankang", "gaoxin", "hightech"),
    *("shequ", "community", "worker", "admin", "auditor", "resident", "integrator", "welcome", "password", "passwort", "mima"),
    *("qwerty", "asdfgh", "zxcvbn", "iloveyou", "woaini", "letmein", "最后一米", "志愿者", "党员", "安康", "高新", "社区", "密码"),
)
GUESSES_MIN: Final = 10**10
"""As many tries as somebody with a stolen hash should need at least (zxcvbn's best mark begins there)."""
_LOOKED_AT_MAX: Final = 72
"""Of a longer password its beginning is judged: what the library does with a text grows with its square."""

T = TypeVar("T")


class BadPassword(Exception):
    """A new password is not taken; `chinese` and `english` say why and what would be."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(f"{chinese} | {english}")
        self.chinese, self.english = chinese, english


def normal(password: str) -> str:
    """One form for what looks the same on every keyboard (NFC); nothing is cut off or trimmed."""
    return unicodedata.normalize("NFC", password)


def _guesses(password: str, login: str) -> float:
    """How many tries it takes whoever knows 30,000 leaked passwords, words, names, rows of keys, dates, and how people put them together."""
    plain = _plain(password)
    # What everybody here knows adds nothing, however it is joined.
    for word in sorted({_plain(login), *CONTEXT_WORDS}, key=len, reverse=True):
        plain = plain.replace(word, "")
    return float(zxcvbn(plain[:_LOOKED_AT_MAX])["guesses"]) if plain else 0.0


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def check_new(password: str, login: str) -> str:
    """The password in its normal form.

    Raises:
        BadPassword: too short, too long, or one that is soon guessed.
    """
    password = normal(password)
    if len(password) < LENGTH_MIN:
        raise BadPassword(f"密码至少 {LENGTH_MIN} 个字符，可以是一句话", f"a password has at least {LENGTH_MIN} characters; a sentence is welcome")
    if len(password) > LENGTH_MAX:
        raise BadPassword(f"密码至多 {LENGTH_MAX} 个字符", f"a password has at most {LENGTH_MAX} characters")
    if _guesses(password, login) < GUESSES_MIN:
        raise BadPassword("这个密码太容易猜到，请换一句没有规律的话", "this password is easily guessed: take words that do not belong together")
    return password


def random_password() -> str:
    """28 random characters in groups of four: some 138 bits, and it can be read aloud."""
    characters = [secrets.choice(_ALPHABET) for _ in range(28)]
    return "-".join("".join(characters[at : at + 4]) for at in range(0, 28, 4))


class Passwords:
    """Hashes and compares, a few at a time."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, rounds: int = ROUNDS) -> None:
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # Compared with where there is no account: a login that nobody has takes as long as one that somebody has.
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The password's hash, with its salt and cost in it."""
        return await self._in_turn(lambda: self._hasher.hash(normal(password)))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether it is this password; takes as long where there is none."""

        def compare() -> bool:
            try:
                self._hasher.verify(hashed or self._nobody, normal(password))
            except (VerificationError, InvalidHashError):
                return False
            return hashed is not None

        return len(password) <= LENGTH_MAX and await self._in_turn(compare)

    def is_outdated(self, hashed: str) -> bool:
        """Whether it was made at another cost than today's."""
        return self._hasher.check_needs_rehash(hashed)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        async with self._turns:
            return await asyncio.to_thread(work)
