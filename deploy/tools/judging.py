"""Verdicts and answers of the matcher (:mod:`services.matcher.core.reasons`) in words, Chinese and English; pure. No word about people but "the volunteer"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from deploy.tools.wording import (
    BLOCKS,
    DEMANDS,
    MATCH_STATES,
    OFFER_STATES,
    REACHES,
    RULES,
    RUNGS,
    WISH_STATES,
    Words,
    clean,
    clock,
    moment,
    slot_words,
    word,
)
from services.matcher.core import reasons
from services.matcher.core.place import RUNGS as RUNG_NAMES
from services.matcher.core.reasons import Answer, Comparison, Verdict

_HOW: Final[dict[str, Words]] = {"claimed": ("认领", "claimed"), "paired": ("配对", "paired")}


def _names(items: Any) -> Words:
    """Skills or languages as they are written."""
    shown = clean(", ".join(items))
    return (shown, shown) if shown else ("未注明", "none named")


def both_joined(parts: Iterable[Words]) -> Words:
    """Several words in a row."""
    found = list(parts)
    return "、".join(zh for zh, _ in found), ", ".join(en for _, en in found)


# ---- one sentence a rule: what was looked at, and what it came to


def _skills(verdict: Verdict, _demands: Sequence[str]) -> Words:
    needed, missing = _names(verdict.facts["needed"]), _names(verdict.facts["missing"])
    if verdict.passed:
        return (f"需要的都会（{needed[0]}）", f"has all that are needed ({needed[1]})")
    if verdict.facts["missing"]:
        return (f"缺少 {missing[0]}（需要 {needed[0]}）", f"lacks {missing[1]} (needed: {needed[1]})")
    unproven = _names(verdict.facts["unproven"])
    return (f"{unproven[0]} 须有在服务当时有效的资质证明", f"no proof for {unproven[1]} that is valid at the visit")


def _languages(verdict: Verdict, _demands: Sequence[str]) -> Words:
    needed, spoken = _names(verdict.facts["needed"]), _names(verdict.facts["spoken"])
    if not verdict.facts["needed"]:
        return ("心愿不限语言", "the wish names none")
    if verdict.passed:
        return (f"有共同语言（心愿：{needed[0]}；服务：{spoken[0]}）", f"one is shared (wish: {needed[1]}; offer: {spoken[1]})")
    return (f"没有共同语言（心愿：{needed[0]}；服务：{spoken[0]}）", f"none is shared (wish: {needed[1]}; offer: {spoken[1]})")


def _reach(verdict: Verdict, _demands: Sequence[str]) -> Words:
    rung, reach = word(RUNGS, str(verdict.facts["rung"])), word(RUNGS, str(verdict.facts["reach"]))
    if verdict.passed:
        return (f"{rung[0]}，在服务范围内（到{reach[0]}）", f"{rung[1]}, within the offer's reach ({reach[1]})")
    return (f"{rung[0]}，超出服务范围（只到{reach[0]}）", f"{rung[1]}, beyond the offer's reach ({reach[1]} at most)")


def _vetting(verdict: Verdict, demands: Sequence[str]) -> Words:
    facts = verdict.facts
    level, needed = facts["level"], facts["needed"]
    if not needed:
        return (f"不要求（现为 {level} 级）", f"none needed (level {level})")
    why = both_joined(word(DEMANDS, demand) for demand in demands)
    because = (f"（{why[0]}）", f" ({why[1]})") if demands else ("", "")
    said = (f"{level} 级，需要 {needed} 级{because[0]}", f"level {level}, needs {needed}{because[1]}")
    if facts["fresh"] is None:
        return said
    day, age, valid = moment(int(str(facts["checked_at"]))).strftime("%Y-%m-%d"), int(str(facts["age_days"])), facts["valid_days"]
    if age < 0:
        check = (f"核查日期 {day} 晚于服务时间", f"the check is dated {day}, after the visit")
    elif facts["fresh"]:
        check = (f"核查于 {day}，服务时 {age} 天，{valid} 天内有效", f"checked on {day}, {age} days before the visit, valid for {valid}")
    else:
        check = (
            f"核查于 {day}，服务时已 {age} 天，超过 {valid} 天须重新核查",
            f"checked on {day}, {age} days before the visit: older than {valid}, check again",
        )
    return (f"{said[0]}；{check[0]}", f"{said[1]}; {check[1]}")


def _time(verdict: Verdict, _demands: Sequence[str]) -> Words:
    facts = verdict.facts
    if verdict.passed:
        start = clock(int(str(facts["start"])))
        return (f"最早 {start} 可开始", f"can begin at {start}")
    block, limits = word(BLOCKS, str(facts["blocked_by"])), _limits(facts)
    return (f"{block[0]}{limits[0]}", f"{block[1]}{limits[1]}")


def _limits(facts: dict[str, Any]) -> Words:
    """The number behind what leaves no time."""
    if facts["blocked_by"] == reasons.SLOTS:
        return (f"（现有 {facts['slots']} 个）", f" ({facts['slots']} planned)")
    if facts["blocked_by"] == reasons.REST:
        return (f"（{facts['rest_minutes']} 分钟）", f" ({facts['rest_minutes']} min)")
    if facts["blocked_by"] == reasons.WEEK:
        return (f"（{facts['per_week_max']} 次）", f" ({facts['per_week_max']})")
    return ("", "")


def _posted(verdict: Verdict, _demands: Sequence[str]) -> Words:
    return word(OFFER_STATES, str(verdict.facts["status"]))


def _meeting(verdict: Verdict, _demands: Sequence[str]) -> Words:
    if verdict.passed:
        return ("没有解除过", "never parted from this wish")
    if verdict.facts["parted"]:
        return ("曾配对后解除，或已婉拒，不再配对", "parted before, or the answer was no: they do not meet again")
    return ("这位志愿者已在帮这个心愿", "its volunteer helps with this wish already")


def _capacity(verdict: Verdict, _demands: Sequence[str]) -> Words:
    live, capacity = verdict.facts["live"], verdict.facts["capacity"]
    return (f"手上 {live} 单，最多 {capacity} 单", f"has {live}, takes {capacity} at most")


def _together(verdict: Verdict, _demands: Sequence[str]) -> Words:
    facts = verdict.facts
    if verdict.passed:
        others, start = _names(facts["with"]), clock(int(str(facts["start"])))
        return (f"可与服务 {others[0]} 同行，{start} 开始", f"with offer {others[1]}, at {start}")
    if int(str(facts["places_free"])) < 2:
        return ("心愿只缺一人，而新的帮手须两人一组", "the wish lacks one helper, and new ones come in twos")
    return ("没有第二位能同时到", "nobody else can come at the same time")


_SENTENCES: Final[dict[str, Callable[[Verdict, Sequence[str]], Words]]] = {
    reasons.SKILLS: _skills,
    reasons.LANGUAGES: _languages,
    reasons.REACH: _reach,
    reasons.VETTING: _vetting,
    reasons.TIME: _time,
    reasons.POSTED: _posted,
    reasons.MEETING: _meeting,
    reasons.CAPACITY: _capacity,
    reasons.TOGETHER: _together,
}


def verdict_words(verdict: Verdict, demands: Sequence[str] = ()) -> Words:
    """A rule by its name, and what it came to. `demands`: what sets the wish's vetting level (:func:`reasons.vetting_demands`)."""
    name, said = word(RULES, verdict.rule), _SENTENCES[verdict.rule](verdict, demands)
    return (f"{name[0]}：{said[0]}", f"{name[1]}: {said[1]}")


