"""`python -m tests.canary`: the whole scene, and what was found. Exit code 0 where nothing was in plain and the erased person's backup does not open, else 1.

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
        verdict = asyncio.run(Scene(folder, given.seed).run(given.also))
    print(f"seed {given.seed}: {verdict.files} files, {verdict.bytes / 1e6:.0f} MB searched, before and after the erasure")
    for hit in verdict.hits:
        print(f"FOUND {hit.canary} as {hit.form} in {hit.file}")
    for place, count in verdict.opened.items():
        print(f"fields that opened with the key file of then: {count:2} ({place})")
    print("clean" if verdict.is_clean else "NOT CLEAN")
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
