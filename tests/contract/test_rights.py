"""The table of rights in docs/security.md against the manifest."""

from __future__ import annotations

from pathlib import Path

from schemas.topics import PRINCIPALS, TOPICS, Topic

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def _right(topic: Topic, who: str) -> str:
    return " ".join(letter for letter, names in (("W", topic.writers), ("R", topic.readers)) if who in names)


def table() -> list[str]:
    """The table's lines, as the manifest has them."""
    heading = [f"| topic | {' | '.join(PRINCIPALS)} |", f"|---|{'---|' * len(PRINCIPALS)}"]
    return [*heading, *(f"| `{topic.name}` | {' | '.join(_right(topic, who) for who in PRINCIPALS)} |" for topic in TOPICS)]


def test_the_page_shows_the_rights_that_the_manifest_gives() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("holds this table against the manifest -->\n")[2].partition("<!-- rights end -->")[0]
    assert table() == shown.splitlines()
