"""What a gateway's late word about a notice means: pure, no I/O and no clock.

`receipts` comes in with what gateways have left, and the rows that it is about. Every receipt ends with one outcome:

- `noted`: it says what counted already, or has no effect any more
- `settled`: a notice whose attempts seemed to have failed was heard after all, or one that lay unread was read
- `taken_back`: heard after it had stopped being true, or been given up; whoever heard it is told of the release, now or when it comes
- `next_channel`: it did not arrive, and another channel is tried
- `given_up`: it did not arrive, and nothing is left to try
- `contradicted`: "failed" about what is known to have been heard
- `superseded`: about a channel that had been left already
- none yet: the attempt that it is about is still under way
- `unknown`: about nothing that we know; kept apart, and looked at again
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from services.notifier.book import Book, Delivered, Notice, Told, Untold
from services.notifier.routes import Tried, noted, packed, tried_of, unpacked

Status = Literal["delivered", "failed", "read"]
Outcome = Literal["noted", "settled", "taken_back", "next_channel", "given_up", "contradicted", "superseded"]
UNKNOWN: Final = "unknown"
UNDELIVERED: Final = "not_delivered"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing that a gateway said. `key` is None where nobody knows what it is about; `heard`: it has said that the same was delivered or read."""

    id: int
    channel: str
    status: Status
    fault: str | None
    key: UUID | None
    match_id: str | None
    partition: int | None
    heard: bool


def received(book: Book, receipt: Receipt, notice: Notice, *, routed: bool, at: Callable[[str], str]) -> tuple[Outcome | None, list[Told | Untold]]:
    """(what comes of it, the matches that it ends); what it changes stands in the book.

    Args: `notice` is the book's own where it is about a match; `routed`: others may follow a channel that failed; `at` tells an area's clock.
    """
    if notice.state == "leased":
        return None, []  # its sender is about to say how it went
    if receipt.status == "failed":
        return _failed(book, receipt, notice, routed=routed)
    if notice.state == "sent":
        return "noted", []
    under_way = notice.state in {"pending", "retryable"}
    if under_way and receipt.status == "delivered" and tried_of(unpacked(notice.tried), receipt.channel).state == "placed":
        return "noted", []  # that it lies there is known; whether it was read is the question
    ends = book.learn(notice, Delivered(notice, "sent", at(notice.area), receipt.channel))
    return "settled" if under_way else "taken_back", ends


def _failed(book: Book, receipt: Receipt, notice: Notice, *, routed: bool) -> tuple[Outcome, list[Told | Untold]]:
    if receipt.heard:
        return "contradicted", []
    if notice.state in {"dead", "discarded"}:
        return "noted", []
    before = tried_of(unpacked(notice.tried), receipt.channel)
    if before.state == "failed" or (notice.state == "sent" and notice.channel != receipt.channel):
        return "superseded", []
    # The gateway's own code stays in its receipt, for whoever looks into it: what goes on from here into events has one of ours.
    notice.tried = packed(noted(unpacked(notice.tried), Tried(receipt.channel, max(before.attempts, 1), "failed", UNDELIVERED)))
    ends = book.learn(notice, Delivered(notice, "retryable" if routed else "dead", "", receipt.channel, UNDELIVERED))
    if notice.state == "retryable":
        return "next_channel", ends
    return "given_up" if notice.state == "dead" else "noted", ends
