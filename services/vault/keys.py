"""Master keys that can forget: from one, 2**32 wrapping keys are derived, and any of them can be taken out of it for good.

A master key is the root of a binary tree; each node gives its two children by HMAC-SHA256, and a person's wrapping key comes from a leaf. To forget a
leaf, every node above it is thrown away and the nodes beside that path are kept: all other leaves are still derived, this one by nobody. (The name for it is
puncturable pseudo-random function, by Goldreich, Goldwasser and Micali.) So what is wrapped needs no second copy outside PostgreSQL, nobody else's copy is
touched by an erasure, and the file changes only when somebody is erased or keys are rotated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

from services.vault.faults import BadKeys, KeyDestroyed, UnknownKey
from services.vault.sealing import KEY_BYTES, new_key

DEPTH: Final = 32
LEAVES: Final = 2**DEPTH
_BRANCHES: Final = {"0": b"lastmetre vault tree 0", "1": b"lastmetre vault tree 1"}
_WRAPPING: Final = b"lastmetre vault wrapping key"
_OWN: Final = "w"
_ID: Final = re.compile(r"[a-z0-9-]{1,40}")
_PREFIX: Final = re.compile(rf"[01]{{0,{DEPTH}}}")
# Leaves are given out one after the other: people who are looked up in one time have most of their way down in common.
_DERIVED_MAX: Final = 50_000
# 32 random bytes have 30 different values, give or take; with fewer than these somebody typed them.
_DISTINCT_MIN: Final = 16


def check_strength(secret: bytes, name: str) -> None:
    """Refuse a key that no generator made.

    Raises:
        BadKeys: not 32 bytes, or bytes that repeat.
    """
    if len(secret) != KEY_BYTES or len(set(secret)) < _DISTINCT_MIN:
        raise BadKeys(
            f"密钥 {name} 太弱：须为 {KEY_BYTES} 个随机字节的 base64，例如 openssl rand -base64 32",
            f"key {name} is weak: give the base64 of {KEY_BYTES} random bytes, such as openssl rand -base64 32",
        )


def decode(text: object, name: str) -> bytes:
    """A key from base64.

    Raises:
        BadKeys: it is not base64, or weak.
    """
    try:
        secret = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    check_strength(secret, name)
    return secret


def _child(secret: bytes, branch: str) -> bytes:
    return hmac.digest(secret, _BRANCHES[branch], "sha256")


def _path(leaf: int) -> str:
    if not 0 <= leaf < LEAVES:
        raise ValueError(f"a leaf is between 0 and {LEAVES - 1}")
    return f"{leaf:0{DEPTH}b}"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key: the nodes that are left of its tree, by their path from the root ("" is the root itself)."""

    key_id: str
    nodes: Mapping[str, bytes] = field(repr=False)
    # What was derived already, by path; a wrapping key has the mark of its purpose behind it. They tell nothing that `nodes` does not, and a leaf that is
    # forgotten ends them.
    _derived: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def new(cls, key_id: str) -> Self:
        """A whole one."""
        return cls(key_id, {"": new_key()})

    def wrapping_key(self, leaf: int) -> bytes:
        """The wrapping key of a leaf.

        Raises:
            KeyDestroyed: this leaf was forgotten.
        """
        path = _path(leaf)
        top = self._above(path)
        if top is None:
            raise KeyDestroyed
        known = self._derived.get(path + _OWN)
        if known is None:
            known = hmac.digest(self._node(top, path), _WRAPPING, "sha256")
            self._derived[path + _OWN] = known
        return known

    def forget(self, leaf: int) -> MasterKey:
        """The same key without this leaf; forgetting twice changes nothing."""
        path = _path(leaf)
        top = self._above(path)
        if top is None:
            return self
        nodes = {at: secret for at, secret in self.nodes.items() if at != top}
        secret = self.nodes[top]
        for depth in range(len(top), DEPTH):
            kept = path[:depth] + ("1" if path[depth] == "0" else "0")
            nodes[kept] = _child(secret, kept[-1])
            secret = _child(secret, path[depth])
        return replace(self, nodes=nodes)

    def _node(self, top: str, path: str) -> bytes:
        """The node at `path`, which is the one at `top` or below it."""
        if len(self._derived) >= _DERIVED_MAX:
            self._derived.clear()
        depth = len(path)
        while depth > len(top) and path[:depth] not in self._derived:
            depth -= 1
        secret = self._derived[path[:depth]] if depth > len(top) else self.nodes[top]
        for below in range(depth, len(path)):
            secret = self._derived[path[: below + 1]] = _child(secret, path[below])
        return secret

    def _above(self, path: str) -> str | None:
        return next((path[:depth] for depth in range(DEPTH + 1) if path[:depth] in self.nodes), None)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All master keys; new people are sealed under the `current` one, older ones open what they sealed until they are retired."""

    current: str
    keys: Mapping[str, MasterKey] = field(repr=False)

    @classmethod
    def new(cls, now: datetime) -> Self:
        """One master key, named by its day."""
        key_id = f"{now:%Y-%m-%d}-1"
        return cls(key_id, {key_id: MasterKey.new(key_id)})

    def wrapping_key(self, key_id: str, leaf: int) -> bytes:
        """The wrapping key of a leaf.

        Raises:
            UnknownKey: there is no such master key.
            KeyDestroyed: the leaf was forgotten.
        """
        if key_id not in self.keys:
            raise UnknownKey(key_id)
        return self.keys[key_id].wrapping_key(leaf)

    def is_forgotten(self, key_id: str, leaf: int) -> bool:
        """Whether this master key has forgotten this leaf.

        Raises:
            UnknownKey: there is no such master key.
        """
        try:
            self.wrapping_key(key_id, leaf)
        except KeyDestroyed:
            return True
        return False

    def forget(self, leaves: Iterable[tuple[str, int]]) -> KeyRing:
        """Without these leaves; those of master keys that are gone are gone with them."""
        keys = dict(self.keys)
        for key_id, leaf in leaves:
            if key_id in keys:
                keys[key_id] = keys[key_id].forget(leaf)
        return replace(self, keys=keys)

    def renew(self, now: datetime) -> KeyRing:
        """With a new master key as the current one."""
        day = f"{now:%Y-%m-%d}"
        key_id = next(name for number in range(1, len(self.keys) + 2) if (name := f"{day}-{number}") not in self.keys)
        return KeyRing(key_id, {**self.keys, key_id: MasterKey.new(key_id)})

    def retire(self) -> KeyRing:
        """With the current master key alone: whatever others sealed, backups included, is lost to everybody."""
        return KeyRing(self.current, {self.current: self.keys[self.current]})

    def as_json(self) -> dict[str, Any]:
        """For the key file."""
        keys = [
            {"id": key.key_id, "nodes": {at: base64.b64encode(secret).decode() for at, secret in sorted(key.nodes.items())}}
            for _, key in sorted(self.keys.items())
        ]
        return {"format": 1, "current": self.current, "keys": keys}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """From the key file.

        Raises:
            BadKeys: it is not of that form, or a key is weak.
        """
        try:
            if document["format"] != 1:
                raise ValueError
            keys = {}
            for one in document["keys"]:
                key_id, nodes = one["id"], one["nodes"]
                if _ID.fullmatch(key_id) is None or key_id in keys or not all(map(_PREFIX.fullmatch, nodes)):
                    raise ValueError
                keys[key_id] = MasterKey(key_id, {at: decode(text, key_id) for at, text in nodes.items()})
            current = document["current"]
            if current not in keys:
                raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadKeys("密钥文件的格式不对", "the key file is not of the form that the vault writes") from None
        return cls(current, keys)
