"""Texts that must be short: what a text message says where the whole text, with its signature, has more than 140 characters.

Chinese texts fit as they are; English ones take the short form here. It says the same: what kind of help, when, how near; never who.
"""

from datetime import datetime
from typing import Final

from services.notifier.book import Notice
from services.notifier.notices import words_of
from services.notifier.routes import LOCAL

SMS_CHARACTERS_MAX: Final = 140

_SHORT: Final[dict[tuple[str, ...], str]] = {
    ("asked", "volunteer"): "Could you help a neighbour {near}? {category}, {when}. Please answer in the app.",
    ("invited", "volunteer"): "A neighbour near you needs help soon. Could you come? The first yes counts; please answer in the app.",
    ("confirmed", "resident"): "A volunteer {near} comes {when} ({category}).",
    ("confirmed", "volunteer"): "It is settled: {when}, {category}, a neighbour {near}. Thank you!",
    ("released", "resident"): "Sorry: {when} ({category}) can't take place. We look for another helper.",
    ("released", "resident", "withdrawn"): "{when} ({category}) is cancelled, as the wish was withdrawn.",
    ("released", "volunteer"): "{when} ({category}) is cancelled: please do not set out. Thank you!",
    ("released", "volunteer", "declined"): "{when} ({category}) is off your list. Thank you for telling us!",
    ("released", "volunteer", "group_incomplete"): "{when} ({category}): your companion is missing, please do not set out. Thank you!",
    ("expired", "resident"): "Sorry: by its deadline we had not found enough helpers for your wish.",
    ("widened", "worker"): "A wish has found nobody nearby and asks further. Please look at your desk.",
    ("unmet", "worker"): "Nobody can help with a wish as yet. Please look at your desk.",
}


def short_time(slot: tuple[str, str] | None) -> str:
    """The slot in local time, in English: `Wed 23 Sep 16:00-17:00`."""
    if slot is None:
        return ""
    begins, ends = (datetime.fromisoformat(one.upper()).astimezone(LOCAL) for one in slot)
    day = f"{begins:%a} {begins.day} {begins:%b}"
    return f"{day} {begins:%H:%M}-{ends:%H:%M}"


def signed_text(text: str, sign: str | None) -> str:
    """A text message as it arrives: the sender's signature stands in front."""
    return f"【{sign}】{text}" if sign else text


def sms_text(notice: Notice, sign: str | None) -> str:
    """A notice as a text message, with the signature, within 140 characters."""
    whole = signed_text(notice.text, sign)
    template = _SHORT.get((notice.kind, notice.party, notice.reason or "")) or _SHORT.get((notice.kind, notice.party))
    if len(whole) <= SMS_CHARACTERS_MAX or template is None or notice.language != "en":
        return whole
    words = words_of("en", category=notice.category or "other", rung=notice.rung or "area", slot=None)
    return signed_text(template.format(**(words | {"when": short_time(notice.slot)})), sign)
