"""Invented people, recognisable anywhere: each field holds a string that is nowhere else in the world."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
# Characters that no template, message or catalogue of PostgreSQL puts in this order.
_CHARACTERS = "猗窈湉瑾珩翀喆祎玥晞翊昶骞堃彧琤珵睿翎曦"


def invent(chance: random.Random) -> dict[str, Any]:
    """A person's contact: an invented range of phones, a domain that is nobody's."""

    def word(length: int) -> str:
        return "".join(chance.choices(_LETTERS, k=length))

    return {
        "name": "测" + "".join(chance.choices(_CHARACTERS, k=6)),
        "phone": f"1990030{chance.randrange(10_000):04}",
        "email": f"canary-{word(10)}@example.com",
        "wecom": f"wecom-{word(10)}",
        "door": f"{word(8)}栋2单元{chance.randrange(100, 3000)}{chance.choice(_CHARACTERS)}{chance.choice(_CHARACTERS)}",
        "compound": f"小区{word(8)}",
        "channels": ["wecom", "sms"],
    }


def canaries(people: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """name -> string of all that must not be found."""
    kinds = ("name", "phone", "email", "wecom", "door", "compound")
    return {f"{person}'s {kind}": values[kind] for person, values in people.items() for kind in kinds}
