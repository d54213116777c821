"""`python -m tests.canary`: the vault's scene, then the whole town, and what was found. Exit code 0 where nothing was in plain anywhere, and what the erased
person left behind does not open, also not from a backup; else 1.

    python -m tests.canary [--seed N] [--keep FOLDER] [--also FOLDER ...]

`--also` adds folders to the search, such as a Kafka's data and logs; `--keep` leaves everything there to be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.canary.scene import Scene, quiet
from tests.canary.town import Town


def main(arguments: list[str]) -> int:
    """Run it and print the verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.canary", description="searches every byte on the disk for people that were put into the vault")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="the people that are invented; printed")
    parser.add_argument("--keep", type=Path, help="an empty or new folder that stays")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more folders to search")
    given = parser.parse_args(arguments)
    quiet()
    with tempfile.TemporaryDirectory(prefix="canary-") as made:
        folder: Path = given.keep or Path(made)
        Path(made).chmod(0o755)  # started by root, PostgreSQL runs as somebody else, who must get in
        folder.mkdir(parents=True, exist_ok=True)
        verdict = asyncio.run(Scene(folder / "scene", given.seed).run(given.also))
        town = asyncio.run(Town(folder / "town", given.seed).run())
    print(f"seed {given.seed}: {verdict.files} files, {verdict.bytes / 1e6:.0f} MB searched, before and after the erasure")
    for hit in verdict.hits:
        print(f"FOUND {hit.canary} as {hit.form} in {hit.file}")
    for place, count in verdict.opened.items():
        print(f"fields that opened with the key file of then: {count:2} ({place})")
    print(f"the town: {town.files} files, {town.bytes / 1e6:.0f} MB, {town.records} records of Kafka ({', '.join(sorted(town.codecs))})")
    print(f"it told people {town.messages} times by text message and {town.mails} times by mail, after {town.looks} looks into the vault")
    for hit in town.hits:
        print(f"FOUND {hit.canary} as {hit.form} in {hit.file}")
    for file in sorted(town.unread):
        print(f"NOT READ {file}")
    for wish_id, reason in sorted(town.failed.items()):
        print(f"not confirmed: {wish_id} ({reason})")
    print(f"the erased person's key is {'gone' if town.key_is_gone else 'STILL THERE'}")
    clean = verdict.is_clean and town.is_clean
    print("clean" if clean else "NOT CLEAN")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
