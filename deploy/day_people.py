"""The people of the sample day, as the vault has them: invented, and plainly so. Nobody has such a number, such an address or such a door."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from deploy.day_plan import Plan
from deploy.hightech import COMPOUNDS
from deploy.stack import Stack
from deploy.vault_keys import key_file, settings
from deploy.words import Trouble
from services.vault.consents import Consent, Purpose
from services.vault.contact import parse_contact
from services.vault.faults import VaultFault
from services.vault.policy import Reader
from services.vault.vault import Vault

_WHO: Final = Reader("operator", "sample-day")
_WHY: Final = "the sample day"
_PURPOSES: Final[tuple[Purpose, ...]] = ("keep", "notify", "visit", "support")
_CONSENT_DAYS: Final = 365
_HANDS: Final = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """One invented person. `minor`: a guardian's consents are noted first."""

    ref: str
    area: str
    minor: bool
    contact: dict[str, Any]


def people_of(plan: Plan) -> list[Sample]:
    """Everybody whom the plan names: residents, minors among them, and volunteers."""
    found: dict[str, Sample] = {}
    for number, sending in enumerate(plan.sendings, 1):
        data = sending.data
        if sending.type == "lastmetre.wish.submitted.v1":
            need = plan.wishes.get(data["wish_id"])
            minor = need is not None and (need.band.startswith("under_") or need.category == "left_behind_children")
            found.setdefault(data["resident_ref"], Sample(data["resident_ref"], data["area"], minor, _contact("居民", number, data["place"])))
        elif sending.type == "lastmetre.offer.posted.v1":
            found.setdefault(data["volunteer_ref"], Sample(data["volunteer_ref"], data["area"], minor=False, contact=_contact("志愿者", number, data["home"])))
    return list(found.values())


def _contact(role: str, number: int, place: dict[str, str]) -> dict[str, Any]:
    compound = next((one.name for one in COMPOUNDS if one.compound == place.get("compound")), "示例小区")
    contact: dict[str, Any] = {
        "name": f"示例{role}{number:03}",
        "phone": f"000-0000-{number:04}",
        "email": f"sample-{number:03}@example.invalid",
        "compound": compound,
        "door": f"示例门牌{number:03}室",
        "language": "en" if number % 10 == 0 else "zh-CN",
    }
    if "building" in place:
        contact["building"] = f"{place['building'].removeprefix('b')}栋"
    return contact


async def put_in(stack: Stack, plan: Plan) -> tuple[int, int]:
    """Put the plan's people into the vault of a stack, guardians' consents first; (people, minors among them).

    Raises:
        Trouble: the vault cannot be used.
    """
    found = settings()
    people = people_of(plan)
    try:
        vault = await Vault.connect(stack.vault_dsn, key_file(stack.state, found), found.ladder)
        try:
            await put_all(vault, people)
        finally:
            await vault.close()
    except* (VaultFault, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as faults:
        name = type(faults.exceptions[0]).__name__
        raise Trouble(f"演示人员未能存入保险箱（{name}）。", f"The sample people could not be put into the vault ({name}).", log=stack.state.logs) from faults
    return len(people), sum(one.minor for one in people)


async def put_all(vault: Vault, people: Iterable[Sample]) -> None:
    """Put invented people into a vault, a few at a time; guardians' consents first.

    Raises:
        ExceptionGroup: of what the vault or its database refused.
    """
    hands = asyncio.Semaphore(_HANDS)
    async with asyncio.TaskGroup() as group:
        for one in people:
            group.create_task(_put(vault, one, hands))


async def _put(vault: Vault, one: Sample, hands: asyncio.Semaphore) -> None:
    async with hands:
        if one.minor:
            now = datetime.now(UTC)
            for purpose in _PURPOSES:
                proof = hashlib.sha256(f"{one.ref} {purpose}".encode()).digest()
                consent = Consent(one.ref, f"guardian-of-{one.ref}", purpose, now, now + timedelta(days=_CONSENT_DAYS), proof, now)
                await vault.give_consent(consent, _WHO, _WHY)
        await vault.put(one.ref, one.area, parse_contact(one.contact), _WHO, _WHY, minor=one.minor)
