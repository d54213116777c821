"""A notice in the language of whoever reads it: what one service says in one language another says in the other, word by word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from schemas.codec import decode_structured
from services.notifier.book import Book, Notice
from services.notifier.notices import LANGUAGES, Language
from services.notifier.said import in_each
from services.notifier.watch import Watched, Word
from services.notifier.watch_store import Looked
from services.notifier.watching import notice_of

SLOT = {"start": "2026-11-24T08:00:00+08:00", "end": "2026-11-24T09:00:00+08:00"}
PAIR = {"wish_id": "w-1", "offer_id": "o-1", "match_id": "m-1"}
ABOUT = {"rung": "building", "slot": SLOT, "volunteer_ref": "v-1", "category": "study", "urgency": "red", "expires_at": "2026-11-23T20:00:00Z"}
PROPOSED = PAIR | ABOUT | {"resident_ref": "r-1", "how": "paired", "reasons": [], "needs_answer": True, "minor": True}
UNMET = {"wish_id": "w-1", "need": {"skills": ["nursing", "walk"], "vetting": 2, "rung": "area"}}


def written(language: Language) -> dict[str, Notice]:
    """A notice of every kind to each side, as a service that writes this language does."""
    book = Book(language=language)

    def take(name: str, data: dict[str, Any]) -> None:
        event: dict[str, Any] = {"specversion": "1.0", "type": f"lastmetre.{name}.v1", "source": "lastmetre/matcher", "id": "e", "time": "2026-11-23T08:00:00Z"}
        event |= {"subject": "s", "partitionkey": "hightech", "data": {"area": "hightech", **data}}
        book.take(decode_structured(orjson.dumps(event)), 3)

    take("match.proposed", PROPOSED)
    take("match.agreed", PAIR)
    for notice in book.new_notices.values():
        notice.state = "sent"
    take("match.released", PAIR | {"reason": "unsafe", "cause": "match_approved"})
    take("helper.invited", {"wish_id": "w-1", "offer_id": "o-1", **ABOUT})
    take("wish.expired", {"wish_id": "w-9", "filled": 0, "resident_ref": "r-9", "category": "repair"})
    take("wish.widened", {"wish_id": "w-1", "reach": "compound"})
    take("wish.unmet", UNMET)
    looked = Looked("m-2", "w-2", "o-2", "hightech", 3, "v-2", "r-2", "repair", "community", (SLOT["start"], SLOT["end"]), WATCHED)
    words = [
        Word("resident", "reminder"), Word("volunteer", "reminder"), Word("volunteer", "report"), Word("resident", "feedback"),
        *(Word(party, kind) for party in ("household", "worker") for kind in ("not_started", "not_finished")),
    ]  # fmt: skip
    watched = [replace(notice_of(looked, word, language), category=looked.category, rung=looked.rung) for word in words]  # as they are read with their match
    return {f"{one.party} {one.kind}": one for one in [*book.new_notices.values(), *watched]}


WATCHED = Watched(0, 0, "yellow", standing=True, started=False, finished=False, acknowledged=False, household="v-9", looked_at=None)
BY_LANGUAGE = {language: written(language) for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", list(BY_LANGUAGE["en"]))
def test_what_is_written_in_one_language_can_be_read_in_each_as_if_it_were_written_so(name: str, language: Language) -> None:
    assert {one: notices[name].text for one, notices in BY_LANGUAGE.items()} == in_each(BY_LANGUAGE[language][name])


def test_every_side_is_told_something_in_this_test() -> None:
    assert {"resident", "volunteer", "worker", "household"} == {name.split()[0] for name in BY_LANGUAGE["en"]}
    assert {"worker widened", "worker unmet", "household not_started", "volunteer asked", "volunteer released"} <= BY_LANGUAGE["en"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_an_earlier_version_wrote_and_nobody_can_say_again_stays_as_it_is(language: Language) -> None:
    unmet = replace(BY_LANGUAGE[language]["worker unmet"], need=None)  # its row does not say what is needed
    assert {language: unmet.text} == in_each(unmet)
    reworded = replace(BY_LANGUAGE[language]["resident reminder"], text="…")
    assert {language: "…"} == in_each(reworded)
