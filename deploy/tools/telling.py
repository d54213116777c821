"""One event in one sentence, in Chinese and English; pure. It says what stands in the event and nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from deploy.tools.wording import (
    CATEGORIES,
    DEAD,
    FAULTS,
    OUTCOMES,
    PARTIES,
    REACHES,
    REFUSALS,
    RELEASES,
    RUNGS,
    URGENCIES,
    Words,
    clean,
    clock,
    slot_words,
    word,
)
from schemas import codec
from schemas.codec import Event
from schemas.confirmations import ConfirmationFailed, MatchClosed, MatchConfirmed
from schemas.errors import InvalidEvent
from schemas.matches import (
    ClaimRejected,
    HelperInvited,
    MatchAgreed,
    MatchProposed,
    MatchReleased,
    WishExpired,
    WishUnmet,
    WishWidened,
)
from schemas.offers import OfferPosted, OfferSuspended, OfferWithdrawn
from schemas.place import Place
from schemas.responses import (
    MatchAccepted,
    MatchApproved,
    MatchDeclined,
    ServiceAcknowledged,
    ServiceFinished,
    ServiceStarted,
    WishClaimed,
)
from schemas.wishes import ConsentWithdrawn, WishSubmitted, WishWithdrawn


def _place(place: Place) -> str:
    return clean("/".join(step for step in (place.community, place.compound, place.building, place.unit) if step))


def _list(items: Iterable[str]) -> str:
    return clean(", ".join(items))


def _because(reason: str | None) -> Words:
    return (f"（{clean(reason)}）", f" ({clean(reason)})") if reason else ("", "")


def _wish_submitted(data: WishSubmitted) -> Words:
    kind, urgency = word(CATEGORIES, data.category), word(URGENCIES, data.urgency)
    title, where, skills = clean(data.title), _place(data.place), _list(data.skills)
    when = slot_words(data.window.start, data.window.end)
    helpers = (f"，需 {data.helpers_needed} 人", f", {data.helpers_needed} helpers") if data.helpers_needed > 1 else ("", "")
    return (
        f"心愿 {clean(data.wish_id)}：{kind[0]}「{title}」，{urgency[0]}，{where}，需要 {skills}，{data.minutes} 分钟{helpers[0]}，时段 {when[0]}",
        f'wish {clean(data.wish_id)}: {kind[1]}, "{title}", {urgency[1]}, {where}, needs {skills}, {data.minutes} min{helpers[1]}, within {when[1]}',
    )


def _wish_withdrawn(data: WishWithdrawn) -> Words:
    why = _because(data.reason)
    return (f"心愿 {clean(data.wish_id)} 已撤回{why[0]}", f"wish {clean(data.wish_id)} is withdrawn{why[1]}")


def _consent_withdrawn(data: ConsentWithdrawn) -> Words:
    why = _because(data.reason)
    return (f"心愿 {clean(data.wish_id)} 的同意已撤回{why[0]}", f"consent for wish {clean(data.wish_id)} is withdrawn{why[1]}")


def _offer_posted(data: OfferPosted) -> Words:
    reach, where, skills = word(RUNGS, data.reach), _place(data.home), _list(data.skills)
    accepts = ("直接派单", "takes what comes") if data.accepts == "auto" else ("先问后派", "is asked first")
    who = (f"，{clean(data.organisation)}", f", {clean(data.organisation)}") if data.organisation else ("", "")
    return (
        f"服务 {clean(data.offer_id)}：{where}，范围{reach[0]}，会 {skills}，审核 {data.vetting.level} 级，至多 {data.capacity} 单，{accepts[0]}{who[0]}",
        f"offer {clean(data.offer_id)}: {where}, reach {reach[1]}, can {skills}, vetting {data.vetting.level}, up to {data.capacity}, {accepts[1]}{who[1]}",
    )


def _offer_withdrawn(data: OfferWithdrawn) -> Words:
    why = _because(data.reason)
    return (f"服务 {clean(data.offer_id)} 已撤回{why[0]}", f"offer {clean(data.offer_id)} is withdrawn{why[1]}")


def _offer_suspended(data: OfferSuspended) -> Words:
    why = _because(data.reason)
    return (f"服务 {clean(data.offer_id)} 已暂停{why[0]}", f"offer {clean(data.offer_id)} is suspended{why[1]}")


def _pair(data: Any) -> Words:
    wish, offer = clean(data.wish_id), clean(data.offer_id)
    return (f"心愿 {wish} 与服务 {offer}", f"wish {wish} and offer {offer}")


def _wish_claimed(data: WishClaimed) -> Words:
    wish, offer = clean(data.wish_id), clean(data.offer_id)
    return (f"服务 {offer} 认领心愿 {wish}", f"offer {offer} asks for wish {wish}")


def _match_accepted(data: MatchAccepted) -> Words:
    pair = _pair(data)
    return (f"{pair[0]}：志愿者答应了", f"{pair[1]}: the volunteer says yes")


def _match_declined(data: MatchDeclined) -> Words:
    pair, why = _pair(data), _because(data.reason)
    return (f"{pair[0]}：志愿者来不了{why[0]}", f"{pair[1]}: the volunteer says no{why[1]}")


def _match_approved(data: MatchApproved) -> Words:
    pair, why = _pair(data), _because(data.reason)
    said = ("社区同意", "the community approves") if data.approved else ("社区不同意", "the community does not approve")
    return (f"{pair[0]}：{said[0]}{why[0]}", f"{pair[1]}: {said[1]}{why[1]}")


def _service_started(data: ServiceStarted) -> Words:
    pair = _pair(data)
    return (f"{pair[0]}：志愿者已到", f"{pair[1]}: the helper has arrived")


def _service_finished(data: ServiceFinished) -> Words:
    pair = _pair(data)
    took = ("", "") if data.minutes is None else (f"，用时 {data.minutes} 分钟", f" after {data.minutes} min")
    return (f"{pair[0]}：服务结束{took[0]}", f"{pair[1]}: the visit is over{took[1]}")


def _service_acknowledged(data: ServiceAcknowledged) -> Words:
    pair, outcome = _pair(data), word(OUTCOMES, data.outcome)
    return (f"{pair[0]}：{outcome[0]}", f"{pair[1]}: {outcome[1]}")


_REASONS: Final[dict[str, Words]] = {
    "rung": ("距离", "distance"),
    "spare_skills": ("用不上的技能", "skills not needed here"),
    "helper_load": ("已有的约定", "visits already planned"),
    "score": ("本轮得分", "score of the round"),
    "ahead_of_next": ("领先第二位", "ahead of the second by"),
    "next_best": ("第二位是服务", "the second is offer"),
}


def _reasons(data: MatchProposed) -> Words:
    """Why this one: nearest, then the rarer skill kept free, then the less loaded; in a round, what the pair counts and how far ahead it is."""
    said: list[Words] = []
    for reason in data.reasons:
        name = word(_REASONS, reason.code)
        value = word(RUNGS, str(reason.value)) if reason.code == "rung" else (clean(str(reason.value)),) * 2
        said.append((f"{name[0]} {value[0]}", f"{name[1]} {value[1]}"))
    return ("、".join(zh for zh, _ in said), ", ".join(en for _, en in said))


def _match_proposed(data: MatchProposed) -> Words:
    pair, rung, when, why = _pair(data), word(RUNGS, data.rung), slot_words(data.slot.start, data.slot.end), _reasons(data)
    how = ("认领", "claimed") if data.how == "claimed" else ("配对", "paired")
    group = (f"，{data.group_size} 人同行", f", {data.group_size} together") if data.group_size else ("", "")
    waits: Words = ("", "")
    if data.needs_answer:
        until = "" if data.expires_at is None else clock(data.expires_at)
        waits = (f"，等志愿者在 {until} 前答复", f", the volunteer is to answer by {until}")
    elif data.needs_approval:
        waits = ("，等社区同意", ", the community is to approve")
    return (
        f"{pair[0]} {how[0]}：{rung[0]}，{when[0]}{group[0]}{waits[0]}；理由：{why[0]}",
        f"{pair[1]} are {how[1]}: {rung[1]}, {when[1]}{group[1]}{waits[1]}; because: {why[1]}",
    )


def _helper_invited(data: HelperInvited) -> Words:
    wish, offer, until = clean(data.wish_id), clean(data.offer_id), clock(data.expires_at)
    return (
        f"邀请服务 {offer} 来帮心愿 {wish}，{until} 前有效，先答应者先得",
        f"offer {offer} is invited to wish {wish} until {until}; the first to accept has it",
    )


def _match_agreed(data: MatchAgreed) -> Words:
    pair = _pair(data)
    return (f"{pair[0]}：已说定", f"{pair[1]}: agreed")


def _match_released(data: MatchReleased) -> Words:
    pair, why = _pair(data), word(RELEASES, data.reason)
    return (f"{pair[0]} 解除：{why[0]}", f"{pair[1]} are released: {why[1]}")


def _claim_rejected(data: ClaimRejected) -> Words:
    why = word(REFUSALS, data.reason)
    wish, offer = clean(data.wish_id), clean(data.offer_id)
    return (f"服务 {offer} 认领心愿 {wish} 未成：{why[0]}", f"the claim of offer {offer} on wish {wish} is refused: {why[1]}")


def _wish_widened(data: WishWidened) -> Words:
    reach = word(REACHES, data.reach)
    return (f"心愿 {clean(data.wish_id)} 扩大到{reach[0]}找人", f"wish {clean(data.wish_id)} now asks up to {reach[1]}")


def _wish_unmet(data: WishUnmet) -> Words:
    need = data.need
    reach, skills, when = word(REACHES, need.rung), _list(need.skills), ("", "")
    if need.window is not None:
        slot = slot_words(need.window.start, need.window.end)
        when = (f"，{slot[0]}", f", {slot[1]}")
    return (
        f"心愿 {clean(data.wish_id)} 无人能满足：{skills}，审核 {need.vetting} 级，{reach[0]}内{when[0]}",
        f"nobody meets wish {clean(data.wish_id)}: {skills} at vetting level {need.vetting} within {reach[1]}{when[1]}",
    )


def _wish_expired(data: WishExpired) -> Words:
    return (
        f"心愿 {clean(data.wish_id)} 到了截止时间，已有 {data.filled} 人",
        f"wish {clean(data.wish_id)} has reached its deadline with {data.filled} helpers",
    )


def _match_confirmed(data: MatchConfirmed) -> Words:
    pair, rung, when = _pair(data), word(RUNGS, data.rung), slot_words(data.slot.start, data.slot.end)
    told = [(word(PARTIES, notice.to), clean(notice.channel)) for notice in data.notices]
    return (
        f"{pair[0]} 已确认：{rung[0]}，{when[0]}；已通知 " + "、".join(f"{who[0]}（{channel}）" for who, channel in told),
        f"{pair[1]} are confirmed: {rung[1]}, {when[1]}; told: " + ", ".join(f"{who[1]} ({channel})" for who, channel in told),
    )


def _confirmation_failed(data: ConfirmationFailed) -> Words:
    pair, why = _pair(data), word(FAULTS, data.reason)
    return (f"{pair[0]} 未能确认：{why[0]}", f"{pair[1]} could not be confirmed: {why[1]}")


def _match_closed(data: MatchClosed) -> Words:
    pair, outcome = _pair(data), word(OUTCOMES, data.outcome)
    return (f"{pair[0]} 办结：{outcome[0]}，{data.minutes} 分钟", f"{pair[1]} are closed: {outcome[1]}, {data.minutes} min")


_TELLERS: Final[dict[type[Any], Callable[[Any], Words]]] = {
    WishSubmitted: _wish_submitted,
    WishWithdrawn: _wish_withdrawn,
    ConsentWithdrawn: _consent_withdrawn,
    OfferPosted: _offer_posted,
    OfferWithdrawn: _offer_withdrawn,
    OfferSuspended: _offer_suspended,
    WishClaimed: _wish_claimed,
    MatchAccepted: _match_accepted,
    MatchDeclined: _match_declined,
    MatchApproved: _match_approved,
    ServiceStarted: _service_started,
    ServiceFinished: _service_finished,
    ServiceAcknowledged: _service_acknowledged,
    MatchProposed: _match_proposed,
    HelperInvited: _helper_invited,
    MatchAgreed: _match_agreed,
    MatchReleased: _match_released,
    ClaimRejected: _claim_rejected,
    WishWidened: _wish_widened,
    WishUnmet: _wish_unmet,
    WishExpired: _wish_expired,
    MatchConfirmed: _match_confirmed,
    ConfirmationFailed: _confirmation_failed,
    MatchClosed: _match_closed,
}


def tell(event: Event) -> Words:
    """A valid event in one sentence."""
    teller = _TELLERS.get(type(event.data))
    return (clean(event.type),) * 2 if teller is None else teller(event.data)


def header(record: Any, name: str) -> str | None:
    """A header of a record as text; of several of one name, the last."""
    values = [value for key, value in record.headers if key == name]
    return None if not values or values[-1] is None else values[-1].decode(errors="replace")


def dead_letter(record: Any) -> Words:
    """A dead letter in one sentence: where it came from and why it was not taken."""
    why = word(DEAD, header(record, "dlq-reason") or "?")
    place = clean(":".join(header(record, f"dlq-{part}") or "?" for part in ("topic", "partition", "offset")))
    zh, _, en = clean(header(record, "dlq-message") or "").partition(" | ")
    return (f"死信（来自 {place}）：{why[0]}。{zh}", f"dead letter (from {place}): {why[1]}. {en or zh}")


def tell_record(record: Any) -> Words:
    """A record of any of our topics in one sentence, readable or not."""
    if record.topic.endswith("-dlq"):
        return dead_letter(record)
    try:
        return tell(codec.decode(record.topic, record.value, record.headers))
    except InvalidEvent as fault:
        zh, _, en = str(fault).partition(" | ")
        return (f"不合规的事件：{clean(zh)}", f"not a valid event: {clean(en)}")
