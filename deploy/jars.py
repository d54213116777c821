"""Apache Kafka's own jars: fetched by coordinate, checked against the committed list before anything runs them.

`jgo` fetches each file; which files, and what must be in them, is said by `kafka-jars.sha256` alone, so no dependency is resolved on the user's machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.words import Trouble

KAFKA_VERSION = "4.4.0"
LIST = Path(__file__).with_name("kafka-jars.sha256")
DOWNLOADS_AT_ONCE = 6
TIMEOUT_SECONDS = 60
TRIES = 3

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar: where it is known by, and the SHA-256 of its bytes in hexadecimal."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """group:artifact:version."""
        return f"{self.group}:{self.artifact}:{self.version}"


def pinned(text: str | None = None) -> tuple[Jar, ...]:
    """Read the list: a line is `<sha256>  <group>:<artifact>:<version>`.

    Raises:
        ValueError: a line is not of that form.
    """
    jars = []
    for line in (LIST.read_text(encoding="utf-8") if text is None else text).splitlines():
        digest, coordinate = line.split()
        group, artifact, version = coordinate.split(":")
        if len(digest) != 64:
            raise ValueError(f"not a SHA-256: {line!r}")
        jars.append(Jar(group, artifact, version, digest))
    return tuple(jars)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(folder: Path, jars: Sequence[Jar]) -> list[Jar]:
    """Check every jar in the folder and give those that are missing.

    Raises:
        Trouble: a jar is there, but it is not the one that was pinned.
    """
    missing = []
    for jar in jars:
        path = folder / jar.name
        if not path.exists():
            missing.append(jar)
        elif digest_of(path) != jar.sha256:
            raise Trouble(
                f"{path} 与清单中的 SHA-256 不符，可能已损坏或被篡改，拒绝使用。请删除该文件后重试。",
                f"{path} does not have the SHA-256 that was pinned: broken or tampered with, so it is not used. Delete the file and try again.",
            )
    return missing


def _fetch(jar: Jar, folder: Path) -> None:
    # Here and not above: it happens once, and every command imports this module.
    import requests
    from jgo.maven import MavenContext

    repository = os.environ.get("LASTMETRE_MAVEN")
    remote = {"own": repository.rstrip("/")} if repository else None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        for attempt in range(1, TRIES + 1):
            context = MavenContext(repo_cache=Path(scratch) / str(attempt), remote_repos=remote, timeout=TIMEOUT_SECONDS)
            try:
                found = context.create_dependency(jar.coordinate).artifact.resolve()
                break
            except (requests.RequestException, RuntimeError, OSError) as fault:
                if attempt == TRIES:
                    raise Trouble(
                        f"无法下载 {jar.name}：{fault}。请检查网络或代理；证书不受信任时用 REQUESTS_CA_BUNDLE 指定 CA；也可用 LASTMETRE_MAVEN 指定镜像仓库。",
                        f"Could not download {jar.name}: {fault}. Check the network or the proxy; where its certificate "
                        "is not trusted, REQUESTS_CA_BUNDLE names the file of its authority; LASTMETRE_MAVEN can name a mirror.",
                    ) from fault
        if digest_of(found) != jar.sha256:
            raise Trouble(
                f"下载的 {jar.name} 与清单中的 SHA-256 不符，已丢弃。请检查网络或镜像后重试。",
                f"The {jar.name} that was downloaded does not have the SHA-256 that was pinned; it was thrown away. Check the network or the mirror.",
            )
        kept = folder / jar.name
        partial = Path(scratch) / jar.name
        shutil.copyfile(found, partial)
        partial.replace(kept)


def ensure(cache: Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Give the checked jars in `cache`, fetching what is missing. `progress(done, total)` is called as each arrives.

    Raises:
        Trouble: a jar is not the pinned one, or could not be fetched.
    """
    jars = pinned()
    folder = cache / f"kafka-{KAFKA_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = check(folder, jars)
    if missing:
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            for done, _ in enumerate(pool.map(lambda jar: _fetch(jar, folder), missing), start=1):
                if progress is not None:
                    progress(done, len(missing))
    return tuple(folder / jar.name for jar in jars)
