"""A month to compare on: read from a journal, from a file of events, or made by the published generator.

What comes of itself (wishes, offers, withdrawals, suspensions, claims) is kept; what people answered to matches is only learnt from. A line that is not
valid is counted and left out, as the services would put it among the dead letters.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from deploy.tools.wording import Words
from deploy.whatif.answers import Answers, Estimated, Published, Recorded
from deploy.whatif.course import Arrival
from deploy.whatif.generator import Shape, generate
from schemas import codec, topics
from schemas.codec import Event
from schemas.errors import TOO_LARGE, InvalidEvent
from schemas.instants import MINUTE_US
from services.matcher.replay import DUPLICATE, TIME, Entry, entry_of_line

JOURNAL: Final = "journal"
EVENTS: Final = "events"
GENERATED: Final = "generated"
_TAKEN: Final = frozenset(
    f"lastmetre.{kind}.v1"
    for kind in ("wish.submitted", "wish.withdrawn", "consent.withdrawn", "offer.posted", "offer.withdrawn", "offer.suspended", "wish.claimed")
)
_ACCEPTED: Final = "lastmetre.match.accepted.v1"
_DECLINED: Final = "lastmetre.match.declined.v1"
_APPROVED: Final = "lastmetre.match.approved.v1"
_FAULTS_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that was left out, and why."""

    line: int
    words: Words


@dataclass(slots=True)
class Month:
    """What happened. `kind`: one of JOURNAL, EVENTS, GENERATED. `faults` has the first few of `faulty` lines that were left out.

    `learnt`: how many answers of helpers the chances come from; None: the generator's own. `skipped`: valid events that belong to matches of their own time.
    """

    name: str
    kind: str
    arrivals: dict[str, list[Arrival]]
    answers: Answers
    lines: int = 0
    faulty: int = 0
    faults: list[Fault] = field(default_factory=list)
    repeats: int = 0
    skipped: int = 0
    learnt: int | None = None

    @property
    def events(self) -> int:
        """How many events come of themselves."""
        return sum(map(len, self.arrivals.values()))


@dataclass(slots=True)
class _Asked:
    """A helper who was asked in the recorded month, and has not answered yet; or `told`, who was to come."""

    at: int
    volunteer: str
    urgency: str
    told: bool


@dataclass(slots=True)
class _Reader:
    arrivals: dict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    recorded: Recorded = field(default_factory=Recorded)
    seen: set[tuple[str, str]] = field(default_factory=set)
    volunteers: dict[tuple[str, str], str] = field(default_factory=dict)
    urgencies: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: dict[tuple[str, str, str], _Asked] = field(default_factory=dict)
    spoken: set[tuple[str, str, str]] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, event: Event, at: int, *, journal: bool) -> None:
        """One valid event, and when it was decided upon."""
        identity = (event.source, event.id)
        if identity in self.seen:
            self.counts["repeats"] += 1
            return
        self.seen.add(identity)
        area, data = event.area, event.data
        if event.type in _TAKEN:
            self.arrivals[area].append(Arrival(at, event))
            if event.type == "lastmetre.offer.posted.v1":
                self.volunteers[area, data.offer_id] = data.volunteer_ref
            elif event.type == "lastmetre.wish.submitted.v1":
                self.urgencies.setdefault((area, data.wish_id), data.urgency)
            return
        self.counts["skipped"] += 1
        if event.type in (_ACCEPTED, _DECLINED):
            self.hear(area, data, at, yes=event.type == _ACCEPTED, journal=journal)
        elif event.type == _APPROVED:
            self.recorded.approved += data.approved
            self.recorded.refused += not data.approved

    def hear(self, area: str, data: Any, at: int, *, yes: bool, journal: bool) -> None:
        """A helper's word. A journal says who was asked, and when; a file of events leaves that to be guessed: a first word is an answer."""
        key = (area, data.wish_id, data.offer_id)
        if journal:
            asked = self.asked.get(key)
            if asked is None or (asked.told and yes):
                return
            del self.asked[key]
            if asked.told:
                self.recorded.called_off += 1
                return
            self.recorded.add(area, asked.volunteer, yes=yes)
            self.recorded.delays[asked.urgency].append(max(at - asked.at, 0))
            if yes:
                self.recorded.told += 1
                self.asked[key] = _Asked(at, asked.volunteer, asked.urgency, told=True)
        elif key not in self.spoken and (volunteer := self.volunteers.get((area, data.offer_id))) is not None:
            self.spoken.add(key)
            self.recorded.add(area, volunteer, yes=yes)

    def decided(self, area: str, at: int, decisions: Iterable[dict[str, Any]]) -> None:
        """What the matcher told in the recorded month: who was asked, who was told, and who let the time pass."""
        for one in decisions:
            kind, data = one["type"], one["data"]
            if kind not in {"lastmetre.match.proposed.v1", "lastmetre.helper.invited.v1", "lastmetre.match.released.v1"}:
                continue
            key = (area, data["wish_id"], data["offer_id"])
            if kind == "lastmetre.match.released.v1":
                asked = self.asked.pop(key, None)
                if asked is not None and not asked.told and data["reason"] == "unanswered":
                    self.recorded.add(area, asked.volunteer, yes=None)
                continue
            told = not data.get("needs_answer", True)
            if told and (before := self.asked.get(key)) is not None and before.told:
                continue  # invited, and has said yes: told already
            self.recorded.told += told
            volunteer = self.volunteers.get((area, data["offer_id"]), "")
            self.asked[key] = _Asked(at, volunteer, self.urgencies.get((area, data["wish_id"]), "blue"), told)

    def fault(self, line: int, words: Words) -> None:
        """A line that is left out."""
        self.counts["faulty"] += 1
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(Fault(line, words))

    def entry(self, number: int, entry: Entry) -> None:
        """One row of a journal."""
        if entry.outcome == DUPLICATE:
            self.counts["repeats"] += 1
            return
        try:
            event = None if entry.kind == TIME or entry.event is None else codec.decode_structured(entry.event)
        except InvalidEvent as fault:
            self.fault(number, _words(fault))
            return
        if event is not None:
            self.take(event, entry.at, journal=True)
        self.decided(entry.area, entry.at, orjson.loads(entry.decision))

    def month(self, name: str, kind: str, seed: int) -> Month:
        """All that was read."""
        return Month(
            name=name,
            kind=kind,
            arrivals={area: self.arrivals[area] for area in sorted(self.arrivals)},
            answers=Estimated.of(self.recorded, seed),
            lines=self.counts["lines"],
            faulty=self.counts["faulty"],
            faults=self.faults,
            repeats=self.counts["repeats"],
            skipped=self.counts["skipped"],
            learnt=self.recorded.answers,
        )


