"""Words for people at the terminal, Simplified Chinese first, then English: the contract's codes, instants, and text made safe to print."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias

from deploy.words import Trouble
from schemas import errors
from schemas.instants import SECOND_US, micros

Words: TypeAlias = tuple[str, str]
Lang: TypeAlias = Literal["zh", "en", "both"]

# China has had one time zone and no summer time since 1992.
LOCAL: Final = timezone(timedelta(hours=8))
_WEEKDAYS: Final = ("一", "二", "三", "四", "五", "六", "日")

CATEGORIES: Final[dict[str, Words]] = {
    "elder_care": ("关爱老人", "care for an elder"),
    "disability_help": ("扶残助残", "help with a disability"),
    "left_behind_children": ("留守儿童", "left-behind children"),
    "household": ("家务帮手", "help at home"),
    "repair": ("小修小补", "small repair"),
    "study": ("学习辅导", "help with learning"),
    "health": ("健康陪护", "health"),
    "culture": ("文体活动", "culture and sport"),
    "other": ("邻里互助", "among neighbours"),
}
RUNGS: Final[dict[str, Words]] = {
    "unit": ("同单元", "same stairway"),
    "building": ("同楼", "same building"),
    "compound": ("同小区", "same compound"),
    "community": ("同社区", "same community"),
    "area": ("同片区", "same area"),
}
URGENCIES: Final[dict[str, Words]] = {
    "red": ("红色·马上", "red: now"),
    "yellow": ("黄色·数小时内", "yellow: within hours"),
    "blue": ("蓝色·数日内", "blue: within days"),
}
RELEASES: Final[dict[str, Words]] = {
    "declined": ("志愿者来不了或未获同意", "the volunteer can't come, or it was not approved"),
    "unanswered": ("到时未答复", "nobody answered in time"),
    "withdrawn": ("心愿已撤回", "the wish was withdrawn"),
    "undeliverable": ("通知送不到", "a side could not be told"),
    "unsafe": ("为安全起见：志愿者被暂停、审核或资质不再符合，或同意已撤回", "for safety: the helper was suspended or lacks a check now, or consent is gone"),
    "group_incomplete": ("同行的人缺了一位", "one of the group is missing"),
}
# Also the names of the rules that exclude an offer; `None` among reasons is "all rules hold".
REFUSALS: Final[dict[str, Words]] = {
    "unknown_wish": ("没有这个心愿", "there is no such wish"),
    "unknown_offer": ("没有这份服务", "there is no such offer"),
    "not_open": ("心愿已不再开放", "the wish is no longer open"),
    "held_for_another": ("已为他人保留", "it is held for another"),
    "skill_missing": ("缺少所需技能，或没有有效的资质证明", "a skill is missing, or a valid proof of it"),
    "language_missing": ("没有共同语言", "no language in common"),
    "out_of_reach": ("超出服务范围", "beyond the volunteer's reach"),
    "vetting_too_low": ("审核等级不够或已过期", "vetting too low or too old"),
    "not_available": ("时间不合、已是帮手，或不能再配对", "no free time that fits, a helper already, or parted before"),
    "offer_full": ("已满额", "has all the work it takes"),
    "needs_two": ("需两人同行，暂缺第二人", "needs two together and the second is missing"),
}
RULES: Final[dict[str, Words]] = {
    "skills": ("技能", "skills"),
    "languages": ("语言", "languages"),
    "reach": ("距离", "distance"),
    "vetting": ("审核", "vetting"),
    "time": ("时间", "time"),
    "posted": ("服务状态", "offer"),
    "meeting": ("能否配对", "meeting"),
    "capacity": ("接单量", "capacity"),
    "together": ("两人同行", "two together"),
}
# How far a wish asks.
REACHES: Final[dict[str, Words]] = {
    "unit": ("本单元", "its own stairway"),
    "building": ("本楼", "its own building"),
    "compound": ("本小区", "the compound"),
    "community": ("本社区", "the community"),
    "area": ("本片区", "the whole area"),
}
DEMANDS: Final[dict[str, Words]] = {
    "minor": ("未成年人", "it is for a minor"),
    "left_behind_children": ("留守儿童", "it is for left-behind children"),
    "lives_alone": ("独居", "they live alone"),
    "vetting_min": ("心愿要求", "the wish asks for it"),
}
OFFER_STATES: Final[dict[str, Words]] = {
    "open": ("开放", "open"),
    "withdrawn": ("已撤回", "withdrawn"),
    "suspended": ("已暂停", "suspended"),
    "lapsed": ("时段都已过去", "all of its windows are over"),
}
BLOCKS: Final[dict[str, Words]] = {
    "too_late": ("心愿的时段剩下的时间已不够", "the wish's own window has not enough time left"),
    "window": ("没有够长的共同时段", "no window in common is long enough"),
    "slots": ("共同时段已被志愿者的其他约定占满", "the volunteer's other visits leave no room"),
    "rest": ("与其他约定之间留不出志愿者要的休息", "no room with the rest that the volunteer wants between visits"),
    "week": ("志愿者一周内的次数已到上限", "the volunteer's limit a week is reached"),
}
DEAD: Final[dict[str, Words]] = errors.BRIEFLY
WISH_STATES: Final[dict[str, Words]] = {
    "open": ("等待帮手", "waiting for a helper"),
    "held": ("已有人选，待确认", "held: a helper is found, being confirmed"),
    "matched": ("已确认", "matched and confirmed"),
    "closed": ("已完成", "closed"),
    "withdrawn": ("已撤回", "withdrawn"),
    "expired": ("已过期", "expired"),
}
MATCH_STATES: Final[dict[str, Words]] = {
    "proposed": ("已提议", "proposed"),
    "agreed": ("已答应", "agreed"),
    "confirmed": ("已确认", "confirmed"),
    "released": ("已解除", "released"),
    "closed": ("已完成", "closed"),
    "unhelped": ("没有办成", "did not help"),
}
NOTICE_STATES: Final[dict[str, Words]] = {
    "pending": ("待发", "waiting to be sent"),
    "leased": ("发送中", "being sent"),
    "retryable": ("将重试", "to be tried again"),
    "sent": ("已送达", "delivered"),
    "discarded": ("已作废", "no longer needed"),
    "dead": ("送不到", "could not be delivered"),
}
NOTICE_KINDS: Final[dict[str, Words]] = {
    "asked": ("征询", "question"),
    "invited": ("邀请", "invitation"),
    "unconsented": ("缺少监护人同意的告知", "word that no guardian's consent holds"),
    "widened": ("扩大范围的告知", "word that it asks farther"),
    "unmet": ("无人能帮的告知", "word that nobody can help"),
    "confirmed": ("确认通知", "confirmation"),
    "released": ("取消通知", "cancellation"),
    "expired": ("到期通知", "notice of expiry"),
    "reminder": ("上门前的提醒", "reminder"),
    "report": ("请报告服务情况的询问", "question whether the visit is over"),
    "feedback": ("服务后的回访", "question how it went"),
    "not_started": ("未按时开始的告警", "alarm that nobody has begun"),
    "not_finished": ("未按时结束的告警", "alarm that nobody has ended it"),
}
# Why a notice has not arrived (yet), or a match could not be confirmed.
FAULTS: Final[dict[str, Words]] = {
    "no_consent": ("没有有效的监护人同意", "no consent of a guardian holds"),
    "helper_no_consent": ("未成年志愿者没有有效的监护人同意", "no consent of a guardian holds for a helper who is a minor"),
    "erased": ("此人已从保险箱删除", "this person was erased from the vault"),
    "key_destroyed": ("此人已从保险箱删除", "this person was erased from the vault"),
    "no_channel": ("没有可用的联系渠道", "there is no address for any of their channels"),
    "bad_address": ("联系地址不可用", "the address cannot be used"),
    "refused": ("对方渠道拒收", "the channel refused it"),
    "redirected": ("渠道网址已改到别处（HTTP 3xx），请在设置中改用新网址", "the channel's URL leads elsewhere (HTTP 3xx): put the new one into its settings"),
    "code_refused": ("对方渠道拒收", "the channel refused it"),
    "code_later": ("渠道暂不接收", "the channel does not take it now"),
    "smtp_later": ("邮件服务器暂不接收", "the mail server does not take it now"),
    "smtp_login": ("邮件服务器不认我们的账号或密码，请核对设置", "the mail server refuses our login: check user and password in the settings"),
    "http_4xx": ("渠道拒收（HTTP 4xx）", "the channel refused it (HTTP 4xx)"),
    "http_5xx": ("渠道出错（HTTP 5xx）", "the channel failed (HTTP 5xx)"),
    "http_away": ("渠道暂停服务（HTTP 502、503、504）", "the channel is away (HTTP 502, 503, 504)"),
    "no_connection": ("连不上渠道", "no connection to the channel"),
    "unreachable": ("连不上渠道", "the channel cannot be reached"),
    "http_server_error": ("渠道出错（HTTP 5xx）", "the channel failed (HTTP 5xx)"),
    "http_not_now": ("渠道暂不接收", "the channel does not take it now"),
    "unreadable": ("渠道的应答看不懂", "the channel's answer cannot be read"),
    "timeout": ("渠道没有及时应答", "the channel did not answer in time"),
    "cut_off": ("发送中连接断开", "the connection broke off"),
    "unsent": ("未能发出", "it was not sent"),
    "channel_failed": ("渠道出错", "the channel failed"),
    "busy": ("渠道正忙", "the channel is busy"),
    "not_delivered": ("渠道回执：没有送达", "the channel says that it was not delivered"),
    "undeliverable": ("各渠道都送不到", "no channel gets through"),
    "quiet_hours": ("在免打扰时段，稍后再发", "their quiet hours: later"),
    "over_budget": ("已达本人每天的通知上限", "their number of notices a day is used up"),
    "too_late": ("已来不及", "it would come too late"),
    "unread": ("在应用内还未读", "not read in the app yet"),
    "channel_down": ("渠道没有应答，先走其他渠道", "the channel answers nobody, so others come first"),
    "links_away": ("暂时无法生成链接", "no link can be made just now"),
    "directory_away": ("通讯录暂不可用", "the directory of people is away"),
    "database": ("数据库暂不可用", "the database is away"),
    "interrupted": ("发送时进程中断", "the process was interrupted while it was being sent"),
}
PARTIES: Final[dict[str, Words]] = {
    "resident": ("居民", "resident"),
    "volunteer": ("志愿者", "volunteer"),
    "worker": ("社区工作者", "community worker"),
    "household": ("中心户", "centre household"),
}
OUTCOMES: Final[dict[str, Words]] = {"done": ("已办好", "done"), "partly": ("办了一部分", "partly done"), "not_done": ("没有办成", "not done")}


def word(table: dict[str, Words], code: str) -> Words:
    """The words of a code; a code from a newer version stands for itself."""
    return table.get(code, (clean(code), clean(code)))


def join(lang: Lang, words: Words) -> str:
    """One language, or both on one line."""
    if lang == "both":
        return f"{words[0]} · {words[1]}" if words[0] != words[1] else words[0]
    return words[0] if lang == "zh" else words[1]


def language(given: str | None) -> Lang:
    """The language to speak: `given`, else `LASTMETRE_LANG`, else both.

    Raises:
        Trouble: it is none of zh, en, both.
    """
    asked = (given or os.environ.get("LASTMETRE_LANG") or "both").lower()
    asked = {"zh-cn": "zh", "zh_cn": "zh"}.get(asked, asked)
    if asked == "zh":
        return "zh"
    if asked == "en":
        return "en"
    if asked == "both":
        return "both"
    raise Trouble("语言（--lang 或 LASTMETRE_LANG）请填 zh、en 或 both。", "Give zh, en or both as the language (--lang or LASTMETRE_LANG).")


def clean(text: str, limit: int = 400) -> str:
    """Text from outside as one line that can do nothing to a terminal: no control characters, no more than `limit` characters."""
    kept = "".join(letter if letter.isprintable() else "�" for letter in text[:limit])
    return kept + "…" if len(text) > limit else kept


def moment(instant: int | datetime) -> datetime:
    """An instant (microseconds, or an aware datetime) in local time."""
    since = micros(instant) if isinstance(instant, datetime) else instant
    # Within what a datetime can show, whatever an event says.
    return datetime.fromtimestamp(min(max(since // SECOND_US, 0), 253_370_764_799), UTC).astimezone(LOCAL)


def clock(instant: int | datetime) -> str:
    """`11-23 16:05:09`, local."""
    return moment(instant).strftime("%m-%d %H:%M:%S")


def slot_words(start: int | datetime, end: int | datetime) -> Words:
    """A visit's time: `11月23日（周一）16:00至17:00`, `Mon 23 Nov 16:00-17:00`."""
    begins, ends = moment(start), moment(end)
    other_day = begins.date() != ends.date()
    until = (f"{ends.month}月{ends.day}日" if other_day else "", f"{ends:%a} {ends.day} {ends:%b} " if other_day else "")
    return (
        f"{begins.month}月{begins.day}日（周{_WEEKDAYS[begins.weekday()]}）{begins:%H:%M}至{until[0]}{ends:%H:%M}",
        f"{begins:%a} {begins.day} {begins:%b} {begins:%H:%M}-{until[1]}{ends:%H:%M}",
    )
