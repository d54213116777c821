"""Accounts for trying it out: made with the sample day, told before and after it, gone when `up` ends. A gateway with a public address does not let them in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from rich.console import Console

from deploy.account import Made, NewAccount, make
from deploy.day_plan import Plan, member_of
from deploy.gateway_keys import gateway_keys
from deploy.hightech import AREA
from deploy.stack import Stack
from deploy.words import both
from services.gateway.identity.model import new_api_key
from services.gateway.policy import Act

KEY_ACTS: Final = (Act.PUBLISH_EVENTS, Act.READ_EVENTS, Act.MANAGE_WEBHOOKS, Act.MANAGE_KEYS)
_STEPS: Final = ("community", "compound", "building", "unit")
_DROP: Final = "DELETE FROM gateway.accounts WHERE demo"
_KEY: Final = """
    INSERT INTO gateway.api_keys (key_id, account_id, digest, name, scopes, created_at) VALUES ($1, $2, $3, 'sample day', $4, $5)
"""
_NAMES: Final = {
    "demo-member": ("党员志愿者", "a member"),
    "demo-centre": ("中心户", "a centre household"),
    "demo-resident": ("居民", "a resident"),
    "demo-worker": ("社区工作者", "a community worker"),
    "demo-auditor": ("审计员", "an auditor"),
    "demo-integrator": ("集成系统", "an integrating system"),
}


def wanted(plan: Plan) -> list[NewAccount]:
    """Who there is to be, as people of this day's plan."""
    offers = [sending.data for sending in plan.sendings if sending.type == "lastmetre.offer.posted.v1"]
    wishes = [sending.data for sending in plan.sendings if sending.type == "lastmetre.wish.submitted.v1" and "resident_ref" in sending.data]
    centre = next(offer for offer in offers if "中心户" in offer.get("organisation", ""))
    member = member_of(offers)
    unit = (AREA, *(centre["home"][step] for step in _STEPS))
    return [
        NewAccount("demo-member", ("volunteer",), (AREA,), volunteer_ref=member["volunteer_ref"], demo=True),
        NewAccount("demo-centre", ("volunteer",), (AREA,), centre=unit, volunteer_ref=centre["volunteer_ref"], demo=True),
        NewAccount("demo-resident", ("resident",), (AREA,), resident_refs=(wishes[0]["resident_ref"],), demo=True),
        NewAccount("demo-worker", ("worker",), (AREA,), demo=True),
        NewAccount("demo-auditor", ("auditor",), (AREA,), demo=True),
        NewAccount("demo-integrator", ("integrator",), (AREA,), demo=True),
    ]


async def make_accounts(connection: asyncpg.Connection, keys: Any, plan: Plan) -> tuple[list[Made], str]:
    """Make them anew, with new passwords, and a key for the integrating system."""
    now = datetime.now(UTC)
    await connection.execute(_DROP)
    made = [await make(connection, keys, one, now) for one in wanted(plan)]
    key = new_api_key()
    await connection.execute(_KEY, key.key_id, made[-1].account_id, key.digest, [str(act) for act in KEY_ACTS], now)
    return made, key.key


def has_gateway(stack: Stack) -> bool:
    """Whether a gateway runs in it."""
    return any(service.name == "gateway" for service in stack.services)


async def show_accounts(stack: Stack, connection: asyncpg.Connection, plan: Plan, console: Console) -> list[str]:
    """Make the accounts of this day and tell them; the lines, as the day's own will have pushed them off the screen by its end. They are kept nowhere."""
    made, key = await make_accounts(connection, gateway_keys(stack.state), plan)
    address = stack.web_address
    title = both(f"打开 {address} · 演示账号只显示在这里", f"open {address} · these accounts are shown here alone")
    lines = [title]
    for one in made[:-1]:
        code = "" if one.totp is None else f"  {both('验证码密钥', 'code from')} {one.totp}"
        lines.append(f"  {both(*_NAMES[one.login])}\n    {one.login}  {one.password}{code}")
    lines.append(f"  {both(*_NAMES[made[-1].login])}\n    {key}")
    tell(lines, console)
    return lines


def tell(lines: Iterable[str], console: Console) -> None:
    """Whole lines, however narrow the screen: half a password opens nothing."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


async def drop_accounts(stack: Stack) -> None:
    """Take them away again, if PostgreSQL still answers; the next `up` does it otherwise."""
    try:
        connection = await asyncpg.connect(stack.postgres.owner_dsn(stack.database), timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, RuntimeError):
        return
    try:
        await connection.execute(_DROP)
    except asyncpg.PostgresError:
        return
    finally:
        await connection.close()
