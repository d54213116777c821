"""What people read: one notice in Chinese or English. Pure.

A text says what kind of help, when (local time) and how near; never who, never at which door. Whoever may know a name finds it
in the vault. A community worker is told the wish's id, by which `explain` tells its story.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Literal

Kind = Literal[
    "asked", "invited", "confirmed", "released", "expired", "widened", "unmet", "unconsented", "reminder", "report", "feedback", "not_started", "not_finished"
]  # fmt: skip
# `household`: the centre household of the stairway, who looks after a neighbour before the community's worker is called.
Party = Literal["resident", "volunteer", "worker", "household"]
Language = Literal["zh-CN", "en"]
LANGUAGES: Final[tuple[Language, Language]] = ("zh-CN", "en")
# What a community's workers are told of a wish, and not of a visit.
TO_THE_DESK: Final = frozenset(("widened", "unmet", "unconsented"))

# China has had one time zone and no summer time since 1992: no time-zone data is needed.
_LOCAL: Final = timezone(timedelta(hours=8), "Asia/Shanghai")

_CATEGORIES: Final[dict[Language, dict[str, str]]] = {
    "zh-CN": {
        "elder_care": "关爱老人",
        "disability_help": "扶残助残",
        "left_behind_children": "陪伴留守儿童",
        "household": "家务帮手",
        "repair": "小修小补",
        "study": "学习辅导",
        "health": "健康陪护",
        "culture": "文体活动",
        "other": "邻里互助",
    },
    "en": {
        "elder_care": "care for an elder",
        "disability_help": "help with a disability",
        "left_behind_children": "company for children",
        "household": "help at home",
        "repair": "a small repair",
        "study": "help with learning",
        "health": "help with health",
        "culture": "culture and sport",
        "other": "help among neighbours",
    },
}
_RUNGS: Final[dict[Language, dict[str, str]]] = {
    "zh-CN": {"unit": "同单元", "building": "同楼", "compound": "同小区", "community": "同社区", "area": "同片区"},
    "en": {
        "unit": "from the same stairway",
        "building": "from the same building",
        "compound": "from the same compound",
        "community": "from the same community",
        "area": "from the same area",
    },
}
_WEEKDAYS: Final = "一二三四五六日"
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = "January February March April May June July August September October November December".split()  # noqa: SIM905 - reads better

_REACHES: Final[dict[Language, dict[str, str]]] = {
    "zh-CN": {"unit": "本单元", "building": "本楼", "compound": "全小区", "community": "全社区", "area": "全片区"},
    "en": {
        "unit": "the stairway",
        "building": "the building",
        "compound": "the whole compound",
        "community": "the whole community",
        "area": "the whole area",
    },
}

# What the reason of a release ends with where other helpers of the same wish come as agreed: its resident must not think that nobody does.
OTHERS: Final = "+others"
# The reason of a confirmation that a resident hears only when the visit is over.
LATE: Final = "late"

# (kind, party) or (kind, party, reason) -> text; the more exact entry counts (:func:`template_of`).
_TEXTS: Final[dict[Language, dict[tuple[str, ...], str]]] = {
    "zh-CN": {
        ("asked", "volunteer"): "您好，{near}有位邻居需要「{category}」，时间是{when}。您方便去吗？请在{by}前答复；不方便也没关系，我们再找别人。",
        (
            "invited",
            "volunteer",
        ): "您好，{near}有位邻居急需「{category}」，时间是{when}。您能去吗？我们可能也问了别人，谁先答应就请谁去；请在{by}前答复。谢谢您！",
        ("confirmed", "resident"): "您好，您的「{category}」心愿有着落了：{near}的志愿者将于{when}前来。",
        ("confirmed", "resident", LATE): "抱歉，这条消息来迟了：{near}的志愿者约定于{when}前来（{category}）。如果没有人来，请告诉社区。",
        ("confirmed", "volunteer"): "您好，约好了：{when}，请为{near}的邻居提供「{category}」服务。谢谢您！",
        ("released", "resident"): "抱歉，原定{when}的「{category}」不能如约了。我们正在为您另找帮手，找到后马上告诉您。",
        (
            "released",
            "resident",
            OTHERS,
        ): "抱歉，原定{when}的「{category}」，有一位志愿者来不了，其他约好的志愿者不变。我们正在为您另找帮手，找到后马上告诉您。",
        ("released", "resident", "too_late"): "抱歉，没能及时通知到双方，原定{when}的「{category}」没有约成。我们正在为您另找帮手，找到后马上告诉您。",
        ("released", "resident", "withdrawn"): "您好，心愿已撤回，原定{when}的「{category}」也就取消了。需要时，欢迎随时再提。",
        ("released", "resident", "not_approved"): "您好，社区调整了安排，原定{when}的「{category}」取消。我们正在为您另找帮手，找到后马上告诉您。",
        ("released", "resident", "no_consent"): "您好，同意已撤回，原定{when}的「{category}」取消，不再安排。需要时，欢迎随时再提。",
        ("released", "resident", "unconsented"): "您好，没有有效的监护人同意，原定{when}的「{category}」取消，不再安排。补办同意后，欢迎随时再提。",
        ("released", "volunteer"): "您好，原定{when}的「{category}」已取消，请不必前往。谢谢您的心意！",
        ("released", "volunteer", "too_late"): "抱歉，没能及时通知到双方，原定{when}的「{category}」没有约成，请不必再去。如果您已经去过，请告诉社区。谢谢您！",
        ("released", "volunteer", "declined"): "您好，已为您取消原定{when}的「{category}」，我们会另找帮手。谢谢您告知！",
        ("released", "volunteer", "not_approved"): "您好，社区工作者调整了安排，原定{when}的「{category}」取消，请不必前往。谢谢您的心意！",
        ("released", "volunteer", "withdrawn"): "您好，这个心愿已撤回，原定{when}的「{category}」取消，请不必前往。谢谢您的心意！",
        ("released", "volunteer", "group_incomplete"): "您好，原定{when}的「{category}」须结伴前往，同伴缺了一位，本次取消，请不必前往。谢谢您！",
        ("expired", "resident"): "抱歉，到了截止时间，我们仍没有为您的「{category}」心愿找到足够的帮手。您可以换个时间再提，我们会继续努力。",
        ("widened", "worker"): "您好，心愿 {wish_id} 在近处还没有找到帮手，已扩大到{reach}寻找。若您认识合适的人，请帮忙问一问。谢谢您！",
        ("unmet", "worker"): "您好，心愿 {wish_id} 目前找不到合适的帮手：需要技能 {skills}，审核等级 {vetting} 级。请您帮忙想想办法。谢谢您！",
        ("unconsented", "worker"): "您好，心愿 {wish_id} 没有有效的监护人同意，已停止安排。请先登记同意，再重新发布心愿。谢谢您！",
        ("reminder", "resident"): "您好，提醒您：{near}的志愿者将于{when}前来（{category}）。",
        ("reminder", "volunteer"): "您好，提醒您：{when}，请为{near}的邻居提供「{category}」服务。若来不了，请尽早告诉我们。谢谢您！",
        ("report", "volunteer"): "您好，{when}的「{category}」结束了吗？请告诉我们一声。谢谢您！",
        ("feedback", "resident"): "您好，{when}的「{category}」帮上忙了吗？请告诉我们一声。",
        ("not_started", "household"): "您好，{near}有位邻居约好{when}的「{category}」，有帮手还没有报到。请去看一看；是哪一家，请问社区（{wish_id}）。谢谢您！",
        (
            "not_finished",
            "household",
        ): "您好，{near}有位邻居{when}的「{category}」已到结束时间，有帮手还没有报告结束。请去看一看；是哪一家，请问社区（{wish_id}）。谢谢您！",
        ("not_started", "worker"): "您好，心愿 {wish_id} 约好{when}的「{category}」，有帮手还没有报到。请您联系双方，看看是否平安。谢谢您！",
        ("not_finished", "worker"): "您好，心愿 {wish_id} 约好{when}的「{category}」，有帮手已开始而没有报告结束。请您联系双方，看看是否平安。谢谢您！",
    },
    "en": {
        ("asked", "volunteer"): "A neighbour {near} would like {category} on {when}. Could you come? Please answer by {by}; a no is fine as well.",
        (
            "invited",
            "volunteer",
        ): "A neighbour {near} needs {category} soon, on {when}. Could you come? Others may be asked as well, and the first yes counts; please answer by {by}.",
        ("confirmed", "resident"): "Good news about your wish ({category}): a volunteer {near} will come on {when}.",
        (
            "confirmed",
            "resident",
            LATE,
        ): "We are sorry that this comes late: a volunteer {near} was to come on {when} ({category}). If nobody came, please tell the community.",
        ("confirmed", "volunteer"): "It is settled: a neighbour {near} looks forward to your visit ({category}) on {when}. Thank you!",
        ("released", "resident"): "We are sorry: the visit on {when} ({category}) can't take place. We are looking for another helper and will tell you.",
        (
            "released",
            "resident",
            OTHERS,
        ): "We are sorry: one of your volunteers can't come on {when} ({category}); the others come as agreed. We are looking for another and will tell you.",
        (
            "released",
            "resident",
            "too_late",
        ): (
            "We are sorry: not everybody could be told in time, so the visit on {when} ({category}) is off. "
            "We are looking for another helper and will tell you."
        ),
        (
            "released",
            "resident",
            "withdrawn",
        ): "The visit on {when} ({category}) is cancelled, as the wish was withdrawn. You are welcome to make another at any time.",
        (
            "released",
            "resident",
            "not_approved",
        ): "The community has changed its plans: no visit on {when} ({category}). We are looking for another helper and will tell you.",
        (
            "released",
            "resident",
            "no_consent",
        ): "Consent was withdrawn: the visit on {when} ({category}) is cancelled, and no other follows. You are welcome to make another wish at any time.",
        (
            "released",
            "resident",
            "unconsented",
        ): "No guardian's consent holds: the visit on {when} ({category}) is cancelled, and no other follows. Once there is one, please make the wish again.",
        (
            "released",
            "volunteer",
            "not_approved",
        ): "A community worker has changed the plans: no visit on {when} ({category}); please do not set out. Thank you for being ready!",
        ("released", "volunteer"): "The visit on {when} ({category}) is cancelled; please do not set out. Thank you for being ready!",
        (
            "released",
            "volunteer",
            "too_late",
        ): (
            "We are sorry: not everybody could be told in time, so the visit on {when} ({category}) is off. Please do not set out any more; "
            "if you have been there, please tell the community. Thank you!"
        ),
        ("released", "volunteer", "declined"): "The visit on {when} ({category}) is off your list; another helper will be found. Thank you for telling us!",
        ("released", "volunteer", "withdrawn"): "The wish was withdrawn: no visit on {when} ({category}); please do not set out. Thank you for being ready!",
        (
            "released",
            "volunteer",
            "group_incomplete",
        ): "The visit on {when} ({category}) needs helpers who go together, and one is missing: it is cancelled, please do not set out. Thank you!",
        (
            "expired",
            "resident",
        ): "We are sorry: by its deadline too few helpers were found for your wish ({category}). Please make it again for another time.",
        ("widened", "worker"): "Wish {wish_id} has found nobody nearby and now asks {reach}. If you know somebody, please have a word with them. Thank you!",
        ("unmet", "worker"): "Wish {wish_id}: no suitable helper as yet (skills {skills}, vetting level {vetting}). Could you see what can be done? Thank you!",
        (
            "unconsented",
            "worker",
        ): "Wish {wish_id}: no guardian's consent holds, so nobody is sent. Please record the consent, then enter the wish anew. Thank you!",
        ("reminder", "resident"): "A reminder: a volunteer {near} will come on {when} ({category}).",
        (
            "reminder",
            "volunteer",
        ): "A reminder: a neighbour {near} looks forward to your visit ({category}) on {when}. If you can't make it, please tell us soon. Thank you!",
        ("report", "volunteer"): "Is your visit on {when} ({category}) over? Please let us know. Thank you!",
        ("feedback", "resident"): "Did the visit on {when} ({category}) help? Please let us know.",
        (
            "not_started",
            "household",
        ): "A neighbour {near} expects a visit on {when} ({category}); a helper has not reported. Could you look in? Ask the community where ({wish_id}).",
        (
            "not_finished",
            "household",
        ): (
            "A visit to a neighbour {near} on {when} ({category}) should be over, and a helper has not said so. "
            "Could you look in? Ask the community where ({wish_id})."
        ),
        (
            "not_started",
            "worker",
        ): "Wish {wish_id}: a helper has not reported at the visit on {when} ({category}). Please ask both sides whether all is well. Thank you!",
        (
            "not_finished",
            "worker",
        ): "Wish {wish_id}: a helper began the visit on {when} ({category}) and has not ended it. Please ask both sides whether all is well. Thank you!",
    },
}


def template_of(texts: Mapping[tuple[str, ...], str], kind: str, party: str, reason: str | None) -> str | None:
    """The text of a kind to a party, for this reason where there is one of its own; None where there is none at all."""
    plain, others, _ = (reason or "").partition(OTHERS)
    return texts.get((kind, party, others)) or texts.get((kind, party, plain)) or texts.get((kind, party))


@lru_cache(maxsize=4096)
def visit_time(start: str, end: str, language: Language) -> str:
    """The slot in local time; `start` and `end` are RFC 3339. `11月23日（周一）16:00至17:00`."""
    begins = datetime.fromisoformat(start.upper()).astimezone(_LOCAL)
    ends = datetime.fromisoformat(end.upper()).astimezone(_LOCAL)
    other_day = ends.date() != begins.date()
    if language == "zh-CN":
        until = f"{ends.month}月{ends.day}日{ends:%H:%M}" if other_day else f"{ends:%H:%M}"
        return f"{begins.month}月{begins.day}日（周{_WEEKDAYS[begins.weekday()]}）{begins:%H:%M}至{until}"
    until = f"{ends:%H:%M} on {_DAYS[ends.weekday()]}" if other_day else f"{ends:%H:%M}"
    return f"{_DAYS[begins.weekday()]} {begins.day} {_MONTHS[begins.month - 1]}, from {begins:%H:%M} to {until}"


def moment(at: str, language: Language) -> str:
    """An instant in local time; `at` is RFC 3339. `11月23日（周一）16:00`."""
    local = datetime.fromisoformat(at.upper()).astimezone(_LOCAL)
    if language == "zh-CN":
        return f"{local.month}月{local.day}日（周{_WEEKDAYS[local.weekday()]}）{local:%H:%M}"
    return f"{local:%H:%M} on {_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}"


def text_for_worker(kind: Kind, language: Language, *, wish_id: str, rung: str = "area", skills: Iterable[str] = (), vetting: int = 0) -> str:
    """The text of one notice to the worker's desk. `rung`: how far the wish asks; `skills` and `vetting`: what nobody can give."""
    reach = _REACHES[language].get(rung, _REACHES[language]["area"])
    return _TEXTS[language][kind, "worker"].format(wish_id=wish_id, reach=reach, skills=", ".join(skills), vetting=vetting)