# ---- who comes first


def _advantage(one: Comparison) -> Words:
    """Why the better of the two is the better one: the values are `theirs`, then `own`."""
    if one.by == "asked":
        told = ("直接派单者先于须先询问者", "who is simply told comes before who is asked first")
        who = ("它直接派单", "it is simply told") if one.own else ("它须先询问", "it is asked first")
        return (f"{told[0]}（{who[0]}）", f"{told[1]} ({who[1]})")
    if one.by == "hurried":
        told = ("来得及答复邀请者先于来不及者", "who has time to answer an invitation, or is invited, comes before who has not")
        who = ("它来得及", "it has") if one.own else ("它来不及", "it has not")
        return (f"{told[0]}（{who[0]}）", f"{told[1]} ({who[1]})")
    if one.by == "rung":
        theirs, own = word(RUNGS, str(one.theirs)), word(RUNGS, str(one.own))
        return (f"距离（它{theirs[0]}，本服务{own[0]}）", f"distance (it: {theirs[1]}; this one: {own[1]})")
    if one.by == "centre":
        told = ("本单元的中心户优先上门探望", "for a visit, the centre household of the stairway comes first")
        who = ("它不是", "it is not one") if one.theirs else ("它是", "it is one")
        return (f"{told[0]}（{who[0]}）", f"{told[1]} ({who[1]})")
    if one.by == "weight":
        return (f"少占用稀缺技能（权重：它 {one.theirs}，本服务 {one.own}）", f"rarer skills are kept free (weight: it {one.theirs}, this one {one.own})")
    if one.by == "load":
        return (f"手上约定的多少（它 {one.theirs}，本服务 {one.own}）", f"visits planned (it: {one.theirs}; this one: {one.own})")
    if one.by == "tasks":
        return (f"做过的服务次数（它 {one.theirs}，本服务 {one.own}）", f"visits so far (it: {one.theirs}; this one: {one.own})")
    return ("条件完全相同，按编号先后", "all else is equal: the order of ids")


