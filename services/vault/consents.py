"""A guardian's consent, pure: whether one holds for a minor, a purpose and an instant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

# keep: to take the data in; notify: to send messages; visit: a helper comes; support: a community worker looks; access: the minor's own copy.
Purpose: TypeAlias = Literal["keep", "notify", "visit", "support", "access"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent. `starts_at` <= t < `ends_at`; `proof` is the SHA-256 of the signed paper or record, which is kept elsewhere."""

    minor_ref: str
    guardian_ref: str
    purpose: Purpose
    starts_at: datetime
    ends_at: datetime
    proof: bytes
    given_at: datetime
    withdrawn_at: datetime | None = None


def holds(consent: Consent, minor_ref: str, purpose: Purpose, at: datetime) -> bool:
    """Whether this consent covers that: given before, in its period, for this very purpose, and not withdrawn by then."""
    return (
        consent.minor_ref == minor_ref
        and consent.purpose == purpose
        and consent.given_at <= at
        and consent.starts_at <= at < consent.ends_at
        and (consent.withdrawn_at is None or at < consent.withdrawn_at)
    )


def any_holds(consents: Iterable[Consent], minor_ref: str, purpose: Purpose, at: datetime) -> bool:
    """Whether any of these consents holds."""
    return any(holds(one, minor_ref, purpose, at) for one in consents)
