"""The manifest of topics: name, partitions, retention, cleanup policy, who writes, who reads, in which consumer groups.

`deploy/topics.py` creates exactly these, and `deploy/access.py` lets nobody else read or write them where Kafka is secured; the compose file and the
AsyncAPI document are tested against them.
"""

from dataclasses import dataclass
from typing import Final

# All topics have as many partitions, so that partition p of each of them belongs to the same areas: a *lane*.
PARTITIONS: Final = 6
MIB: Final = 1024 * 1024
# What a producer may send. Larger events are refused, but taken in up to EVENT_ACCEPTED_MAX_BYTES so that it can be told.
EVENT_MAX_BYTES: Final = 1 * MIB
EVENT_ACCEPTED_MAX_BYTES: Final = 8 * MIB
# A dead letter is the event untouched plus our headers, so it needs more room than the topic it came from.
DEAD_LETTER_MAX_BYTES: Final = 9 * MIB
_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `retention_days` and the sizes are the broker's settings, writers and readers are services and other principals."""

    name: str
    purpose: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    retention_days: int
    max_message_bytes: int = EVENT_ACCEPTED_MAX_BYTES
    partitions: int = PARTITIONS
    cleanup_policy: str = "delete"

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings as Kafka spells them."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_days * _DAY_MS),
            "max.message.bytes": str(self.max_message_bytes),
            # When it came, by the broker's clock. By a producer's, which may be years behind, what it sends would be past keeping as it comes, and deleted
            # within minutes, whether it was read or not.
            "message.timestamp.type": "LogAppendTime",
            # Held as it is, however its producer sent it, so that the largest message is measured as whoever reads it has it in memory: a megabyte can hold
            # gigabytes of blanks.
            "compression.type": "uncompressed",
        }


WISHES: Final = "wishes"
OFFERS: Final = "offers"
RESPONSES: Final = "responses"
MATCHES: Final = "matches"
CONFIRMATIONS: Final = "confirmations"

# Integrations and the gateway bring events, the matcher mends them (same event, right key), workers' tools send dead letters again.
_SENDERS: Final = ("integrations", "gateway", "matcher", "workers")
# The gateway and the writer of its board, the workers' tools and whoever audits see every topic.
_WATCHERS: Final = ("gateway", "board", "workers", "auditor")

_EVENTS: Final = (
    Topic(WISHES, "micro-wishes and their withdrawals", _SENDERS, ("matcher", "notifier", *_WATCHERS), 30),
    Topic(OFFERS, "volunteers' offers", _SENDERS, ("matcher", "notifier", *_WATCHERS), 30),
    Topic(RESPONSES, "claims, answers, approvals, visits", _SENDERS, ("matcher", "notifier", *_WATCHERS), 30),
    Topic(MATCHES, "what the matcher decided", ("matcher", "workers"), ("notifier", "integrations", *_WATCHERS), 30),
    Topic(CONFIRMATIONS, "both sides told, failed or closed", ("notifier", "matcher", "workers"), ("matcher", "notifier", "integrations", *_WATCHERS), 30),
)


def dead_letter_topic(topic: str) -> str:
    """Where the dead letters of a topic lie."""
    return f"{topic}-dlq"


def _dead_letters_of(topic: Topic) -> Topic:
    return Topic(
        name=dead_letter_topic(topic.name),
        purpose=f"events of {topic.name} that were not taken, with the reason",
        # What the visits can't take, the notifier sets aside.
        writers=("matcher", "notifier") if topic.name in {RESPONSES, CONFIRMATIONS} else topic.readers[:1],
        readers=_WATCHERS,
        retention_days=90,
        max_message_bytes=DEAD_LETTER_MAX_BYTES,
    )


TOPICS: Final[tuple[Topic, ...]] = (*_EVENTS, *(_dead_letters_of(topic) for topic in _EVENTS))


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group and the one who reads in it; `prefix`: every group whose name begins so."""

    name: str
    member: str
    prefix: bool = False


MATCHER_GROUP: Final = "lastmetre-matcher"
NOTIFIER_GROUP: Final = "lastmetre-notifier"
VISITS_GROUP: Final = "lastmetre-visits"
NEIGHBOURS_GROUP: Final = "lastmetre-neighbours"
GROUPS: Final = (
    Group(MATCHER_GROUP, "matcher"),
    Group(NOTIFIER_GROUP, "notifier"),
    Group(VISITS_GROUP, "notifier"),
    Group(NEIGHBOURS_GROUP, "notifier"),
    # Each process of the gateway follows the stream by itself, and each integration and auditor has places of its own.
    Group("gateway-", "gateway", prefix=True),
    Group("integrations-", "integrations", prefix=True),
    Group("auditor-", "auditor", prefix=True),
)
# Everybody whom the manifest names, each a principal of its own where Kafka is secured.
PRINCIPALS: Final = tuple(sorted({name for topic in TOPICS for name in (*topic.writers, *topic.readers)}))

# What the matcher reads; their partitions p together are lane p.
LANE_TOPICS: Final = (WISHES, OFFERS, RESPONSES, CONFIRMATIONS)
