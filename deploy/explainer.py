"""The explanation door: "why this one, why not that one" over HTTP on the loopback, for the gateway's pages. `python -m deploy.explainer` runs it.

It says what `explain` and `why-not` say at the terminal, from the same code. It reads the matcher's schema with a role of its own that can change
nothing, in a process of its own, so that no question holds up a match; and it answers only to who knows the shared secret. See docs/decisions/0027.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
from functools import partial
from typing import Annotated, Any, Final, cast

import asyncpg
import orjson
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import Field, SecretStr

from deploy.tools.explain import conclusions
from deploy.tools.judging import answer_words, verdict_words
from deploy.tools.story import Story, waiting_of
from deploy.tools.whynot import answer_of
from deploy.tools.wording import REFUSALS, Words, word
from schemas.wishes import WishSubmitted
from services.matcher.core.reasons import ITS_MATCH, vetting_demands
from services.matcher.core.state import OPEN, Area
from services.matcher.policies import Policies
from services.matcher.policy_settings import PolicySettings
from services.runtime import LOOPBACK, Ops, Readiness, Stop, cannot_listen, reach, start

# Each question reads an area: a few at once, and no longer than somebody waits for a page.
_AT_ONCE: Final = 2
_QUESTION_SECONDS: Final = 20.0
_ID_MAX: Final = 128
_WISH: Final = "SELECT status, need, submitted_at, ends_at, data FROM matching.wishes WHERE area = $1 AND wish_id = $2"
_OFFER: Final = "SELECT 1 FROM matching.offers WHERE area = $1 AND offer_id = $2"


class Settings(PolicySettings):
    """`LASTMETRE_EXPLAINER_PORT`, the secret that is shared with the gateway, and the policy file that the matcher has."""

    explainer_port: Annotated[int, Field(ge=0, le=65535)] = Field(description="填 0 至 65535 的端口 | use a port from 0 to 65535")
    explainer_secret: SecretStr = Field(
        min_length=16, description="填与网关共用的密钥，至少 16 个字符 | give the secret shared with the gateway, 16 characters or more"
    )


class Explainer:
    """Answers questions about one wish, one at a time for each connection."""

    def __init__(self, pool: asyncpg.Pool, policies: Policies, secret: str) -> None:
        self._pool = pool
        self._policies = policies
        self._secret = secret.encode()
        self._log: Any = structlog.get_logger().bind()

    def app(self) -> web.Application:
        """The two questions as routes."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/waits", self._asked(self._waits))
        app.router.add_get("/why", self._asked(self._why))
        return app

    def _asked(self, answer: Any) -> Any:
        async def handle(request: web.Request) -> web.Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not hmac.compare_digest(given, self._secret):
                return web.Response(status=401)
            asked = {name: request.query.get(name, "") for name in ("area", "wish_id", "offer_id")}
            if max(map(len, asked.values())) > _ID_MAX or "\x00" in "".join(asked.values()):
                return web.Response(status=404)
            try:
                async with asyncio.timeout(_QUESTION_SECONDS):
                    found = await answer(**asked)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
                self._log.warning("question_failed", fault=type(fault).__name__)
                return web.Response(status=503)
            return web.Response(status=404) if found is None else web.Response(body=orjson.dumps(found), content_type="application/json")

        return handle

    async def _waits(self, area: str, wish_id: str, offer_id: str) -> dict[str, Any] | None:  # noqa: ARG002 - as all questions are called
        """Why a wish waits: which rule excludes how many offers, and who fails one alone; `waiting` is null where it does not wait."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_WISH, area, wish_id)
            if row is None:
                return None
            if row["status"] != OPEN:
                return {"status": row["status"], "waiting": None}
            wish = WishSubmitted.model_validate_json(row["data"])
            waiting = await waiting_of(cast("asyncpg.Connection", connection), Area(area, self._policies.of(area)), wish_id)
        if waiting is None:
            return {"status": row["status"], "waiting": None}
        story = Story(area, wish_id, row["status"], row["need"], row["submitted_at"], row["ends_at"], wish)
        demands = vetting_demands(wish)
        found = {
            "offers": waiting.offers,
            "fit": waiting.fit,
            "excluded": [{"rule": word(REFUSALS, rule), "offers": count} for rule, count in waiting.excluded.items()],
            "nearest": [{"offer_id": offer, "words": verdict_words(verdict, demands)} for offer, verdict in waiting.nearest],
            "conclusions": conclusions(story, waiting),
        }
        return {"status": row["status"], "waiting": found}

    async def _why(self, area: str, wish_id: str, offer_id: str) -> dict[str, Any] | None:
        """Every rule about one wish and one offer, and the conclusion."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_WISH, area, wish_id)
            if row is None or not await connection.fetchval(_OFFER, area, offer_id):
                return None
            answer = await answer_of(cast("asyncpg.Connection", connection), Area(area, self._policies.of(area)), wish_id, offer_id)
        demands = vetting_demands(WishSubmitted.model_validate_json(row["data"]))
        # The rules as of now count the match itself: its helper is busy, and helps already. They say nothing about it.
        judged = [] if answer.code == ITS_MATCH else answer.verdicts
        rules: list[dict[str, Any]] = [{"passed": verdict.passed, "words": verdict_words(verdict, demands)} for verdict in judged]
        said: list[Words] = answer_words(answer)
        return {"code": answer.code, "rules": rules, "conclusions": said}


async def _pool(dsn: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=_AT_ONCE,
        command_timeout=_QUESTION_SECONDS,
        server_settings={"application_name": "lastmetre-explainer", "default_transaction_read_only": "on"},
    )


async def main(settings: Settings, stop: Stop) -> None:
    """Answer until stopped."""
    pool = await reach("PostgreSQL", "LASTMETRE_DATABASE", partial(_pool, settings.database.get_secret_value()), stop)
    try:
        explainer = Explainer(pool, Policies.read(settings.policy), settings.explainer_secret.get_secret_value())
        runner = web.AppRunner(explainer.app(), access_log=None)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, LOOPBACK, settings.explainer_port).start()
            except OSError as fault:
                raise cannot_listen("LASTMETRE_EXPLAINER_PORT", settings.explainer_port, fault) from fault

            async def ready() -> Readiness:
                return Readiness(database=True, commit_age_seconds=0.0)

            # No loop of its own goes round here: that it answers is its sign of life.
            async with Ops(settings.ops_port, {}, ready, CollectorRegistry()):
                structlog.get_logger().info("started", port=settings.explainer_port)
                await stop.wait()
        finally:
            await runner.cleanup()
    finally:
        await pool.close()


if __name__ == "__main__":
    sys.exit(start(Settings, main))
