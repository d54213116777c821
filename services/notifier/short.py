"""Texts that must be short: what a text message says where the whole text, with its signature, has more than 140 characters.

Chinese texts fit as they are; English ones take the short form here. It says the same: what kind of help, when, how near; never who.
"""

from datetime import datetime
from typing import Final

from services.notifier.book import Notice
from services.notifier.notices import LATE, OTHERS, Language, template_of, visit_time, words_of
from services.notifier.routes import LOCAL

SMS_CHARACTERS_MAX: Final = 140

# With a link behind them, where the whole text does not fit.
_SHORT_LINKED: Final[dict[Language, dict[tuple[str, ...], str]]] = {
    "zh-CN": {
        ("asked", "volunteer"): "{near}邻居需要「{category}」，{when}。您方便吗？答复：",
        ("invited", "volunteer"): "{near}邻居急需「{category}」，{when}。您能去吗？答复：",
        ("confirmed", "volunteer"): "约好了：{when}，{near}邻居「{category}」。来不了请点：",
        ("confirmed", "resident"): "{near}志愿者将于{when}前来（{category}）。查看：",
        ("confirmed", "resident", LATE): "抱歉来迟：{near}志愿者约定于{when}前来。没有人来，请告诉社区。查看：",
        ("reminder", "volunteer"): "提醒您：{when}，{near}邻居「{category}」。到了或来不了请点：",
        ("reminder", "resident"): "提醒您：{near}志愿者将于{when}前来。查看：",
        ("report", "volunteer"): "{when}的「{category}」结束了吗？请点：",
        ("feedback", "resident"): "{when}的「{category}」帮上忙了吗？请点：",
    },
    "en": {
        ("asked", "volunteer"): "{category}, {when}: could you? ",
        ("invited", "volunteer"): "A neighbour needs help soon. Could you come? ",
        ("confirmed", "volunteer"): "Settled: {when}, {category}. Can't make it? ",
        ("confirmed", "resident"): "A volunteer comes {when}. ",
        ("confirmed", "resident", LATE): "Sorry, late: a volunteer was to come {when}. ",
        ("reminder", "volunteer"): "Your visit: {when}. Arrived, or can't come? ",
        ("reminder", "resident"): "A volunteer comes {when}. ",
        ("report", "volunteer"): "Is your visit of {when} over? ",
        ("feedback", "resident"): "Did the visit of {when} help? ",
    },
}

_SHORT: Final[dict[tuple[str, ...], str]] = {
    ("asked", "volunteer"): "Could you help a neighbour {near} ({category}), {when}? Please answer in the app.",
    ("invited", "volunteer"): "A neighbour near you needs help soon. Could you come? The first yes counts; please answer in the app.",
    ("confirmed", "resident"): "A volunteer {near} comes {when} ({category}).",
    ("confirmed", "resident", LATE): "Sorry that this comes late: a volunteer was to come {when}. If nobody came, please tell the community.",
    ("confirmed", "volunteer"): "It is settled: {when}, {category}, a neighbour {near}. Thank you!",
    ("released", "resident"): "Sorry: the visit {when} ({category}) can't take place. We are looking for another helper.",
    ("released", "resident", OTHERS): "Sorry: one of your volunteers can't come {when}; the others do. We are looking for another.",
    ("released", "resident", "too_late"): "Sorry: the visit {when} ({category}) is off: not all could be told in time. We look for another.",
    ("released", "resident", "withdrawn"): "The visit {when} ({category}) is cancelled, as the wish was withdrawn.",
    ("released", "resident", "not_approved"): "No visit {when} ({category}): plans have changed. We are looking for another helper.",
    ("released", "resident", "no_consent"): "The visit {when} ({category}) is cancelled, as consent was withdrawn.",
    ("released", "resident", "unconsented"): "The visit {when} ({category}) is cancelled, as no guardian's consent holds.",
    ("released", "volunteer"): "The visit {when} ({category}) is cancelled: please do not set out. Thank you!",
    ("released", "volunteer", "too_late"): "Sorry: the visit {when} is off: not all could be told in time. If you have been there, please tell the community.",
    ("released", "volunteer", "declined"): "The visit {when} ({category}) is off your list. Thank you for telling us!",
    ("released", "volunteer", "group_incomplete"): "The visit {when} ({category}) is cancelled, as a companion is missing: please do not set out.",
    ("reminder", "resident"): "A reminder: a volunteer {near} comes {when}.",
    ("reminder", "volunteer"): "A reminder: {when}, {category}, a neighbour {near}. Thank you!",
    ("report", "volunteer"): "Is your visit of {when} over? Please tell us in the app.",
    ("feedback", "resident"): "Did the visit of {when} help? Please tell us in the app.",
    ("not_started", "household"): "A neighbour {near} expects a visit; a helper has not reported. Please ask the community at which door.",
    ("not_finished", "household"): "A visit to a neighbour {near} should be over. Please ask the community at which door.",
    ("not_started", "worker"): "A helper has not reported at a visit. Please look at your desk.",
    ("not_finished", "worker"): "A visit should be over, and a helper has not said so. Please look at your desk.",
    ("expired", "resident"): "Sorry: by its deadline too few helpers were found for your wish ({category}).",
    ("widened", "worker"): "A wish has found nobody nearby and asks further. Please look at your desk.",
    ("unconsented", "worker"): "A wish has ended, as no guardian's consent holds. Please look at your desk.",
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
    if len(whole) > SMS_CHARACTERS_MAX and notice.link is not None:
        return _linked(notice, notice.link, sign)
    about, template = notice.said, template_of(_SHORT, notice.kind, notice.party, notice.reason)
    if len(whole) <= SMS_CHARACTERS_MAX or template is None or notice.language != "en":
        return whole
    words = words_of("en", category=about.category or "other", rung=about.rung or "area", slot=None)
    return signed_text(template.format(**(words | {"when": short_time(about.slot)})), sign)


def _linked(notice: Notice, link: str, sign: str | None) -> str:
    """The short text with its link; without a short form of its own, the whole."""
    template = template_of(_SHORT_LINKED[notice.language], notice.kind, notice.party, notice.reason)
    if template is None:
        return signed_text(notice.text, sign)
    about = notice.said
    words = words_of(notice.language, category=about.category or "other", rung=about.rung or "area", slot=None)
    when = short_time(about.slot) if notice.language == "en" else "" if about.slot is None else visit_time(*about.slot, "zh-CN")
    return signed_text(template.format(**(words | {"when": when})) + link, sign)
