"""A journal, decided again: no difference where it is whole, and every tampering shows."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from schemas import codec
from schemas.codec import Event
from schemas.instants import rfc3339
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.replay import Entry, Replay, differences, entry_of_line, main
from services.matcher.written import decision_text
from tests.builders import AREA, claim, declined, minors_wish, offer, offer_suspended, service, wish, wish_withdrawn

DAY = [
    offer("o1", at=0, capacity=2),
    wish("w1", urgency="red", at=1),
    wish("w1", urgency="red", at=2),
    offer("o2", at=3, home="c2"),
    minors_wish("w2", at=4, wanted=(60, 240)),
    claim("w9", "o2", at=5),
    service("started", at=6),
    wish_withdrawn("w1", at=7),
    wish("w3", urgency="red", at=8, skills=["repair"], wanted=(0, 100)),
    offer_suspended("o2", at=200),
    declined("w2", "o1", at=201),
]


def journal_of(*events: Event) -> list[Entry]:
    """The journal as the matcher would keep it."""
    area, entries = Area(AREA, Policy()), list[Entry]()
    for event in events:
        now = max(area.clock, event.time)
        changed, decisions = pass_time(area, now)
        if changed:
            entries.append(Entry(0, len(entries), AREA, now, "time", "decided", None, decision_text(AREA, now, decisions)))
        outcome, decisions = decide(area, event, now)
        text = decision_text(AREA, now, decisions)
        entries.append(Entry(0, len(entries), AREA, now, "event", outcome, codec.structured(event), text))
    return entries


def line_of(entry: Entry) -> bytes:
    event = None if entry.event is None else orjson.loads(entry.event)
    row = {"lane": entry.lane, "seq": entry.seq, "area": entry.area, "at": rfc3339(entry.at), "kind": entry.kind, "outcome": entry.outcome}
    return orjson.dumps({**row, "topic": None, "partition": 0, "offset": None, "event": event, "decision": orjson.loads(entry.decision)})


@pytest.fixture
def journal() -> list[Entry]:
    return journal_of(*DAY)


def test_a_whole_journal_is_decided_alike(journal: list[Entry]) -> None:
    assert {"event", "time"} == {entry.kind for entry in journal}
    assert {"decided", "no_effect"} == {entry.outcome for entry in journal}
    assert [] == list(differences(journal))


def test_lines_hold_the_same_bytes_as_rows(journal: list[Entry]) -> None:
    assert journal == [entry_of_line(line_of(entry)) for entry in journal]


def test_a_changed_decision_shows(journal: list[Entry]) -> None:
    journal[1] = replace(journal[1], decision=journal[1].decision.replace(b"unit", b"area"))
    assert [("decision", journal[1].seq)] == [(one.what, one.seq) for one in differences(journal)]


def test_a_changed_outcome_shows(journal: list[Entry]) -> None:
    journal[2] = replace(journal[2], outcome="decided")
    assert ["outcome"] == [one.what for one in differences(journal)]


def test_a_missing_event_shows_in_what_follows(journal: list[Entry]) -> None:
    assert [] != list(differences(journal[1:]))


def test_time_that_was_not_journalled_shows(journal: list[Entry]) -> None:
    assert "time" in [one.what for one in differences([entry for entry in journal if entry.kind != "time"])]


def test_an_event_that_is_not_valid_shows(journal: list[Entry]) -> None:
    journal[1] = replace(journal[1], event=b"{}")
    assert "event" == next(one.what for one in differences(journal))


def test_a_repeat_has_no_effect_wherever_it_stands(journal: list[Entry]) -> None:
    repeat = replace(journal[1], lane=5, outcome="duplicate", decision=b"[]")
    assert [] == list(differences([*journal, repeat]))
    assert [] == list(differences([repeat, *journal]))


def test_an_event_that_was_decided_twice_shows(journal: list[Entry]) -> None:
    assert ["outcome", "decision"] == [one.what for one in differences([*journal, journal[1]])]


def test_a_repeat_of_nothing_shows(journal: list[Entry]) -> None:
    other = codec.structured(wish("w77", event_id="never-seen"))
    repeat = replace(journal[1], event=other, outcome="duplicate", decision=b"[]")
    assert [("outcome", "duplicate", "decided")] == [(one.what, one.written, one.now) for one in differences([*journal, repeat])]


def test_of_repeats_and_of_what_was_seen_no_event_is_kept(journal: list[Entry]) -> None:
    again = Replay()
    repeat = replace(journal[1], outcome="duplicate", decision=b"[]")
    for entry in (repeat, *journal, repeat):
        again.again(entry)
    assert {} == again.repeats
    again.again(replace(repeat, event=codec.structured(wish("w77", event_id="never-seen"))))
    assert [None] == [entry.event for entry in again.repeats.values()]


def test_the_command_counts_and_exits_by_what_it_found(journal: list[Entry], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(line_of(entry) + b"\n" for entry in journal))
    assert 0 == main([str(path)])
    assert f"{len(journal)} entries decided again, 0 differences" in capsys.readouterr().out
    journal[1] = replace(journal[1], decision=b"[]")
    path.write_bytes(b"".join(line_of(entry) + b"\n" for entry in journal))
    assert 1 == main([str(path)])
    said = capsys.readouterr().out
    assert f"lane 0 seq {journal[1].seq} area {AREA}: decision" in said
    assert "1 differences" in said
