"""What can go wrong in the vault, in words for people: Simplified Chinese first, then English. No message ever holds a value that was sealed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


class VaultFault(Exception):
    """The root of all; `str()` is `Chinese | English`."""

    def __init__(self, chinese: str, english: str) -> None:
        self.chinese = chinese
        self.english = english
        super().__init__(f"{chinese} | {english}")


class BadKeys(VaultFault):
    """The key file is missing, weak, open to others, or not readable."""


class UnknownKey(VaultFault):
    """A row names a master key that the key file does not hold."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"密钥文件中没有主密钥 {key_id}：它已作废，或密钥文件不是这个数据库的",
            f"the key file holds no master key {key_id}: it was retired, or the file belongs to another database",
        )
        self.key_id = key_id


class KeyDestroyed(VaultFault):
    """The person was erased: the master key has forgotten their leaf, so nothing sealed for them opens, wherever a copy of it lies."""

    def __init__(self) -> None:
        super().__init__("此人的密钥已销毁，密文无法再打开", "this person's key was destroyed: what was sealed for them cannot be opened any more")


class DoesNotOpen(VaultFault):
    """A sealed value was changed, moved to another row, or sealed with another key."""

    def __init__(self) -> None:
        super().__init__("密文打不开：被改动过、属于另一行，或密钥不对", "a sealed value does not open: changed, of another row, or of another key")


class BadContact(VaultFault):
    """What was to be put in is not of the right form: names the fields, never their values."""


class Unfinished(VaultFault):
    """Older master keys were to be retired, and somebody is sealed under one of them all the same."""

    def __init__(self) -> None:
        super().__init__(
            "轮换期间又有人员写入或另一次轮换，旧主密钥未作废：请再运行一次",
            "somebody was put in or keys were rotated meanwhile, so nothing was retired: run it again",
        )


# Why a read was denied: the code stands in the audit, the words are for people.
REASONS: Final = {
    "no_such_person": ("保险箱中没有此人", "the vault knows no such person"),
    "erased": ("此人已被删除", "this person was erased"),
    "no_consent": ("没有有效的监护人同意", "no consent of a guardian holds"),
    "helper_no_consent": ("未成年志愿者没有有效的监护人同意", "no consent of a guardian holds for a helper who is a minor"),
    "not_your_visit": ("这次上门与该读取者或该居民无关", "that visit is not between this reader and this person"),
    "no_occasion": ("未说明为哪次匹配或哪个心愿", "no match or wish was named"),
    "no_purpose": ("未说明用途", "no purpose was given"),
    "not_yourself": ("只能读取本人的信息", "one may read only what is one's own"),
    "not_visible": ("此阶段不可见", "not visible to this reader at this stage"),
    "key_destroyed": ("此人的密钥已销毁", "this person's key was destroyed"),
    "unknown_key": ("缺少主密钥", "the master key is not in the key file"),
    "does_not_open": ("密文打不开", "a sealed value does not open"),
}


class Denied(VaultFault):
    """A read, or putting a minor in, was refused; that is in the audit. `reason` is a key of REASONS, `fields` the names that were refused."""

    def __init__(self, reason: str, fields: Iterable[str] = ()) -> None:
        chinese, english = REASONS[reason]
        self.reason = reason
        self.fields = tuple(sorted(fields))
        named = f" ({', '.join(self.fields)})" if self.fields else ""
        super().__init__(f"拒绝：{chinese}{named}", f"denied: {english}{named}")
