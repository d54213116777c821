"""The contract's codes as community workers read them on the monitor, Simplified Chinese first, then English; and what a line of the stream says. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from schemas.errors import BRIEFLY
from services.gateway.words import CATEGORIES as _CATEGORIES
from services.gateway.words import LOCAL, Words, word

# A board has room for the kind alone; the people's pages say what is done.
CATEGORIES: Final[dict[str, Words]] = {**_CATEGORIES, "left_behind_children": ("留守儿童", "Left-behind children")}
URGENCIES: Final[dict[str, Words]] = {"red": ("红", "Red"), "yellow": ("黄", "Yellow"), "blue": ("蓝", "Blue")}
RUNGS: Final[dict[str, Words]] = {
    "unit": ("同单元", "same stairway"),
    "building": ("同楼", "same building"),
    "compound": ("同小区", "same compound"),
    "community": ("同社区", "same community"),
    "area": ("同片区", "same area"),
}
WISH_STATES: Final[dict[str, Words]] = {
    "open": ("等待帮手", "Waiting"),
    "held": ("已有人选", "Held"),
    "matched": ("已约好", "Matched"),
    "closed": ("已办好", "Done"),
    "corrected": ("已结束，结果有更正", "Over, the outcome was corrected"),
    "expired": ("已过期", "Expired"),
    "withdrawn": ("已撤回", "Withdrawn"),
    "unknown": ("未收到", "Not received"),
}
MATCH_STATES: Final[dict[str, Words]] = {
    "proposed": ("已提议", "Proposed"),
    "agreed": ("已说定", "Agreed"),
    "confirmed": ("已确认", "Confirmed"),
    "started": ("进行中", "Under way"),
    "finished": ("已办完，待确认", "Done, to be acknowledged"),
    "closed": ("已结束", "Over"),
    "released": ("已解除", "Released"),
    "unknown": ("未收到", "Not received"),
}
RELEASES: Final[dict[str, Words]] = {
    "declined": ("志愿者来不了或未获同意", "the volunteer can't come, or it was not approved"),
    "unanswered": ("到时未答复", "nobody answered in time"),
    "withdrawn": ("心愿已撤回", "the wish was withdrawn"),
    "undeliverable": ("通知送不到", "a side could not be told"),
    "unsafe": ("为安全起见", "for safety"),
    "no_consent": ("没有有效的监护人同意：请先登记，再重新发布", "no guardian's consent holds: note one, then enter the wish anew"),
    "helper_no_consent": ("未成年志愿者没有有效的监护人同意", "no guardian's consent holds for a helper who is a minor"),
    "no_channel": ("没有可用的联系渠道", "there is no address for any of their channels"),
    "erased": ("此人已从保险箱删除", "this person was erased from the vault"),
    "key_destroyed": ("此人已从保险箱删除", "this person was erased from the vault"),
    "group_incomplete": ("同行的人缺了一位", "one of the group is missing"),
}
REFUSALS: Final[dict[str, Words]] = {
    "unknown_wish": ("没有这个心愿", "there is no such wish"),
    "unknown_offer": ("没有这份服务", "there is no such offer"),
    "not_open": ("心愿已不再开放", "the wish is no longer open"),
    "held_for_another": ("已为他人保留", "it is held for another"),
    "skill_missing": ("缺少所需技能或证明", "a skill, or proof of it, is missing"),
    "language_missing": ("没有共同语言", "no language in common"),
    "out_of_reach": ("超出服务范围", "beyond the volunteer's reach"),
    "vetting_too_low": ("审核等级不够或已过期", "vetting too low or too old"),
    "not_available": ("时间不合、已是帮手，或不能再配对", "no free time that fits, a helper already, or parted before"),
    "offer_full": ("已满额", "has all the work it takes"),
    "needs_two": ("需两人同行，暂缺第二人", "needs two together; the second is missing"),
}
OUTCOMES: Final[dict[str, Words]] = {"done": ("已办好", "done"), "partly": ("办了一部分", "partly done"), "not_done": ("没有办成", "not done")}
KINDS: Final[dict[str, Words]] = {
    "wish.submitted.v1": ("新心愿", "New wish"),
    "wish.withdrawn.v1": ("心愿撤回", "Wish withdrawn"),
    "consent.withdrawn.v1": ("同意撤回", "Consent withdrawn"),
    "offer.posted.v1": ("服务上架", "Offer posted"),
    "offer.withdrawn.v1": ("服务撤回", "Offer withdrawn"),
    "offer.suspended.v1": ("服务暂停", "Offer suspended"),
    "wish.claimed.v1": ("有人认领", "Claimed"),
    "match.accepted.v1": ("志愿者答应", "Accepted"),
    "match.declined.v1": ("志愿者来不了", "Declined"),
    "match.approved.v1": ("社区审批", "Community's word"),
    "service.started.v1": ("志愿者已到", "Helper arrived"),
    "service.finished.v1": ("服务结束", "Visit over"),
    "service.acknowledged.v1": ("回音", "Acknowledged"),
    "match.proposed.v1": ("配对", "Proposed"),
    "helper.invited.v1": ("邀请", "Invited"),
    "match.agreed.v1": ("说定", "Agreed"),
    "match.released.v1": ("解除", "Released"),
    "claim.rejected.v1": ("认领未成", "Claim refused"),
    "wish.widened.v1": ("扩大范围", "Widened"),
    "wish.unmet.v1": ("无人能帮", "Nobody can help"),
    "wish.expired.v1": ("到期", "Expired"),
    "match.confirmed.v1": ("双方已确认", "Confirmed"),
    "confirmation.failed.v1": ("通知未达", "Not delivered"),
    "match.closed.v1": ("办结", "Closed"),
    "dead.letter": ("死信", "Dead letter"),
}
TONES: Final[dict[str, str]] = {
    "match.confirmed.v1": "leaf",
    "match.closed.v1": "leaf",
    "wish.unmet.v1": "red",
    "wish.expired.v1": "red",
    "confirmation.failed.v1": "red",
    "dead.letter": "red",
    "offer.suspended.v1": "red",
    "consent.withdrawn.v1": "red",
    "match.released.v1": "yellow",
    "claim.rejected.v1": "yellow",
    "match.declined.v1": "yellow",
    "wish.submitted.v1": "blue",
    "wish.claimed.v1": "blue",
}
"""Classes of the badge that a kind has; the words say the same."""


def detail(kind: str, brief: Mapping[str, Any]) -> Words:
    """What a line says beside its kind."""
    said: list[Words] = []
    title = brief.get("title")
    if title:
        said.append((f"「{title}」", f"“{title}”"))
    if brief.get("rung"):
        said.append(word(RUNGS, brief["rung"]))
    if kind == "wish.widened.v1":
        said.append(word(RUNGS, brief.get("reach")))
    if brief.get("needs_answer"):
        said.append(("等志愿者答复", "the volunteer is to answer"))
    elif brief.get("needs_approval"):
        said.append(("等社区同意", "the community is to approve"))
    if "approved" in brief:
        said.append(("同意", "approved") if brief["approved"] else ("不同意", "not approved"))
    if brief.get("outcome"):
        said.append(word(OUTCOMES, brief["outcome"]))
    if brief.get("reason"):
        table = {"match.released.v1": RELEASES, "confirmation.failed.v1": RELEASES, "claim.rejected.v1": REFUSALS, "dead.letter": BRIEFLY}.get(kind, {})
        said.append(word(table, brief["reason"]))
    return (" · ".join(zh for zh, _ in said), " · ".join(en for _, en in said))


def clock(at: datetime) -> str:
    """`16:05:09`, local."""
    return f"{at.astimezone(LOCAL):%H:%M:%S}"


def day_and_time(at: datetime, now: datetime) -> str:
    """`11-25 16:05`, local; of another year `2027-01-05 16:05`."""
    local = at.astimezone(LOCAL)
    return f"{local:%m-%d %H:%M}" if local.year == now.astimezone(LOCAL).year else f"{local:%Y-%m-%d %H:%M}"


def span(minutes: float) -> Words:
    """A stretch of time in its two largest units: `2 天 3 小时`, `45 分钟`."""
    whole = max(0, round(minutes))
    days, rest = divmod(whole, 24 * 60)
    hours, left = divmod(rest, 60)
    if days:
        return (f"{days} 天 {hours} 小时" if hours else f"{days} 天", f"{days} d {hours} h" if hours else f"{days} d")
    if hours:
        return (f"{hours} 小时 {left} 分" if left else f"{hours} 小时", f"{hours} h {left} min" if left else f"{hours} h")
    return (f"{whole} 分钟", f"{whole} min")
