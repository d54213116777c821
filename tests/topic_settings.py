"""A declared topic with other settings, as it was before, or as a Kafka that others keep may have it."""

from __future__ import annotations

from dataclasses import fields

from schemas.topics import Topic


def changed(topic: Topic, **settings: str) -> Topic:
    """This topic with these settings of Kafka's in place of what is declared; underscores stand for dots."""
    config = topic.config | {name.replace("_", "."): value for name, value in settings.items()}

    class Changed(Topic):
        @property
        def config(self) -> dict[str, str]:
            return config

    return Changed(*(getattr(topic, one.name) for one in fields(topic)))