def read(lines: Iterable[bytes], name: str, seed: int) -> Month:
    """A `journal.jsonl` that `play` wrote, or a file of events such as `play` takes; blank lines are none. The first line that is JSON says which."""
    reader = _Reader()
    numbered = ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
    kind = None
    loose: list[tuple[int, int, Event]] = []
    for number, line in numbered:
        reader.counts["lines"] += 1
        kind = kind or _kind(line)
        if kind == JOURNAL:
            try:
                entry = entry_of_line(line)
                reader.entry(number, entry)
            except (ValueError, KeyError, TypeError):
                reader.fault(number, ("不是日志的一行，请用 play 写出的 journal.jsonl", "is no row of a journal: give the journal.jsonl that play wrote"))
            continue
        try:
            if len(line) > topics.EVENT_MAX_BYTES:
                raise InvalidEvent(TOO_LARGE)
            event = codec.decode_structured(line)
            loose.append((event.time // MINUTE_US, number, event))
        except InvalidEvent as fault:
            reader.fault(number, _words(fault))
    # As `play` does: the lines of one minute in the file's order, and an area's clock is the highest time that it has seen.
    for _, _, event in sorted(loose, key=lambda one: one[:2]):
        reader.take(event, event.time, journal=False)
    return reader.month(name, kind or EVENTS, seed)


async def of_entries(entries: AsyncIterable[Entry], name: str, seed: int, told: Callable[[], None] = lambda: None) -> Month:
    """The journal of a running system, row by row; `told` hears of each."""
    reader, number = _Reader(), 0
    async for entry in entries:
        number += 1
        reader.counts["lines"] += 1
        reader.entry(number, entry)
        told()
    return reader.month(name, JOURNAL, seed)


def generated(shape: Shape, seed: int) -> Month:
    """One of the published streams; its helpers answer as it says."""
    stream = generate(shape, seed)
    events = stream.events()
    arrivals: dict[str, list[Arrival]] = defaultdict(list)
    for event in events:
        arrivals[event.area].append(Arrival(event.time, event))
    return Month(shape.name, GENERATED, dict(arrivals), Published(stream), lines=len(events))


def span(month: Month) -> tuple[int, int]:
    """The first and the last instant (microseconds) at which something came."""
    instants = [arrival.at for arrivals in month.arrivals.values() for arrival in arrivals]
    return min(instants), max(instants)


def wishes(month: Month) -> Iterator[tuple[str, Arrival]]:
    """(area, arrival) of every wish, the first that came under its id."""
    for area, arrivals in month.arrivals.items():
        known: set[str] = set()
        for arrival in arrivals:
            event = arrival.event
            if event.type == "lastmetre.wish.submitted.v1" and event.data.wish_id not in known:
                known.add(event.data.wish_id)
                yield area, arrival


def _kind(line: bytes) -> str | None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    return JOURNAL if {"lane", "seq", "decision"} <= document.keys() else EVENTS


def _words(fault: InvalidEvent) -> Words:
    zh, _, en = str(fault).partition(" | ")
    return zh, en or zh
