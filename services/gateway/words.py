"""The contract's codes, and instants, as people read them: Simplified Chinese first, then English. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

Words = tuple[str, str]
"""The same in Chinese and in English."""

# China has had one time zone and no summer time since 1992: no time-zone data is needed.
LOCAL: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
_WEEKDAYS: Final = "一二三四五六日"

CATEGORIES: Final[dict[str, Words]] = {
    "elder_care": ("关爱老人", "Care for an elder"),
    "disability_help": ("扶残助残", "Help with a disability"),
    "left_behind_children": ("陪伴留守儿童", "Company for children"),
    "household": ("家务帮手", "Help at home"),
    "repair": ("小修小补", "Small repair"),
    "study": ("学习辅导", "Help with learning"),
    "health": ("健康陪护", "Health"),
    "culture": ("文体活动", "Culture and sport"),
    "other": ("邻里互助", "Among neighbours"),
}
URGENCIES: Final[dict[str, Words]] = {
    "red": ("马上", "Now"),
    "yellow": ("几小时内", "Within hours"),
    "blue": ("几天内", "Within days"),
}
RUNGS: Final[dict[str, Words]] = {
    "unit": ("同单元", "Same stairway"),
    "building": ("同楼", "Same building"),
    "compound": ("同小区", "Same compound"),
    "community": ("同社区", "Same community"),
    "area": ("同片区", "Same area"),
}
AGE_BANDS: Final[dict[str, Words]] = {
    "elder": ("老人", "An elder"),
    "adult": ("成年人", "An adult"),
    "under_18": ("14 至 17 岁", "14 to 17 years"),
    "under_14": ("14 岁以下", "Under 14"),
}
REFUSALS: Final[dict[str, Words]] = {
    "unknown_wish": ("没有找到这个心愿", "There is no such wish"),
    "unknown_offer": ("还没有您的服务登记", "Your offer is not registered yet"),
    "not_open": ("这个心愿已经有人认领，或已结束", "Somebody has taken this wish already, or it is over"),
    "held_for_another": ("刚刚有人先认领了", "Somebody was a moment earlier"),
    "skill_missing": ("这个心愿需要的技能，您还没有登记", "It needs a skill that you have not registered"),
    "language_missing": ("这个心愿需要会说的语言，您还没有登记", "It needs a language that you have not registered"),
    "out_of_reach": ("超出了您登记的服务范围", "It is farther away than you said you go"),
    "vetting_too_low": ("这个心愿需要更高的审核等级", "It needs a higher level of checks"),
    "not_available": ("与您的时间不合，您已是它的帮手，或之前的约定已取消", "None of your times fits, you are its helper already, or you were parted before"),
    "offer_full": ("您手上的服务已满，先办完一件吧", "You have all the visits that you take at once"),
    "needs_two": ("这个心愿要两人同行，暂时还缺一位", "It takes two together, and the second is missing"),
}
RELEASES: Final[dict[str, Words]] = {
    "declined": ("志愿者来不了，或未获同意", "The volunteer can't come, or it was not approved"),
    "unanswered": ("到时没有答复", "Nobody answered in time"),
    "withdrawn": ("心愿已撤回", "The wish was withdrawn"),
    "undeliverable": ("有一方联系不上", "One side could not be reached"),
    "unsafe": ("为了安全", "For safety"),
    "group_incomplete": ("同行的人缺了一位", "One of the group is missing"),
}
WISH_STATES: Final[dict[str, Words]] = {
    "unknown": ("已收到", "Received"),
    "open": ("正在找帮手", "Looking for a helper"),
    "held": ("找到人选，等确认", "Found somebody, to be confirmed"),
    "matched": ("帮手已确认", "A helper is confirmed"),
    "closed": ("已办好", "Done"),
    "corrected": ("已结束，结果有更正", "Over, the outcome was corrected"),
    "withdrawn": ("已撤回", "Withdrawn"),
    "expired": ("已过期", "Expired"),
}
MATCH_STATES: Final[dict[str, Words]] = {
    "proposed": ("等您答复", "Waits for your answer"),
    "agreed": ("已答应，确认中", "Agreed, being confirmed"),
    "confirmed": ("约好了", "Settled"),
    "started": ("进行中", "Under way"),
    "finished": ("已办完，等居民回音", "Done, waits for the resident's word"),
    "closed": ("已结束", "Over"),
    "released": ("已取消", "Cancelled"),
}
# What a match waits for that needs nothing more of its helper.
WAITS_FOR: Final[dict[str, Words]] = {
    "approval": ("等社区同意", "the community's word is awaited"),
    "companion": ("等同伴答复，随后通知双方", "your companion's answer is awaited, then both sides are told"),
    "notices": ("正在通知双方", "both sides are being told"),
}
CORRECTED: Final[Words] = ("后来有更正", "corrected since")
OUTCOMES: Final[dict[str, Words]] = {"done": ("已办好", "Done"), "partly": ("办了一部分", "Partly done"), "not_done": ("没有办成", "Not done")}
SKILLS: Final[dict[str, Words]] = {
    "fetch_medicine": ("取药", "Fetch medicine"),
    "escort": ("陪同外出", "Go along"),
    "companionship": ("陪伴聊天", "Company"),
    "shopping": ("代买东西", "Shopping"),
    "cooking": ("做饭", "Cooking"),
    "cleaning": ("打扫", "Cleaning"),
    "haircut": ("理发", "Haircut"),
    "phone_help": ("教用手机", "Help with a phone"),
    "first_aid": ("急救看护", "First aid"),
    "wheelchair": ("推轮椅", "Wheelchair"),
    "guide": ("引路", "Guide"),
    "paperwork": ("代填表格", "Paperwork"),
    "carry": ("搬东西", "Carry things"),
    "tutoring_maths": ("数学辅导", "Maths"),
    "tutoring_chinese": ("语文作业", "Chinese homework"),
    "english": ("英语", "English"),
    "reading": ("读书读报", "Reading"),
    "school_run": ("接送上学", "School run"),
    "child_care": ("照看孩子", "Mind a child"),
    "counselling": ("谈心疏导", "Listening"),
    "drawing": ("画画", "Drawing"),
    "sewing": ("缝补", "Sewing"),
    "gardening": ("养花除草", "Gardening"),
    "electrics": ("电路", "Electrics"),
    "plumbing": ("水管", "Plumbing"),
    "carpentry": ("门窗家具", "Carpentry"),
    "bike_repair": ("修车", "Bicycle repair"),
    "computer": ("电脑", "Computer"),
    "calligraphy": ("书法", "Calligraphy"),
    "blood_pressure": ("量血压", "Blood pressure"),
    "rehab": ("康复指导", "Rehabilitation"),
    "sport": ("运动", "Sport"),
    "music": ("音乐", "Music"),
    "photo": ("拍照", "Photos"),
    "law_advice": ("法律咨询", "Legal advice"),
    "erhu": ("二胡", "Erhu"),
    "piano_tuning": ("钢琴调音", "Piano tuning"),
    "knife_grinding": ("磨刀", "Knife grinding"),
    "skating": ("轮滑", "Skating"),
}
SKILLS_OF: Final[dict[str, tuple[str, ...]]] = {
    "elder_care": ("companionship", "shopping", "fetch_medicine", "escort", "cooking", "cleaning", "haircut", "phone_help"),
    "disability_help": ("wheelchair", "escort", "guide", "paperwork", "shopping", "haircut"),
    "left_behind_children": ("tutoring_chinese", "tutoring_maths", "reading", "school_run", "counselling", "drawing"),
    "household": ("carry", "cleaning", "cooking", "sewing", "child_care"),
    "repair": ("electrics", "plumbing", "carpentry", "bike_repair", "computer"),
    "study": ("tutoring_maths", "tutoring_chinese", "english", "computer", "calligraphy", "phone_help"),
    "health": ("blood_pressure", "escort", "rehab", "first_aid", "counselling"),
    "culture": ("sport", "music", "calligraphy", "photo"),
    "other": ("paperwork", "photo", "gardening", "law_advice", "carry"),
}
"""What is usually asked for in a category, the most usual first."""

# What stands in the audit log: the acts of the policy, and what is noted beside them.
ACTS: Final[dict[str, Words]] = {
    "open_page": ("打开页面", "Open a page"),
    "see_wall": ("看心愿墙", "See the wishes"),
    "claim_wish": ("认领心愿", "Claim a wish"),
    "answer_match": ("答复配对", "Answer a match"),
    "see_own": ("看自己的资料", "See what is one's own"),
    "see_monitor": ("看看板", "See the monitor"),
    "see_wish": ("看心愿详情", "See a wish"),
    "enter_wish": ("登记心愿", "Enter a wish"),
    "withdraw_wish": ("撤回心愿", "Withdraw a wish"),
    "acknowledge": ("反馈服务结果", "Say whether it helped"),
    "call_back": ("回访", "Call back"),
    "review_wish": ("审核心愿", "Review a wish"),
    "approve_match": ("审批配对", "Approve a match"),
    "redispatch": ("改派", "Send somebody else"),
    "freeze_wish": ("冻结心愿", "Freeze a wish"),
    "see_dead_letters": ("看死信", "See dead letters"),
    "replay_dead_letter": ("重发死信", "Publish a dead letter again"),
    "publish_events": ("发送事件", "Publish events"),
    "read_events": ("读取事件", "Read events"),
    "manage_keys": ("管理密钥", "Manage keys"),
    "manage_webhooks": ("管理 webhook", "Manage webhooks"),
    "manage_accounts": ("管理账号", "Manage accounts"),
    "see_audit": ("看审计记录", "See the audit log"),
    "sign_in": ("登录", "Sign in"),
    "sign_out": ("退出登录", "Sign out"),
    "change_password": ("修改密码", "Change the password"),
    "add_account": ("新增账号", "Add an account"),
    "disable_account": ("停用账号", "Disable an account"),
    "enable_account": ("恢复账号", "Let an account in again"),
    "reset_account": ("重置账号", "Give an account a new first password"),
    "link_account": ("关联统一登录", "Link an account to the provider"),
    "unlink_account": ("取消关联统一登录", "Take an account's link to the provider away"),
}
ACT_OUTCOMES: Final[dict[str, Words]] = {"allowed": ("允许", "Allowed"), "denied": ("拒绝", "Denied"), "failed": ("失败", "Failed")}
ROLES: Final[dict[str, Words]] = {
    "resident": ("居民", "resident"),
    "guardian": ("监护人", "guardian"),
    "volunteer": ("志愿者", "volunteer"),
    "worker": ("社区工作者", "community worker"),
    "auditor": ("审计员", "auditor"),
    "integrator": ("集成系统", "integrator"),
    "admin": ("管理员", "administrator"),
}


def word(table: Mapping[str, Words], code: str | None) -> Words:
    """The words of a code; one from a newer version stands for itself."""
    return ("", "") if code is None else table.get(code, (code, code))


def day(at: datetime, now: datetime) -> Words:
    """Its day, as one says it today: `今天`, `明天`, else `11月23日（周一）`; where it is of another year, with that: a wish may be for next year."""
    local, today = at.astimezone(LOCAL), now.astimezone(LOCAL).date()
    ahead = (local.date() - today).days
    if ahead in {0, 1}:
        return ("今天", "明天")[ahead], ("today", "tomorrow")[ahead]
    zh, en = ("", "") if local.year == today.year else (f"{local.year}年", f" {local.year}")
    return f"{zh}{local.month}月{local.day}日（周{_WEEKDAYS[local.weekday()]}）", f"{local:%a} {local.day} {local:%b}{en}"


def moment(at: datetime, now: datetime) -> Words:
    """An instant: `明天 16:00`, `11月23日（周一）16:00`, `tomorrow 16:00`. A full-width bracket brings its own room."""
    zh, en = day(at, now)
    clock = f"{at.astimezone(LOCAL):%H:%M}"
    return f"{zh}{'' if zh.endswith('）') else ' '}{clock}", f"{en} {clock}"


def span(start: datetime, end: datetime, now: datetime) -> Words:
    """A stretch of time: `今天 16:00–17:00`, over days `今天 16:00 – 明天 09:00`."""
    begins, ends = moment(start, now), moment(end, now)
    if start.astimezone(LOCAL).date() == end.astimezone(LOCAL).date():
        clock = f"{end.astimezone(LOCAL):%H:%M}"
        return f"{begins[0]}–{clock}", f"{begins[1]}–{clock}"
    return f"{begins[0]} – {ends[0]}", f"{begins[1]} – {ends[1]}"


def length(minutes: int) -> Words:
    """`1 小时 30 分`, `1 h 30 min`."""
    hours, rest = divmod(minutes, 60)
    zh = " ".join(part for part in (f"{hours} 小时" if hours else "", f"{rest} 分钟" if rest or not hours else "") if part)
    en = " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest or not hours else "") if part)
    return zh, en


def hours(minutes: int) -> str:
    """Hours that somebody has, with one digit, rounded down: `99.9` until the hundredth is whole."""
    return f"{minutes // 6 / 10:.1f}"


def hours_missing(minutes: int) -> str:
    """Hours that are missing, with one digit, rounded up: `0.0` once nothing is."""
    return hours(minutes + 5)


def points(hundredths: int) -> str:
    """`1.5`, `2.75`, `3`: no digit more than are needed."""
    return f"{hundredths // 100}.{hundredths % 100:02}".rstrip("0").rstrip(".")


def utc_now() -> datetime:
    """The wall's time."""
    return datetime.now(UTC)
