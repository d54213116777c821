"""Kafka's door: what `up --secure` sets before the broker that we start. Certificates, passwords, listeners, and the way in of each principal.

Three listeners, all on the loopback. CLIENTS: TLS, and each service, tool and integration with a password of its own (SCRAM-SHA-512). NODE: mutual TLS, for
deploy itself and for the broker's talk with itself. CONTROLLER: mutual TLS. Passwords of SCRAM live in Kafka's own metadata, which whoever
starts an empty or a plain node cannot have filled before: that is why deploy comes in by certificate.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.state import LOOPBACK, State, write_private
from schemas.topics import PRINCIPALS
from services.broker import PREFIX, Broker

FOLDER: Final = "kafka-door"
PASSWORD_BYTES: Final = 24
MECHANISM: Final = "SCRAM-SHA-512"

# The broker must be let in before any rule can be stored, and deploy stores the rules: these two alone are asked for no rule.
NODE: Final = "kafka-node"
ADMIN: Final = "kafka-admin"

_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_AUTHORIZER: Final = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


class Door:
    """The files of one state folder's door."""

    def __init__(self, state: State) -> None:
        self.folder = state.folder / FOLDER

    def prepare(self, now: datetime | None = None) -> tuple[str, ...]:
        """Make what is not there and renew what is near its end; the names of the certificates that are new."""
        # Here and not above: only who starts or opens this door needs certificates, and every command imports this module.
        from deploy.certificates import Leaf, ensure

        self.folder.mkdir(mode=0o700, exist_ok=True)
        made = ensure(self.folder, (Leaf(NODE, server=True), Leaf(ADMIN, server=False)), now or datetime.now(UTC))
        for principal in PRINCIPALS:
            path = self._password_file(principal)
            if not path.exists() or not path.read_text(encoding="utf-8").strip():
                write_private(path, secrets.token_urlsafe(PASSWORD_BYTES) + "\n")
        return made

    def _password_file(self, principal: str) -> Path:
        return self.folder / f"{principal}.password"

    @property
    def ca(self) -> Path:
        """What clients must trust."""
        return self.folder / "ca.pem"

    def broker(self, principal: str, address: str) -> Broker:
        """The way in of one principal of the manifest.

        Raises:
            KeyError: the manifest names no such principal.
        """
        if principal not in PRINCIPALS:
            raise KeyError(principal)
        return Broker(address, self.ca, principal, self._password_file(principal), MECHANISM)

    def admin(self, address: str) -> Broker:
        """Deploy's own way in: by certificate, at the NODE listener."""
        return Broker(address, self.ca, certificate=self.folder / f"{ADMIN}.pem")

    def properties(self, clients: int, node: int, controller: int) -> dict[str, str]:
        """The node's settings in place of the plain ones, for these ports."""
        return {
            "listeners": f"CLIENTS://{LOOPBACK}:{clients},NODE://{LOOPBACK}:{node},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"CLIENTS://{LOOPBACK}:{clients},NODE://{LOOPBACK}:{node}",
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,NODE:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "NODE",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / f"{NODE}.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "ssl.enabled.protocols": "TLSv1.3",
            "ssl.principal.mapping.rules": "RULE:^CN=([a-z-]+)$/$1/,DEFAULT",
            "listener.name.clients.ssl.client.auth": "none",
            "listener.name.node.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": MECHANISM,
            "listener.name.clients.sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config": _SCRAM,
            "authorizer.class.name": _AUTHORIZER,
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{NODE};User:{ADMIN}",
        }


def environment(broker: Broker) -> dict[str, str]:
    """The settings with which a service finds this Kafka."""
    found = {f"{PREFIX}KAFKA": broker.addresses}
    if broker.user is None:
        return found
    return found | {
        f"{PREFIX}KAFKA_PROTOCOL": broker.protocol,
        f"{PREFIX}KAFKA_CA": str(broker.ca),
        f"{PREFIX}KAFKA_MECHANISM": broker.mechanism,
        f"{PREFIX}KAFKA_USER": broker.user,
        f"{PREFIX}KAFKA_PASSWORD_FILE": str(broker.password_file),
    }