def _its_match(answer: Answer) -> list[Words]:
    match = answer.match
    assert match is not None
    rung, state, how = word(RUNGS, RUNG_NAMES[match.rung]), word(MATCH_STATES, match.state), word(_HOW, match.how)
    when, shown = slot_words(match.start, match.end), clean(match.id)
    return [
        (
            f"它就是这个心愿的帮手（{how[0]}，{state[0]}）：{rung[0]}，{when[0]}，配对 {shown}。提议时各条规则都已满足。",
            f"It is one of this wish's helpers ({how[1]}, {state[1]}): {rung[1]}, {when[1]}, match {shown}. All rules held when it was proposed.",
        )
    ]


def _over(answer: Answer) -> list[Words]:
    state = word(WISH_STATES, answer.status)
    return [(f"心愿{state[0]}，不再配对。", f"The wish is {state[1]}: it is matched no more.")]


_BEFORE: Final[Words] = (
    "配对时次序不同，或它还没有发布、没有空",
    "the order was another, or it was not posted or not free when the match was made",
)
_THEN: Final[Words] = (
    "定下帮手的那一轮把等待的心愿一起衡量，或当时本服务还没有发布、没有空",
    "the round that took the helper weighed all that waited together, or this one was not posted or not free then",
)


def _taken(answer: Answer) -> list[Words]:
    state, passed = word(WISH_STATES, answer.status), not failed(answer.verdicts)
    said = [(f"心愿不再找人（{state[0]}）。", f"The wish looks for nobody now ({state[1]}).")]
    for one in answer.others:
        offer, why = clean(one.offer_id), _advantage(one)
        if one.claimed:
            said.append((f"帮手是服务 {offer}，由其志愿者认领。", f"Offer {offer} helps: its volunteer claimed the wish."))
        elif not passed:
            said.append((f"帮手是服务 {offer}。", f"Offer {offer} helps."))
        elif answer.invited:
            said.append(
                (
                    f"帮手是服务 {offer}。本服务也受过邀请，但在它之前没有答应。",
                    f"Offer {offer} helps. This one was invited as well, and had not said yes before it.",
                )
            )
        elif one.ahead:
            said.append((f"帮手是服务 {offer}，它排在前面：{why[0]}。", f"Offer {offer} helps and comes first: {why[1]}."))
        elif answer.in_rounds:
            said.append(
                (
                    f"帮手是服务 {offer}。单看次序，以现在的情形本服务会排在前面（{why[0]}），但{_THEN[0]}。",
                    f"Offer {offer} helps. By the order alone this one would come first now ({why[1]}); but {_THEN[1]}.",
                )
            )
        else:
            said.append(
                (
                    f"帮手是服务 {offer}。以现在的情形本服务会排在前面（{why[0]}），但{_BEFORE[0]}。",
                    f"Offer {offer} helps. As things are now this one would come first ({why[1]}); {_BEFORE[1]}.",
                )
            )
    if not passed:
        names = _rules_failed(answer)
        said.append((f"以现在的情形，本服务不满足：{names[0]}。", f"As things are now this one does not pass: {names[1]}."))
    return said


