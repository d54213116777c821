"""`python -m benchmarks.claims`: many members tap "claim" on the same wish in the same instant, again and again.

Each is signed in and has a connection of their own.
Everything is real: sessions and form tokens, the HTTP gateway, Kafka, the matcher, PostgreSQL. A member waits from their tap to the whole answer. The members
run in this process, with no more code than it takes to write a request and read an answer, as they share the processors with what they measure.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import psutil
import typer
import uvloop

from deploy.state import default_folder
from deploy.whatif.counting import percentile
from services.gateway.edge import SESSION_COOKIE
from services.gateway.guard import CSRF_HEADER, form_token
from tests.browser.people import session_of, volunteer
from tests.browser.stage import Stage, stage

SKILL: Final = "haircut"
_TOGETHER: Final = 20
_ANSWER_SECONDS: Final = 30.0


@dataclass(slots=True)
class Member:
    """One member's phone: an open connection and a session."""

    ref: str
    secret: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str

    @classmethod
    async def connect(cls, url: str, ref: str, secret: str) -> Self:
        """Open the connection."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        return cls(ref, secret, reader, writer, place.netloc)

    async def look(self) -> None:
        """Open a page, over a new connection where the server has closed this one meanwhile, as a phone does."""
        sent = self.request("GET", "/offline", "text/html")
        try:
            await self.ask(sent)
        except (OSError, asyncio.IncompleteReadError):
            self.writer.close()
            host, _, port = self.host.partition(":")
            self.reader, self.writer = await asyncio.open_connection(host, int(port))
            await self.ask(sent)

    def request(self, method: str, path: str, accept: str) -> bytes:
        """A request as a browser would send it, with this member's cookie and form token."""
        lines = [
            *(f"{method} {path} HTTP/1.1", f"host: {self.host}", f"accept: {accept}", f"cookie: {SESSION_COOKIE}={self.secret}"),
            *(f"{CSRF_HEADER}: {form_token(self.secret)}", "content-type: application/x-www-form-urlencoded", "content-length: 0", "", ""),
        ]
        return "\r\n".join(lines).encode()

    async def ask(self, sent: bytes) -> tuple[int, bytes]:
        """Send it, and read the whole answer: status and body."""
        self.writer.write(sent)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        return int(head[9:12]), await self.reader.readexactly(length)


@dataclass(slots=True)
class Found:
    """What was measured: answers by kind, milliseconds of each, winners and matches of each round, and what the taps cost each process."""

    answers: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    winners: list[int] = field(default_factory=list)
    matches: list[int] = field(default_factory=list)
    processor_seconds: Counter[str] = field(default_factory=Counter)

    @property
    def sound(self) -> bool:
        """One winner in every round, by the answers and by the board; and an answer for everyone."""
        return set(self.winners) == {1} and set(self.matches) == {1} and not self.answers.keys() - {"granted", "refused"}


def _used(running: Stage) -> dict[str, float]:
    """Processor seconds that each process has used; `phones` is this one."""
    pids = {service.name: service.pid for service in running.stack.services} | {"phones": os.getpid()}
    times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items() if pid is not None}
    return {name: used.user + used.system for name, used in times.items()}


async def _round(running: Stage, members: Sequence[Member], found: Found) -> None:
    wish = await running.town.wish("请一位邻居理发", SKILL)
    await running.town.wish_is(wish, "open")
    for first in range(0, len(members), _TOGETHER):  # they look at a page first, some at a time
        await asyncio.gather(*(member.look() for member in members[first : first + _TOGETHER]))
    requests = [member.request("POST", f"/wall/{wish}/claim", "application/json") for member in members]

    async def tap(member: Member, sent: bytes) -> tuple[str, float]:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                status, body = await member.ask(sent)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as fault:
            return type(fault).__name__, (time.perf_counter() - begun) * 1000
        took = (time.perf_counter() - begun) * 1000
        return (str(json.loads(body)["answer"]) if status == 200 else f"status {status}"), took

    before = _used(running)
    told = await asyncio.gather(*(tap(member, sent) for member, sent in zip(members, requests, strict=True)))
    found.processor_seconds.update({name: used - before[name] for name, used in _used(running).items()})
    found.answers.update(answer for answer, _ in told)
    found.milliseconds.extend(took for _, took in told)
    found.winners.append(sum(answer == "granted" for answer, _ in told))
    await running.town.match_is(wish, "proposed", "agreed", "confirmed")
    count = "SELECT count(*) FROM gateway.matches WHERE wish_id = $1 AND state <> 'released'"
    found.matches.append(int(await running.town.board.fetchval(count, wish)))


async def tapped(running: Stage, members: int, rounds: int, others: int) -> Found:
    """On a stage that runs: so many members and rounds; `others` are wishes that wait beside the one that is claimed, as on a wall in use."""
    found = Found()
    refs = [f"vol-tap-{number}" for number in range(members)]
    for ref in refs:
        await running.town.offer(ref, skills=(SKILL,))
    waiting = [await running.town.wish(f"另一件事 {number}", SKILL, hours=(200, 300)) for number in range(others)]
    await running.town.shows("SELECT count(*) = $1 FROM gateway.offers WHERE volunteer_ref = ANY($2)", members, refs)
    await running.town.shows("SELECT count(*) = $1 FROM gateway.wishes WHERE wish_id = ANY($2)", others, waiting)
    # Sessions written as the owner: what is measured is the claim, not two hundred passwords.
    secrets = [await session_of(running.town.board, volunteer(ref)) for ref in refs]
    taps = [await Member.connect(running.url, ref, secret) for ref, secret in zip(refs, secrets, strict=True)]
    for _ in range(rounds):
        await _round(running, taps, found)
    for member in taps:
        member.writer.close()
    return found


async def measure(folder: Path, members: int, rounds: int, others: int) -> Found:
    """The same on a stage of its own."""
    async with stage(folder) as running:
        return await tapped(running, members, rounds, others)


def main(
    members: Annotated[int, typer.Option(min=2, help="How many tap at once.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="How often.")] = 50,
    others: Annotated[int, typer.Option(min=0, help="How many other wishes wait on the wall.")] = 20,
    folder: Annotated[Path | None, typer.Option(help="Where the servers keep their data; by default in .lastmetre, never in memory.")] = None,
) -> None:
    """Members claim the same wish at once; the exit code is 1 unless each round has one winner and everyone an answer."""
    parent = folder or default_folder() / "benchmarks"
    parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="claims-", dir=parent))
    found = uvloop.run(measure(place, members, rounds, others))
    told: dict[str, Any] = {
        "members": members,
        "rounds": rounds,
        "winners_each_round": sorted(set(found.winners)),
        "matches_each_round": sorted(set(found.matches)),
        "answers": dict(found.answers),
        "processor_ms_per_claim": {name: round(used * 1000 / len(found.milliseconds), 2) for name, used in found.processor_seconds.items()},
        **{f"p{share:g}_ms": round(percentile(sorted(found.milliseconds), share / 100), 1) for share in (50, 90, 99, 100)},
    }
    print(json.dumps(told, indent=1))
    if not found.sound:
        print(f"unsound; logs: {place / 'logs'}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(place)


if __name__ == "__main__":
    typer.run(main)
