"""Finding and masking personal data in text: telephone, identity-card and door numbers.

Written for how people type them: with blanks and dashes between the digits, in full-width digits or in Chinese
numerals. It looks for the shapes of numbers, not for names; names are kept off the topics by the contract itself.
Shapes follow the Chinese numbering plan (mobile 1[3-9] and nine digits; area code 0 and two or three digits, then
seven or eight; 400 and 800 numbers) and GB 11643 (17 digits and a check character).
"""

import re
from collections.abc import Iterator
from typing import Final

_NUMERALS: Final = "〇零○一壹幺二贰两三叁四肆五伍六陆七柒八捌九玖"
_NUMERAL_DIGITS: Final = "00011122233445566778899"
_FULL_WIDTH: Final = "０１２３４５６７８９"
# One character for one, so that a place found in the translation is the same place in the text.
_TO_DIGITS: Final = str.maketrans(
    _NUMERALS + _FULL_WIDTH + "－—–‐‑−＋（）　．·・ｘＸ＃",
    _NUMERAL_DIGITS + "0123456789" + "------+() ...xX#",
)
_ANY_DIGIT: Final = re.compile(f"[0-9{_NUMERALS}{_FULL_WIDTH}]")

_GAP: Final = r"[\s\-.()_/、,，]{0,3}"  # what people put between the digits of one number
_NINE_MORE: Final = rf"(?:{_GAP}\d){{9}}"
_PHONE: Final = re.compile(
    rf"(?<!\d)(?:\+?86{_GAP})?1{_GAP}[3-9]{_NINE_MORE}(?!\d)"  # mobile
    rf"|(?<!\d)\(?0(?:10|2\d|[3-9]\d\d)\)?{_GAP}[2-9]\d{{2,3}}[\s-]?\d{{4}}(?!\d)"  # landline with area code
    r"|(?<![\dA-Za-z])[48]00[\s-]?\d{3,4}[\s-]?\d{3,4}(?!\d)"  # 400 and 800 numbers
)
_LABELLED_PHONE: Final = re.compile(
    r"(?:电话|手机|座机|热线|联系|拨打|微信|tel|phone|mobile|call)[^\d\n]{0,8}([1-9]\d{2,3}[\s-]?\d{4})(?!\d)", re.IGNORECASE
)
_IDENTITY_CARD: Final = re.compile(
    rf"(?<![\dA-Za-z])[1-9]\d{{5}}{_GAP}(?:18|19|20)\d\d{_GAP}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){_GAP}\d{{3}}[\dXx](?![\dA-Za-z])"
    rf"|(?<!\d)[1-9]{_GAP}\d(?:[\s-]?\d){{15}}[\s-]?[\dXx](?![\dA-Za-z])"
)
_DOOR: Final = re.compile(
    r"(?<!\d)\d{3,4}\s*(?:号\s*)?(?:室|房(?!间调)|户(?![外口型籍]))"  # 501室, 1203号房
    r"|(?<!\d)\d{1,2}\s*(?:单元|楼|层|栋|幢|座)\s*\d{1,4}\s*(?:室|房|户|号(?!楼|线))"  # 2单元5号
    r"|(?:单元|号楼|[栋幢座])\s*\d{3,4}(?![\d年月日天元块分米人次个:：])"  # 3单元501
    r"|门牌(?:号)?[^\d\n]{0,4}\d{1,4}"
    r"|(?:路|街|巷|大道|胡同|弄)\s*\d{1,4}\s*号(?!楼?线)"  # a street number
    r"|(?<![\d-])\d{1,2}\s?-\s?\d{1,2}\s?-\s?(?!(?:19|20)\d\d(?!\d))\d{3,4}(?![\d-])"  # building-unit-door
    r"|\b(?:room|rm|apartment|apt|flat|door|suite)\b\.?\s*(?:no\.?|number)?\s*#?\s*[a-z]?\d{1,4}[a-z]?\b",
    re.IGNORECASE,
)
_SHAPES: Final = (("identity_card", _IDENTITY_CARD), ("phone", _PHONE), ("phone", _LABELLED_PHONE), ("door", _DOOR))
_BARE_NUMBER: Final = re.compile(r"(?:tel:|sms:)?(?:\+?86-?)?1[3-9]\d{9}|[1-9]\d{16}[\dXx]|0\d{2,3}-?[2-9]\d{6,7}")
# Fields that only an address, a contact or a coordinate could fill; none of them has a place on a topic.
FORBIDDEN_KEYS: Final = frozenset(
    "phone mobile tel telephone id_card idcard identity_card door door_number room street street_address address"
    " lat lng lon latitude longitude coordinate coordinates geo gps 电话 手机 身份证 门牌 住址 地址".split()
)


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    if _ANY_DIGIT.search(text) is None:
        return
    digits = text.translate(_TO_DIGITS)
    for kind, shape in _SHAPES:
        for found in shape.finditer(digits):
            yield kind, found.start(), found.end()


def find_personal_data(text: str) -> str | None:
    """The kind of the first personal number in a free text (`phone`, `identity_card`, `door`), or None."""
    return next((kind for kind, _, _ in _spans(text)), None)


def mask(text: str) -> str:
    """The text with each character of a personal number replaced by `*`; the same object when there is none."""
    spans = list(_spans(text))
    if not spans:
        return text
    letters = list(text)
    for _, start, end in spans:
        letters[start:end] = "*" * (end - start)
    return "".join(letters)


def is_bare_number(text: str) -> bool:
    """Whether an id or reference is nothing but a phone or identity-card number."""
    return text[0:1] in "0123456789+ts" and _BARE_NUMBER.fullmatch(text) is not None
