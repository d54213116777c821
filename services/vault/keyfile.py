"""The key file: where the master keys lie, outside PostgreSQL, so that neither a dump nor WAL holds what opens the other.

Read by every process that uses the vault, rewritten under a lock by whoever erases or rotates, and read again as soon as it has changed.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from services.vault.faults import BadKeys, DoesNotOpen
from services.vault.keys import KeyRing, decode
from services.vault.sealing import decrypt, encrypt

_IDENTITY: Final = b"lastmetre vault key file"


def outer_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets of `LASTMETRE_VAULT_SECRET`: base64, separated by commas; the first seals, each may open.

    Raises:
        BadKeys: one is weak or not base64.
    """
    return tuple(decode(one.strip(), "LASTMETRE_VAULT_SECRET") for one in text.split(",") if one.strip())


class KeyFile:
    """The master keys on disk. With outer secrets (from the environment) the file itself is sealed, and useless without one of them."""

    def __init__(self, path: Path, outer: Sequence[bytes] = ()) -> None:
        self.path = path
        self._outer = tuple(outer)
        self._known: tuple[tuple[int, int, int], KeyRing] | None = None

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r})"

    def create(self, now: datetime) -> None:
        """Make the file with one new master key, mode 0600.

        Raises:
            BadKeys: there is one already; it is never replaced, as what it sealed would be lost.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.path.exists():
                raise BadKeys(f"密钥文件已存在，不会覆盖：{self.path}", f"there is a key file already, which is not replaced: {self.path}")
            self._write(KeyRing.new(now))

    def ring(self) -> KeyRing:
        """The master keys as they are now; the file is read only when it has changed.

        Raises:
            BadKeys: it is missing, open to others, weak, or sealed with a secret that was not given.
        """
        try:
            while True:
                with self.path.open("rb") as file:
                    found = os.fstat(file.fileno())
                    mark = (found.st_ino, found.st_mtime_ns, found.st_size)
                    if self._known is not None and self._known[0] == mark:
                        return self._known[1]
                    if stat.S_IMODE(found.st_mode) & 0o077:
                        raise BadKeys(f"密钥文件 {self.path} 可被他人读取：请运行 chmod 600", f"others may read the key file {self.path}: run chmod 600 on it")
                    content = file.read()
                    # Once it is replaced, the old file's bytes are overwritten: then some of them may be what was read here.
                    if self.path.stat().st_ino == found.st_ino:
                        break
            ring = self._parse(content)
        except FileNotFoundError:
            raise BadKeys(
                f"没有密钥文件 {self.path}。新建：python3 -m deploy vault new-keys；若数据库中已有人员，请恢复原来的文件",
                f"there is no key file {self.path}. Make one: python3 -m deploy vault new-keys; where people are sealed already, restore the one that did",
            ) from None
        except OSError as fault:
            raise BadKeys(f"无法读取密钥文件 {self.path}（{fault.strerror}）", f"the key file {self.path} cannot be read ({fault.strerror})") from fault
        self._known = (mark, ring)
        return ring

    def change(self, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
        """Rewrite the file under its lock, starting from what is in it now: nobody's older copy brings back what was forgotten.

        It is on the disk when this returns, and the bytes of the old file are overwritten first where the file system does that in place.

        Raises:
            BadKeys: as `ring`, or it cannot be written.
        """
        try:
            with self._locked():
                before = self.ring()
                after = change(before)
                if after.as_json() != before.as_json():
                    self._write(after)
                return self.ring()
        except OSError as fault:
            raise BadKeys(f"无法写入密钥文件 {self.path}（{fault.strerror}）", f"the key file {self.path} cannot be written ({fault.strerror})") from fault

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, ring: KeyRing) -> None:
        plain = orjson.dumps(ring.as_json())
        document = {"format": 1, "sealed": base64.b64encode(encrypt(self._outer[0], plain, _IDENTITY)).decode()} if self._outer else ring.as_json()
        old = os.open(self.path, os.O_RDWR) if self.path.exists() else None
        try:
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mkstemp gives mode 0600
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the name, too, survives a power cut
            finally:
                os.close(folder)
            if old is not None:
                os.pwrite(old, secrets.token_bytes(os.fstat(old).st_size), 0)
                os.fsync(old)
        finally:
            if old is not None:
                os.close(old)

    def _parse(self, content: bytes) -> KeyRing:
        try:
            document: Any = orjson.loads(content)
        except orjson.JSONDecodeError:
            document = None
        sealed = document.get("sealed") if isinstance(document, dict) else None
        if sealed is None:
            return KeyRing.from_json(document)
        for secret in self._outer:
            with contextlib.suppress(DoesNotOpen, ValueError, TypeError):
                return KeyRing.from_json(orjson.loads(decrypt(secret, base64.b64decode(sealed), _IDENTITY)))
        raise BadKeys(
            "密钥文件用 LASTMETRE_VAULT_SECRET 加封，而所给的都打不开它",
            "the key file is sealed with a LASTMETRE_VAULT_SECRET, and none that was given opens it",
        )