def text_of(
    kind: Kind,
    party: Party,
    language: Language,
    *,
    category: str | None,
    rung: str,
    slot: tuple[str, str] | None,
    reason: str | None = None,
    by: str | None = None,
    wish_id: str = "",
) -> str:
    """The text of one notice about a visit.

    `slot` is (start, end) in RFC 3339, None where no visit is meant; `reason`: why it was released; `by`: until when an answer is awaited;
    `wish_id`: for workers, who look it up, and for a household, which asks them at which door.
    """
    template = template_of(_TEXTS[language], kind, party, reason)
    assert template is not None
    return template.format(
        category=_CATEGORIES[language].get(category or "other", _CATEGORIES[language]["other"]),
        near=_RUNGS[language].get(rung, _RUNGS[language]["area"]),
        when="" if slot is None else visit_time(*slot, language),
        by="" if by is None else moment(by, language),
        wish_id=wish_id,
    )


# What stands before a link, by (kind, party); only these carry one.
_LINKED: Final[dict[Language, dict[tuple[str, str], str]]] = {
    "zh-CN": {
        ("asked", "volunteer"): "答复：",
        ("invited", "volunteer"): "答复：",
        ("confirmed", "volunteer"): "来不了请点：",
        ("confirmed", "resident"): "查看：",
        ("reminder", "volunteer"): "到了或来不了请点：",
        ("reminder", "resident"): "查看：",
        ("report", "volunteer"): "请点：",
        ("feedback", "resident"): "请点：",
    },
    "en": {
        ("asked", "volunteer"): " Answer: ",
        ("invited", "volunteer"): " Answer: ",
        ("confirmed", "volunteer"): " Can't make it? ",
        ("confirmed", "resident"): " See: ",
        ("reminder", "volunteer"): " Arrived, or can't make it? ",
        ("reminder", "resident"): " See: ",
        ("report", "volunteer"): " Report: ",
        ("feedback", "resident"): " Answer: ",
    },
}


def with_link(text: str, kind: str, party: str, language: Language, link: str) -> str:
    """A text with its link behind it, last, so that nothing sticks to it. One of a kind that carries none stays as it is."""
    words = _LINKED[language].get((kind, party))
    return text if words is None else f"{text}{words}{link}"


def templates(language: Language) -> Mapping[tuple[str, ...], str]:
    """Every text with its places still open, by (kind, party) or (kind, party, reason)."""
    return _TEXTS[language]


def words_of(language: Language, *, category: str | None, rung: str | None, slot: tuple[str, str] | None) -> dict[str, str]:
    """What a gateway's own template may fill in: the kind of help, how near, and when; empty where the notice says nothing of it."""
    return {
        "category": "" if category is None else _CATEGORIES[language].get(category, _CATEGORIES[language]["other"]),
        "near": "" if rung is None else _RUNGS[language].get(rung, _RUNGS[language]["area"]),
        "when": "" if slot is None else visit_time(*slot, language),
    }
