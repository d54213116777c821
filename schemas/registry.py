"""Every event type: its topic and its model."""

from typing import Final

from schemas import confirmations, matches, offers, responses, topics, wishes
from schemas.base import Incoming

PREFIX: Final = "lastmetre."

_MODULES: Final[tuple[tuple[str, dict[str, type[Incoming]]], ...]] = (
    (topics.WISHES, wishes.TYPES),
    (topics.OFFERS, offers.TYPES),
    (topics.RESPONSES, responses.TYPES),
    (topics.MATCHES, matches.TYPES),
    (topics.CONFIRMATIONS, confirmations.TYPES),
)
MODEL_OF: Final[dict[str, type[Incoming]]] = {kind: model for _, types in _MODULES for kind, model in types.items()}
TOPIC_OF: Final[dict[str, str]] = {kind: topic for topic, types in _MODULES for kind in types}
