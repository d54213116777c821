"""`publish`: what it reads, and what it says of that for which it waited."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.tools.publish import Following, Line, read_lines
from deploy.tools.wording import Lang
from schemas import codec
from schemas.codec import Event
from tests.builders import claim, event

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    topic: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


@dataclass
class Source:
    """Gives what it has at once, then nothing."""

    records: list[Record] = field(default_factory=list)

    async def getmany(self, **_: Any) -> dict[str, list[Record]]:
        given, self.records = self.records, []
        return {"matches": given}


def refused(said: Event) -> Record:
    data = {"claim_id": said.data.claim_id, "wish_id": said.data.wish_id, "offer_id": said.data.offer_id, "reason": "not_open"}
    return Record("matches", codec.structured(event("claim.rejected.v1", said.data.wish_id, data)), (("content-type", b"application/cloudevents+json"),))


async def followed(claims: list[Event], *records: Record, lang: Lang = "both") -> tuple[bool, str]:
    out = io.StringIO()
    lines = [Line("file:1", b"", "responses", None, said) for said in claims]
    done = await Following(lines, Console(file=out, width=200), lang).follow(Source(list(records)), 0.05)
    return done, out.getvalue()


async def test_a_claim_without_an_answer_is_not_said_to_be_done() -> None:
    done, said = await followed([claim("w1", "o1")])
    assert not done
    assert "服务 o1 对心愿 w1 的认领还没有结果" in said
    assert "the claim of offer o1 on wish w1 has no answer yet" in said


async def test_a_claim_that_is_refused_has_its_answer() -> None:
    first = claim("w1", "o1")
    done, said = await followed([first], refused(first), lang="en")
    assert done
    assert "no answer yet" not in said


async def test_an_answer_to_one_claim_is_none_to_another_on_the_same_wish() -> None:
    first, second = claim("w1", "o1"), claim("w1", "o2", claim_id="k2")
    done, said = await followed([first, second], refused(first), lang="en")
    assert not done
    assert "the claim of offer o2 on wish w1 has no answer yet" in said


def test_a_byte_order_mark_is_no_part_of_an_event_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = BOM + codec.structured(claim()) + b"\r\n"
    file = tmp_path / "claim.jsonl"
    file.write_bytes(written)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written)))
    assert 2 == len(read_lines([str(file), "-"], raw=False))