def _rules_failed(answer: Answer) -> Words:
    return both_joined(word(RULES, verdict.rule) for verdict in failed(answer.verdicts))


def _ruled_out(answer: Answer) -> list[Words]:
    names = _rules_failed(answer)
    return [(f"不满足：{names[0]}。", f"Not passed: {names[1]}.")]


_ROUNDS: Final[Words] = (
    "这类心愿按轮配对：每轮把片区内等待的心愿一起衡量，等到该定的时候才定，次序可能因此不同。",
    "Such wishes are matched in rounds: all that waits in the area is weighed together, a pair is taken when waiting ends, and the order may differ.",
)


def _in_rounds(answer: Answer) -> list[Words]:
    return [_ROUNDS] if answer.in_rounds else []


def _invited(answer: Answer) -> list[Words]:
    until = clock(answer.until or 0)
    return [
        (
            f"各条都满足，已受邀请，{until} 前有效：先答应者先得。",
            f"All rules pass and it is invited until {until}: the first to accept has the wish.",
        )
    ]


def _unanswered(answer: Answer) -> list[Words]:
    if answer.until is None:
        return [
            (
                "各条都满足，但已邀请过，那次邀请已经结束；仍可认领，重新登记服务后也会再受邀请。",
                "All rules pass, but it was invited before and that invitation is over; it may still claim the wish, and is asked again if posted anew.",
            )
        ]
    until = clock(answer.until)
    return [
        (
            f"各条都满足，但邀请已于 {until} 结束，未获答复；仍可认领，重新登记服务后也会再受邀请。",
            f"All rules pass, but its invitation ended at {until} without an answer; it may still claim the wish, and is asked again if posted anew.",
        )
    ]


def _said_no(_answer: Answer) -> list[Words]:
    return [
        (
            "各条都满足，但对邀请答复了不能去；不再为这个心愿邀请，仍可认领。",
            "All rules pass, but it said no to the invitation: it is not invited to this wish again, and may still claim it.",
        )
    ]


def _not_yet(answer: Answer) -> list[Words]:
    reach = word(REACHES, answer.reach or "")
    said = (
        f"各条都满足，但心愿目前只在{reach[0]}内找人，还没有扩大到这份服务。",
        f"All rules pass, but the wish asks only up to {reach[1]} for now, and this offer lies beyond.",
    )
    return [said, *_in_rounds(answer)]


def _kept(answer: Answer) -> list[Words]:
    assert answer.until is not None  # it is kept until then
    until = clock(answer.until)
    return [
        (
            f"各条都满足，但有一个更早的心愿需要两人同去，正在等第二位志愿者空出来；这份服务最迟为它留到 {until}，仍可认领。",
            f"All rules pass, but it is kept until {until} for an older wish that needs two, whose second helper falls free; it may still claim this one.",
        )
    ]


def _first(answer: Answer) -> list[Words]:
    return [("各条都满足，排在最前，轮到就会配对。", "All rules pass and nobody comes before it: it is next."), *_in_rounds(answer)]


def _behind(answer: Answer) -> list[Words]:
    first, why = clean(answer.others[0].offer_id), _advantage(answer.others[0])
    said = (
        f"各条都满足，但前面还有 {answer.ahead} 份服务。最前是服务 {first}：{why[0]}。",
        f"All rules pass, but {answer.ahead} come before it. The first is offer {first}: {why[1]}.",
    )
    return [said, *_in_rounds(answer)]


_ANSWERS: Final[dict[str, Callable[[Answer], list[Words]]]] = {
    reasons.ITS_MATCH: _its_match,
    reasons.OVER: _over,
    reasons.TAKEN: _taken,
    reasons.RULED_OUT: _ruled_out,
    reasons.INVITED: _invited,
    reasons.UNANSWERED: _unanswered,
    reasons.SAID_NO: _said_no,
    reasons.NOT_YET: _not_yet,
    reasons.KEPT: _kept,
    reasons.FIRST: _first,
    reasons.BEHIND: _behind,
}


def failed(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that did not pass."""
    return [verdict for verdict in verdicts if not verdict.passed]


def answer_words(answer: Answer) -> list[Words]:
    """The conclusion, one sentence after another."""
    return _ANSWERS[answer.code](answer)
