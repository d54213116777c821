"""Signing in at an OpenID provider that runs as a process of its own, and every way to get in with a token that is not good."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from deploy import certificates
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.state import free_port
from services.gateway.identity.model import digest_of
from services.gateway.identity.oidc import OpenID, is_strong
from services.gateway.identity.tokens import ProviderAway, TokenVerifier
from services.gateway.settings import Settings
from tests.conftest import Database
from tests.integration.gateway_rig import Browser, GatewayRig, Person, own_database, running_gateway
from tests.integration.oidc_provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0


@dataclass
class Scene:
    rig: GatewayRig
    issuer: str
    provider: httpx.AsyncClient

    async def sign(self, **order: Any) -> str:
        answer = await self.provider.post("/test/sign", json=order)
        assert answer.status_code == 200, answer.text
        return str(answer.json())

    async def turn_over(self, kind: str = "RSA") -> None:
        await self.provider.post("/test/turn-over", params={"kind": kind})

    async def bearing(self, token: str) -> int:
        """What the API says to who bears this token; each token is looked at anew."""
        return (await (await self.rig.client(authorization=f"Bearer {token}")).get("/account")).status_code

    async def somebody(self, *roles: str, subject: str) -> Person:
        return await self.rig.person(*roles, oidc=(self.issuer, subject))

    async def to_the_provider(self, browser: Browser, next_path: str = "/account") -> dict[str, str]:
        """Begin a sign-in; the question that the browser would bring."""
        answer = await browser.get("/sign-in/oidc", params={"next": next_path})
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(f"{self.issuer}/authorize?")
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    async def at_the_provider(self, question: dict[str, str], subject: str, amr: str = "pwd") -> dict[str, str]:
        """The answer that the browser brings back."""
        answer = await self.provider.get("/authorize", params=question | {"login_hint": subject, "amr": amr})
        assert answer.status_code == 303, answer.text
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    async def back(self, browser: Browser, answer: dict[str, str]) -> httpx.Response:
        return await browser.get("/sign-in/oidc/callback", params=answer)


@pytest.fixture(scope="module")
async def scene(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with own_database(postgres, "gateway_tokens") as database, played(tmp_path_factory.mktemp("tokens"), database, kafka) as scene:
        assert scene.rig.identity.openid is not None
        scene.rig.identity.openid.tokens._again_seconds = 0.0  # several keys turn over within these tests
        yield scene


@asynccontextmanager
async def played(folder: Path, database: Database, kafka: Kafka, pem: Path | None = None, ca: Path | None = None) -> AsyncIterator[Scene]:
    """A provider, which speaks TLS with this certificate, and a gateway that believes this authority."""
    port = free_port()
    issuer = f"{'http' if pem is None else 'https'}://127.0.0.1:{port}"
    command = ["-m", "tests.integration.oidc_provider", str(port), *([] if pem is None else [str(pem)])]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
    settings = {"oidc_issuer": issuer, "oidc_client_secret": CLIENT_SECRET, "oidc_audience": AUDIENCE, "oidc_ca": ca}
    try:
        async with (
            httpx.AsyncClient(base_url=issuer, verify=ssl.create_default_context(cafile=ca), trust_env=False) as provider,
            running_gateway(folder, database, kafka, **settings) as rig,
        ):
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not await answers(provider):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            yield Scene(rig, issuer, provider)
    finally:
        process.terminate()
        await process.wait()


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/jwks")).status_code == 200
    except httpx.TransportError:
        return False


async def is_in(browser: Browser) -> bool:
    return (await browser.get("/account")).status_code == 200


# --- signing in


async def test_made_up_answers_are_slowed_and_do_not_bury_the_audit_log(scene: Scene) -> None:
    browser, counted = await scene.rig.browser(), "SELECT count(*) FROM gateway.audit"
    before = await scene.rig.owner.fetchval(counted)
    found = [await scene.back(browser, {"state": "made-up", "code": "made-up"}) for _ in range(40)]
    assert (401, 429) == (found[0].status_code, found[-1].status_code)
    assert int(found[-1].headers["retry-after"]) > 0
    written = await scene.rig.owner.fetchval(counted) - before
    assert 30 <= written < 40


async def test_who_has_an_account_signs_in_at_the_provider_and_comes_back_where_they_wanted(scene: Scene) -> None:
    await scene.somebody("volunteer", subject="alice")
    browser = await scene.rig.browser()
    question = await scene.to_the_provider(browser, "/account")
    assert {"code", "S256", "openid"} == {question["response_type"], question["code_challenge_method"], question["scope"]}
    answer = await scene.back(browser, await scene.at_the_provider(question, "alice"))
    assert (303, "/account") == (answer.status_code, answer.headers["location"])
    assert await is_in(browser)


async def test_a_provider_with_a_certificate_of_an_authority_of_ones_own_is_believed_by_that_authority_alone(
    scene: Scene, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.ensure(tmp_path, (certificates.Leaf("provider", server=True),), datetime.now(UTC))
    pem, ca = tmp_path / "provider.pem", tmp_path / "ca.pem"
    async with played(tmp_path, scene.rig.database, kafka, pem, ca) as inside:
        await scene.rig.person("volunteer", oidc=(inside.issuer, "alice"))
        browser = await inside.rig.browser()
        await inside.back(browser, await inside.at_the_provider(await inside.to_the_provider(browser), "alice"))
        assert await is_in(browser)
        known = inside.rig.identity.openid
        assert known is not None
        settings = inside.rig.gateway.settings.model_copy(update={"oidc_ca": None})

        async def asked() -> str:
            openid = OpenID.connect(known.settings, inside.rig.identity.store, inside.rig.keys, settings.provider_tls())
            try:
                return await openid.begin("/", "browser", datetime.now(UTC))
            finally:
                await openid.close()

        with pytest.raises(ProviderAway, match="certificate"):
            await asked()
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))  # the system's authorities, as OpenSSL lets them be named
        assert (await asked()).startswith(f"{inside.issuer}/authorize?")


async def test_whom_the_provider_no_longer_knows_is_out_within_a_day_and_at_work_within_a_shift(scene: Scene) -> None:
    clock = scene.rig.clock
    browsers, before = {}, clock.ahead
    for role, hours in (("volunteer", 24), ("worker", 12)):
        await scene.somebody(role, subject=f"leaves {role}")
        browsers[role] = browser = await scene.rig.browser()
        answer = await scene.back(browser, await scene.at_the_provider(await scene.to_the_provider(browser), f"leaves {role}", "mfa"))
        (session,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("lm_session=")]
        assert f"Max-Age={hours * 3600};" in session
    local = await scene.rig.signed_in(await scene.rig.person("volunteer"))
    inside = []
    try:
        for _ in range(8):
            clock.pass_time(hours=3.5)
            inside.append((await is_in(browsers["worker"]), await is_in(browsers["volunteer"]), await is_in(local)))
        assert [(passed < 12, passed < 24, True) for passed in (3.5 * number for number in range(1, 9))] == inside
    finally:
        clock.ahead = before


async def test_a_bound_that_is_made_shorter_ends_the_sessions_that_are_there(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.somebody("volunteer", subject="long")
    browser = await scene.rig.browser()
    await scene.back(browser, await scene.at_the_provider(await scene.to_the_provider(browser), "long"))
    assert await is_in(browser)
    monkeypatch.setattr(scene.rig.identity, "settings", scene.rig.identity.settings.model_copy(update={"oidc_session_hours": 1e-9}))
    assert not await is_in(browser)


async def test_whom_the_provider_vouches_for_is_not_asked_for_a_new_first_password(scene: Scene) -> None:
    await scene.rig.person("volunteer", volunteer_ref="v-first", oidc=(scene.issuer, "first"), must_change=True)
    browser = await scene.rig.browser()
    await scene.back(browser, await scene.at_the_provider(await scene.to_the_provider(browser), "first"))
    assert 200 == (await browser.get("/mine")).status_code


async def test_who_has_no_account_here_is_nobody(scene: Scene) -> None:
    browser = await scene.rig.browser()
    answer = await scene.back(browser, await scene.at_the_provider(await scene.to_the_provider(browser), "stranger"))
    assert 401 == answer.status_code
    assert not await is_in(browser)


@pytest.mark.parametrize(("amr", "inside"), [("pwd", False), ("pwd otp", True), ("mfa", True), ("", False), ("otp", False), ("hwk", False)])
async def test_a_worker_needs_a_second_factor_at_the_provider_too(scene: Scene, amr: str, inside: bool) -> None:
    await scene.somebody("worker", subject=f"worker {amr}")
    browser = await scene.rig.browser()
    await scene.back(browser, await scene.at_the_provider(await scene.to_the_provider(browser), f"worker {amr}", amr))
    assert inside == await is_in(browser)


@pytest.mark.parametrize(
    ("methods", "strong"),
    [
        (["mfa"], True),
        (["pwd", "otp"], True),
        (["pin", "hwk"], True),
        (["fpt", "swk"], True),
        (["otp"], False),
        (["hwk"], False),
        (["swk"], False),
        (["face"], False),
        (["otp", "sms"], False),
        (["pwd", "pin"], False),
        (["pwd", "user", "geo", "made-up"], False),
        (["pwd", ["otp"], None], False),
        ("mfa", False),
        (None, False),
    ],
)
def test_one_method_is_one_factor_and_two_of_one_kind_are_no_second(methods: object, strong: bool) -> None:
    assert strong == is_strong(methods)


async def test_an_answer_is_good_once(scene: Scene) -> None:
    await scene.somebody("volunteer", subject="bob")
    browser = await scene.rig.browser()
    answer = await scene.at_the_provider(await scene.to_the_provider(browser), "bob")
    assert 303 == (await scene.back(browser, answer)).status_code
    assert 401 == (await scene.back(browser, answer)).status_code


async def test_an_answer_to_somebody_elses_question_is_not_taken(scene: Scene) -> None:
    await scene.somebody("volunteer", subject="carol")
    attacker, victim = await scene.rig.browser(), await scene.rig.browser()
    answer = await scene.at_the_provider(await scene.to_the_provider(attacker), "carol")
    await victim.get("/sign-in")
    assert 401 == (await scene.back(victim, answer)).status_code
    assert not await is_in(victim)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "made-up"},
        {"state": ""},
        {"code": "made-up"},
        {"code": ""},
        {"iss": "https://evil.example"},
        {"error": "access_denied"},
    ],
)
async def test_an_answer_that_was_changed_is_not_taken(scene: Scene, change: dict[str, str]) -> None:
    await scene.somebody("volunteer", subject=f"dave {change}")
    browser = await scene.rig.browser()
    answer = await scene.at_the_provider(await scene.to_the_provider(browser), f"dave {change}")
    assert 401 == (await scene.back(browser, answer | change)).status_code
    assert not await is_in(browser)


async def test_a_code_that_was_got_for_another_question_is_not_taken(scene: Scene) -> None:
    await scene.somebody("volunteer", subject="erin")
    browser = await scene.rig.browser()
    first = await scene.at_the_provider(await scene.to_the_provider(browser), "erin")
    second = await scene.at_the_provider(await scene.to_the_provider(browser), "erin")
    # Its verifier is the first question's: the provider says no, and our own nonce would, too.
    assert 401 == (await scene.back(browser, second | {"code": first["code"]})).status_code


async def test_an_id_token_of_another_sign_in_is_not_taken(scene: Scene) -> None:
    await scene.somebody("volunteer", subject="frank")
    browser = await scene.rig.browser()
    question = await scene.to_the_provider(browser)
    # A provider that hands out an old id token: only the nonce tells.
    answer = await scene.at_the_provider(question | {"nonce": "of-another-sign-in"}, "frank")
    assert 401 == (await scene.back(browser, answer)).status_code


async def test_a_question_is_forgotten_after_ten_minutes(scene: Scene) -> None:
    await scene.somebody("volunteer", subject="grace")
    browser = await scene.rig.browser()
    answer = await scene.at_the_provider(await scene.to_the_provider(browser), "grace")
    scene.rig.clock.pass_time(minutes=10.1)
    try:
        assert 401 == (await scene.back(browser, answer)).status_code
    finally:
        scene.rig.clock.pass_time(minutes=-10.1)


async def test_what_is_kept_of_a_question_does_not_answer_it(scene: Scene) -> None:
    question = await scene.to_the_provider(await scene.rig.browser())
    row = await scene.rig.owner.fetchrow("SELECT * FROM gateway.pending_sign_ins WHERE digest = $1", digest_of(question["state"]))
    assert row is not None
    assert question["state"] not in str(dict(row))


# --- tokens of the API


async def test_an_access_token_opens_what_its_scope_names(scene: Scene) -> None:
    await scene.somebody("integrator", subject="app")
    assert 200 == await scene.bearing(await scene.sign(sub="app", claims={"scope": "openid lastmetre:see_own"}, header={"typ": "at+jwt"}))
    assert 403 == await scene.bearing(await scene.sign(sub="app", claims={"scope": "openid lastmetre:read_events"}))
    assert 403 == await scene.bearing(await scene.sign(sub="app"))
    await scene.somebody("worker", "integrator", subject="app of a worker")
    assert 401 == await scene.bearing(await scene.sign(sub="app of a worker", claims={"scope": "lastmetre:see_own"}))


NOW = int(time.time())


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("another audience", {"aud": "another-api"}),
        ("our client id: an id token", {"aud": CLIENT_ID}),
        ("no audience", {"claims": {"aud": None}}),
        ("another issuer", {"claims": {"iss": "https://evil.example"}}),
        ("an issuer that only begins like ours", {"claims": {"iss": "http://127.0.0.1"}}),
        ("no issuer", {"claims": {"iss": None}}),
        ("expired", {"claims": {"exp": NOW - 3600}}),
        ("without an end", {"claims": {"exp": None}}),
        ("an end that is no number", {"claims": {"exp": "never"}}),
        ("not yet good", {"claims": {"nbf": NOW + 3600}}),
        ("from the future", {"claims": {"iat": NOW + 3600}}),
        ("nobody's", {"claims": {"sub": None}}),
        ("of a subject that is no text", {"claims": {"sub": 17}}),
        ("of a stranger", {"sub": "stranger"}),
        ("a key of its own", {"header": {"jwk": {"kty": "RSA"}}}),
        ("a key from elsewhere", {"header": {"jku": "https://evil.example/keys"}}),
        ("a certificate from elsewhere", {"header": {"x5u": "https://evil.example/cert"}}),
        ("another type", {"header": {"typ": "logout+jwt"}}),
        ("a kid that is a path", {"header": {"kid": "../../../../dev/null"}}),
        ("a kid that is SQL", {"header": {"kid": "x' OR '1'='1"}}),
        ("an empty kid", {"header": {"kid": ""}}),
    ],
)
async def test_a_token_that_the_provider_signed_is_not_good_for_us(scene: Scene, name: str, order: dict[str, Any]) -> None:
    subject = f"app {name}"
    await scene.somebody("integrator", subject=subject)
    claims = {"scope": "lastmetre:see_own"}
    good = await scene.sign(sub=subject, claims=claims)
    bad = await scene.sign(**({"sub": subject} | order | {"claims": claims | order.get("claims", {})}))
    assert (200, 401) == (await scene.bearing(good), await scene.bearing(bad)), name


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_token_that_nobody_signed_is_not_good(scene: Scene) -> None:
    await scene.somebody("integrator", subject="victim")
    good = await scene.sign(sub="victim", claims={"scope": "lastmetre:see_own"})
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    assert 200 == await scene.bearing(good)
    forged = {
        "alg none": f"{part({'alg': 'none', 'kid': kid})}.{payload}.",
        "alg None": f"{part({'alg': 'None', 'kid': kid})}.{payload}.",
        "alg none, the signature kept": f"{part({'alg': 'none', 'kid': kid})}.{payload}.{signature}",
        "no alg": f"{part({'kid': kid})}.{payload}.{signature}",
        "alg is a list": f"{part({'alg': ['RS256'], 'kid': kid})}.{payload}.{signature}",
        "no kid": f"{part({'alg': 'RS256'})}.{payload}.{signature}",
        "kid is a list": f"{part({'alg': 'RS256', 'kid': [kid]})}.{payload}.{signature}",
        "another payload": f"{header}.{part(claims | {'sub': 'admin'})}.{signature}",
        "no signature": f"{header}.{payload}.",
        "cut": good[:-4],
        "the header is no object": f"{part([1])}.{payload}.{signature}",
        "not base64": f"%%%.{payload}.{signature}",
        "five parts": f"{header}.{payload}.{signature}.x.y",
        "very long": f"{header}.{payload}{'A' * 20_000}.{signature}",
    }
    assert dict.fromkeys(forged, 401) == {name: await scene.bearing(token) for name, token in forged.items()}


async def test_the_public_key_is_no_shared_secret(scene: Scene) -> None:
    await scene.somebody("integrator", subject="victim of confusion")
    good = await scene.sign(sub="victim of confusion", claims={"scope": "lastmetre:see_own"})
    claims = json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
    listed = (await scene.provider.get("/jwks")).json()["keys"][0]
    public = RSAKey.import_key({name: value for name, value in listed.items() if name in {"kty", "n", "e"}})
    secrets = [public.as_pem(private=False), public.as_pem(private=False).strip(), json.dumps(listed).encode(), public.as_der(private=False)]
    for secret in secrets:
        signed = f"{part({'alg': 'HS256', 'kid': listed['kid']})}.{part(claims)}"
        signature = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
        assert 401 == await scene.bearing(f"{signed}.{signature}")


async def test_a_key_of_ones_own_under_the_providers_name_is_not_good(scene: Scene) -> None:
    await scene.somebody("integrator", subject="victim of a kid")
    good = await scene.sign(sub="victim of a kid", claims={"scope": "lastmetre:see_own"})
    claims = json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
    kid = (await scene.provider.get("/jwks")).json()["keys"][0]["kid"]
    own = RSAKey.generate_key(2048)
    assert 401 == await scene.bearing(jwt.encode({"alg": "RS256", "kid": kid}, claims, own, algorithms=["RS256"]))


async def test_keys_turn_over_and_the_old_ones_are_gone(scene: Scene) -> None:
    await scene.somebody("integrator", subject="old and new")
    order: dict[str, Any] = {"sub": "old and new", "claims": {"scope": "lastmetre:see_own"}}
    old = await scene.sign(**order)
    assert 200 == await scene.bearing(old)
    for kind in ("EC", "RSA"):
        await scene.turn_over(kind)
        assert 200 == await scene.bearing(await scene.sign(**order))
    scene.rig.identity._known.clear()
    assert 401 == await scene.bearing(old)


async def test_a_provider_that_moves_is_found_again_without_a_restart_and_one_that_is_away_is_asked_where_it_was() -> None:
    told: dict[str, Any] = {}
    asked: list[str] = []

    def provider(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json=told) if told else httpx.Response(503)

    def moved(path: str) -> None:
        told.update(issuer="https://id.example", **dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), f"https://id.example/{path}"))

    async with httpx.AsyncClient(transport=httpx.MockTransport(provider)) as client:
        verifier = TokenVerifier("https://id.example", client)
        with pytest.raises(ProviderAway):
            await verifier.endpoints()
        moved("one")
        assert ["https://id.example/one"] * 2 == [(await verifier.endpoints()).jwks for _ in range(2)]
        moved("two")
        assert "https://id.example/one" == (await verifier.endpoints()).jwks
        verifier._endpoints_at -= 601
        assert "https://id.example/two" == (await verifier.endpoints()).jwks
        told.clear()
        verifier._endpoints_at -= 601
        assert "https://id.example/two" == (await verifier.endpoints()).jwks
    assert 4 == len(asked)


async def test_made_up_kids_do_not_make_us_ask_the_provider_again_and_again(scene: Scene) -> None:
    assert scene.rig.identity.openid is not None
    tokens = scene.rig.identity.openid.tokens
    await scene.bearing(await scene.sign(header={"kid": "first"}))
    before = (await scene.provider.get("/test/asked")).json()
    tokens._again_seconds = 3600.0
    try:
        for number in range(10):
            await scene.bearing(await scene.sign(header={"kid": f"made-up-{number}"}))
    finally:
        tokens._again_seconds = 0.0
    assert before == (await scene.provider.get("/test/asked")).json()


async def test_a_provider_that_calls_itself_by_another_name_is_not_asked(scene: Scene) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        verifier = TokenVerifier(scene.issuer.replace("127.0.0.1", "localhost"), client)
        with pytest.raises(ProviderAway, match="issuer"):
            await verifier.endpoints()


async def test_the_provider_cannot_send_us_elsewhere(scene: Scene) -> None:
    assert scene.rig.identity.openid is not None
    with pytest.raises(ProviderAway, match="status"):
        await scene.rig.identity.openid.tokens.fetch(f"{scene.issuer}/test/elsewhere")


def test_an_id_token_can_never_open_the_api() -> None:
    with pytest.raises(ValueError, match="OIDC_AUDIENCE"):
        Settings(
            kafka="127.0.0.1:1",
            database="postgresql://x",
            board_database="postgresql://x",
            identity_keys=Path("x"),
            oidc_client_id="same",
            oidc_audience="same",
        )


@pytest.mark.parametrize("issuer", ["http://provider.example", "ftp://provider.example", "https://provider.example?x", "provider.example"])
def test_the_provider_is_asked_over_tls_alone(issuer: str) -> None:
    with pytest.raises(ValueError, match="oidc_issuer"):
        Settings(
            kafka="127.0.0.1:1",
            database="postgresql://x",
            board_database="postgresql://x",
            identity_keys=Path("x"),
            oidc_issuer=issuer,
        )
