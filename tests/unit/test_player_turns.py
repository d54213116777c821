"""In which turns `play` publishes the lines of one minute."""

from __future__ import annotations

import json

from deploy.player import Line, in_turns, read_lines


def line(source: str, name: str, kind: str = "wish.submitted", area: str = "gaoxin") -> bytes:
    return json.dumps({"source": source, "id": name, "type": f"lastmetre.{kind}.v1", "partitionkey": area, "time": "2026-11-23T08:00:00Z"}).encode()


def turns(*lines: bytes) -> list[list[tuple[str, str | None]]]:
    """What each turn publishes: topic, key."""

    def place(one: Line) -> tuple[str, str | None]:
        return one.topic, None if one.key is None else one.key.decode()

    return [list(map(place, part)) for part in in_turns(read_lines(lines))]


def test_a_minute_is_published_at_once_where_nothing_in_it_comes_again_elsewhere() -> None:
    lines = line("a", "1"), line("a", "1"), line("b", "1", "offer.posted"), line("a", "2", area="north"), b"no event", b"{}"
    assert [[("wishes", "gaoxin"), ("wishes", "gaoxin"), ("offers", "gaoxin"), ("wishes", "north"), ("wishes", None), ("wishes", None)]] == turns(*lines)


def test_what_comes_again_in_another_topic_or_under_another_key_comes_when_the_first_has_settled() -> None:
    again = line("a", "1", "offer.posted"), line("a", "1", area="north")
    assert [[("wishes", "gaoxin"), ("wishes", "gaoxin")], [("offers", "gaoxin"), ("wishes", "north")]] == turns(line("a", "1"), *again, line("a", "2"))


def test_a_minute_without_lines_has_no_turn() -> None:
    assert [] == turns()
