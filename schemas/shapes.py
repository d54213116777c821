"""The shapes of short texts as patterns, each with the words that tell a person how to write it."""

from typing import Final

from schemas.instants import RFC3339_PATTERN

# Anything printable without blanks: integrators bring ids of their own systems.
ID: Final = r"^[^\s\x00-\x1f\x7f-\x9f]+$"
CIRCLE: Final = r"^[a-z0-9-]{1,32}$"
SKILL: Final = r"^[a-z0-9_]{1,40}$"
# BCP 47 tags, such as zh-CN, and local names of dialects.
LANGUAGE: Final = r"^[A-Za-z0-9-]{1,35}$"
# No control characters but tab and line ends; above all no NUL, which PostgreSQL cannot keep.
PRINTABLE: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
CODE: Final = r"^[a-z_]{1,40}$"
CHANNEL: Final = r"^[a-z0-9_]{1,32}$"
INSTANT: Final = RFC3339_PATTERN

INSTANT_WORDS: Final = (
    "应为 1970 年至 9998 年间带时区的 RFC 3339 时间，例如 2026-11-23T08:00:00+08:00",
    "write RFC 3339 with an offset, of the years 1970 to 9998, such as 2026-11-23T08:00:00+08:00",
)
WORDS: Final[dict[str, tuple[str, str]]] = {
    ID: ("不能含空格或控制字符", "leave out blanks and control characters"),
    CIRCLE: ("只用 1 至 32 个小写字母、数字或连字符", "use 1 to 32 of a-z, 0-9 and -"),
    SKILL: ("只用 1 至 40 个小写字母、数字或下划线", "use 1 to 40 of a-z, 0-9 and _"),
    LANGUAGE: ("应为语言标签，例如 zh-CN", "write a language tag such as zh-CN"),
    PRINTABLE: ("请去掉控制字符", "remove the control characters"),
    CODE: ("只用 1 至 40 个小写字母或下划线", "use 1 to 40 of a-z and _"),
    CHANNEL: ("只用 1 至 32 个小写字母、数字或下划线", "use 1 to 32 of a-z, 0-9 and _"),
    INSTANT: INSTANT_WORDS,
}
