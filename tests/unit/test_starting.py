"""How a service starts where something is not as it should be: servers are waited for, and what somebody must mend is one sentence in both languages."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from deploy.explainer import Settings as ExplainerSettings
from deploy.spelling import slips
from deploy.stack import SECRETS, SETTINGS_OF_DEPLOY, not_for
from deploy.state import ROOT
from services.broker import Broker
from services.dumps import keep_memory_to_oneself
from services.gateway.settings import Settings as GatewaySettings
from services.matcher.app import MatcherSettings
from services.notifier.settings import Settings as NotifierSettings
from services.runtime import EXIT_CLEAN, EXIT_FAILED, EXIT_SETTINGS, BadSettings, ProcessSettings, ServiceSettings, Stop, load_settings, reach, run

AWAY = "127.0.0.1:1"
"""Where nobody listens."""
DATABASE = f"postgresql://nobody@{AWAY}/none"


def started(module: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LASTMETRE_")}
    settings = {"KAFKA": AWAY, "DATABASE": DATABASE, "EXPLAINER_PORT": "0", "EXPLAINER_SECRET": "x" * 16, **variables}
    env |= {f"LASTMETRE_{name}": value for name, value in settings.items()}
    return subprocess.run([sys.executable, "-m", module], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("module", ["services.matcher", "services.notifier", "services.gateway.board"])
def test_a_taken_port_for_health_is_named_with_its_setting(module: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started(module, OPS_PORT=str(port))
    assert EXIT_SETTINGS == ended.returncode
    (line,) = ended.stderr.splitlines()
    assert f"环境变量 LASTMETRE_OPS_PORT 不合规：端口 {port} 已被占用" in line
    assert f"environment variable LASTMETRE_OPS_PORT is not valid: port {port} is taken: use another" in line


@pytest.mark.parametrize("url", ["nowhere", "mysql://u:p@db/lastmetre", "postgresql://u:p@db:port/lastmetre"])
def test_a_database_that_is_no_url_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LASTMETRE_DATABASE", url)
    with pytest.raises(BadSettings) as refused:
        load_settings(ProcessSettings)
    assert "LASTMETRE_DATABASE" in str(refused.value)
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "variable", "value", "said"),
    [
        (GatewaySettings, "RECEIPT_SECRETS", '{"sms":', "LASTMETRE_RECEIPT_SECRETS is not valid: give the secret of each channel"),
        (GatewaySettings, "RECEIPT_SECRETS", '{"SMS 1": "0123456789abcdef"}', "LASTMETRE_RECEIPT_SECRETS is not valid"),
        (GatewaySettings, "RECEIPT_SECRETS", '{"sms": "short"}', "16 characters or more"),
        (GatewaySettings, "TRUSTED_PROXIES", "10.0.0.1,10.0.0.1.2", "LASTMETRE_TRUSTED_PROXIES is not valid"),
        (GatewaySettings, "OIDC_AUDIENCE", "api", "LASTMETRE_OIDC_ISSUER is missing"),
        (GatewaySettings, "OIDC_CLIENT_SECRET", "hidden", "LASTMETRE_OIDC_ISSUER is missing"),
        (GatewaySettings, "OIDC_CA", "/no/such/file", "LASTMETRE_OIDC_ISSUER is missing: there is LASTMETRE_OIDC_CA"),
        (GatewaySettings, "OIDC_SESSION_HOURS", "0", "LASTMETRE_OIDC_SESSION_HOURS is not valid: use hours"),
        (GatewaySettings, "EXPLAINER_URL", "http://127.0.0.1:9", "LASTMETRE_EXPLAINER_SECRET is missing"),
        (
            GatewaySettings,
            "LINK_KEYS_FILE",
            "/no/such/file",
            "LASTMETRE_LINK_KEYS_FILE: the link keys are not valid: the file with the link keys, /no/such/file",
        ),
        (GatewaySettings, "PLACES", "/no/such/file", "/no/such/file: the file of places cannot be used"),
        (NotifierSettings, "CENTRE_HOUSEHOLDS", " , ", "LASTMETRE_CENTRE_HOUSEHOLDS is not valid"),
        (NotifierSettings, "POLL_SECONDS", "nan", "LASTMETRE_POLL_SECONDS is not valid"),
        (NotifierSettings, "WEBHOOK_BACKOFF_SECONDS", "inf", "LASTMETRE_WEBHOOK_BACKOFF_SECONDS is not valid"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, settings: type[BaseSettings], variable: str, value: str, said: str
) -> None:
    for name, needed in {"KAFKA": AWAY, "DATABASE": DATABASE, "BOARD_DATABASE": DATABASE, "IDENTITY_KEYS": "keys", variable: value}.items():
        monkeypatch.setenv(f"LASTMETRE_{name}", needed)
    with pytest.raises(BadSettings) as refused:
        load_settings(settings)
    chinese, _, english = str(refused.value).partition(" | ")
    assert said in english
    assert any(sign > "\u3000" for sign in chinese)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_an_authority_of_the_provider_that_cannot_be_read_is_refused_with_its_file_and_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    given = {"KAFKA": AWAY, "DATABASE": DATABASE, "BOARD_DATABASE": DATABASE, "IDENTITY_KEYS": "keys", "OIDC_ISSUER": "https://id.example"}
    for name, needed in {**given, "OIDC_CA": str(path)}.items():
        monkeypatch.setenv(f"LASTMETRE_{name}", needed)
    with pytest.raises(BadSettings) as refused:
        load_settings(GatewaySettings)
    chinese, _, english = str(refused.value).partition(" | ")
    assert chinese.startswith(f"环境变量 LASTMETRE_OIDC_CA 不合规：文件 {path} 不是可读的 PEM 证书")
    assert english.startswith(f"environment variable LASTMETRE_OIDC_CA is not valid: the file {path} is no PEM certificate that can be read")
    assert english.endswith("use the path of the file of the CA that signed the provider's certificate")


def test_the_explanation_door_refuses_a_policy_with_its_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("rounds = 5\n", encoding="utf-8")
    ended = started("deploy.explainer", POLICY=str(path))
    assert EXIT_SETTINGS == ended.returncode
    assert f"{path}: rounds in the policy file is not valid" in ended.stderr


def test_a_key_file_of_the_gateways_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    ended = started("services.gateway", BOARD_DATABASE=DATABASE, IDENTITY_KEYS=str(tmp_path / "nowhere"))
    assert EXIT_SETTINGS == ended.returncode
    (line,) = ended.stderr.splitlines()
    assert "环境变量 LASTMETRE_IDENTITY_KEYS 不合规：无法读取密钥文件" in line
    assert f"environment variable LASTMETRE_IDENTITY_KEYS is not valid: the key file {tmp_path / 'nowhere'} cannot be read" in line


def test_a_variable_that_is_nearly_a_setting_is_asked_about_and_one_of_somebody_elses_is_not() -> None:
    others = ["LASTMETRE_POLICY", "LASTMETRE_LANG", "LASTMETRE_CACHE", "LASTMETRE_EXPLAINER_PORT", "LASTMETRE_SMS_SECRET", "POLCY"]
    assert [] == slips(others)
    (polcy, port) = slips([*others, "LASTMETRE_POLCY", "LASTMETRE_WEBPORT"])
    assert "没有环境变量 LASTMETRE_POLCY，是不是 LASTMETRE_POLICY？ · no setting is called LASTMETRE_POLCY: was LASTMETRE_POLICY meant?" == polcy
    assert "was LASTMETRE_WEB_PORT meant?" in port


async def test_a_server_that_comes_later_is_waited_for() -> None:
    asked = 0

    async def connect() -> str:
        nonlocal asked
        asked += 1
        if asked < 2:
            raise ConnectionRefusedError
        return "it"

    assert "it" == await reach("PostgreSQL", "LASTMETRE_DATABASE", connect, Stop())


def test_a_kafka_that_stays_away_ends_a_start_with_one_sentence_that_names_the_setting(capfd: pytest.CaptureFixture[str]) -> None:
    assert EXIT_FAILED == run(lambda stop: reach("Kafka", "LASTMETRE_KAFKA", Broker(AWAY).hello, stop, seconds=0))
    (line,) = capfd.readouterr().err.splitlines()
    assert "Kafka 在 0 秒内没有应答（KafkaConnectionError）：请核对环境变量 LASTMETRE_KAFKA" in line
    assert "see that environment variable LASTMETRE_KAFKA is right" in line


def test_a_start_that_waits_ends_in_good_order_when_it_is_told_to() -> None:
    async def main(stop: Stop) -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        await reach("Kafka", "LASTMETRE_KAFKA", Broker(AWAY).hello, stop)

    assert EXIT_CLEAN == run(main)


async def test_a_fault_that_waiting_does_not_mend_is_not_waited_for() -> None:
    async def connect() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await reach("PostgreSQL", "LASTMETRE_DATABASE", connect, Stop())


def test_a_crash_of_a_service_writes_no_memory_to_a_disk() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        keep_memory_to_oneself()
        assert (0, before[1]) == resource.getrlimit(resource.RLIMIT_CORE)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_each_secret_is_given_to_the_services_that_have_a_setting_for_it() -> None:
    models: dict[str, type[BaseSettings]] = {"matcher": MatcherSettings, "notifier": NotifierSettings, "gateway": GatewaySettings}
    models |= {"explainer": ExplainerSettings, "board": ServiceSettings}
    readers: dict[str, set[str]] = {}
    for kind, model in models.items():
        for name, field in model.model_fields.items():
            if SecretStr.__name__ in repr(field.annotation) and not name.endswith("database") and not name.startswith("kafka"):
                readers.setdefault(f"LASTMETRE_{name.upper()}", set()).add(kind)
    assert readers == SECRETS | {name: {"notifier", "gateway"} for name in readers if name in SETTINGS_OF_DEPLOY}


@pytest.mark.parametrize("in_file", [False, True])
def test_what_opens_a_channel_is_for_the_notifier_alone(in_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = '{"sms": {"type": "sms", "url": "https://sms.example", "secret_env": "SMS_SECRET"}}'
    if in_file:
        file = tmp_path / "channels.toml"
        file.write_text('[mail]\ntype = "email"\npassword_env = "SMS_SECRET"\n')
        described = str(file)
    monkeypatch.setenv("LASTMETRE_CHANNELS", described)
    assert not not_for("notifier") & {"SMS_SECRET", "LASTMETRE_CHANNELS", "LASTMETRE_WEBHOOK_SECRET"}
    for kind in ("matcher", "board", "explainer", "gateway"):
        assert not_for(kind) >= {"SMS_SECRET", "LASTMETRE_CHANNELS", "LASTMETRE_WEBHOOK_SECRET"}
