"""Finding and masking personal data in text: telephone, identity-card and door numbers.

Written for how people type them: with blanks, dashes or invisible characters between the digits, in full-width or
other digits, or in Chinese numerals. It looks for the shapes of numbers, not for names; names are kept off the topics
by the contract itself. Shapes follow the Chinese numbering plan (mobile 1[3-9] and nine digits; area code 0 and two or
three digits, then seven or eight; 400 and 800 numbers) and GB 11643 (17 digits and a check character).

A unit ("2栋3单元") is a rung of the ladder and may be named; what leads to one door ("3单元501") may not.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_NUMERALS: Final = "〇零○一壹幺二贰两三叁四肆五伍六陆七柒八捌九玖"
_NUMERAL_DIGITS: Final = "00011122233445566778899"
# Blocks with digits of other writings: full-width, circled, raised, Arabic-Indic, bold and so on.
_DIGIT_BLOCKS: Final = ((0x00B2, 0x0E60), (0x2070, 0x2800), (0xFF10, 0xFF1A), (0x1D7CE, 0x1D800))
_OTHER_DIGITS: Final = {
    code: str(digit) for first, end in _DIGIT_BLOCKS for code in range(first, end) if (digit := unicodedata.digit(chr(code), None)) is not None
}
_MARKS: Final = dict(zip(map(ord, "－—–‐‑−﹣＋（）．·・•｡。ｘＸ＃，／＿"), "-------+()......xX#,/_", strict=True))
_BLANKS: Final = dict.fromkeys((*range(0x2000, 0x2010), 0x00A0, 0x00AD, 0x180E, 0x202F, 0x2060, 0x3000, 0xFE0F, 0xFEFF), " ")
# One character for one, so that a place found in the translation is the same place in the text.
_TO_DIGITS: Final[dict[int, str]] = {**dict(zip(map(ord, _NUMERALS), _NUMERAL_DIGITS, strict=True)), **_MARKS, **_OTHER_DIGITS, **_BLANKS}
_D: Final = f"[0-9{_NUMERALS}{''.join(map(chr, _OTHER_DIGITS))}]"
_ANY_DIGIT: Final = re.compile(_D)
# Most texts hold no digit, or single ones ("下午3点"). Every shape below needs two of them close together, one shortly
# before 号, or a word that leads to a door.
_CLOSE: Final = re.compile(rf"{_D}(?:.{{0,3}}{_D}|.{{0,4}}号)", re.DOTALL)
_LEADS_TO_DOOR: Final = re.compile(r"[A-Za-z]|门牌|[房间室]号")
# Ids that are drawn by chance, such as a UUID or the `traceparent` of a request: one in some hundred holds the shape of a number, and nobody's number.
_OPAQUE: Final = re.compile(
    r"(?=.*[a-fA-F])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[0-9a-fA-F]{32}|[0-9a-fA-F]{40}"
    r"|[0-9a-fA-F]{64})"
)
_OPAQUE_LENGTHS: Final = frozenset({32, 36, 40, 55, 64})
_DIGITS_OF_SHORTEST_PHONE: Final = 7

_GAP: Final = r"[\s\-.()_/、,]{0,3}"  # what people put between the digits of one number
_MOBILE: Final = re.compile(rf"(?<!\d)(?:(?:\+|00)?86{_GAP})?1{_GAP}[3-9](?:{_GAP}\d){{9}}(?!\d)", re.ASCII)
_PHONE: Final = re.compile(
    rf"(?<!\d)(?:(?:\+|00)86{_GAP})?\(?0(?:10|2\d|[3-9]\d\d)\)?{_GAP}[1-9]\d{{2,3}}[\s\-]?\d{{4}}(?!\d)"  # area code
    rf"|(?<!\d)(?:\+|00)86{_GAP}(?:10|2\d|[3-9]\d\d){_GAP}[1-9]\d{{2,3}}[\s\-]?\d{{4}}(?!\d)"
    r"|(?<![\dA-Za-z)])\+(?!86)[1-9]\d{0,2}(?:[\s\-.()]{0,2}\d){7,12}(?![\d:年月日])"  # other countries'
    r"|(?<![\dA-Za-z])[48]00[\s\-]?(?:\d{3}[\s\-]?\d{4}|\d{4}[\s\-]?\d{3})(?!\d)",  # 400 and 800 numbers
    re.ASCII,
)
_SHORT_PHONE: Final = re.compile(r"(?<!\d)[1-9]\d{2,3}[\s\-]?\d{4}(?!\d)", re.ASCII)
_PHONE_LABEL: Final = re.compile(r"(?:电话|手机|座机|热线|联系|拨打|微信|tel|phone|mobile|call)[^\d\n]{0,8}$", re.IGNORECASE | re.ASCII)
_LABEL_MAX: Final = 14
_BORN: Final = (
    rf"(?:1{_GAP}[89]|2{_GAP}0){_GAP}\d{_GAP}\d{_GAP}(?:0{_GAP}[1-9]|1{_GAP}[0-2]){_GAP}"
    rf"(?:0{_GAP}[1-9]|[12]{_GAP}\d|3{_GAP}[01])"
)
_IDENTITY_CARD: Final = re.compile(
    rf"(?<![\dA-Za-z])[1-9](?:{_GAP}\d){{5}}{_GAP}{_BORN}(?:{_GAP}\d){{3}}{_GAP}[\dXx](?![\dA-Za-z])"
    r"|(?<![\dA-Za-z])[1-9]\d(?:[\s\-]?\d){15}[\s\-]?[\dXx](?![\dA-Za-z])"  # as mistyped as you like
    r"|(?<![\dA-Za-z])[1-9]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?![\dA-Za-z])",  # before 1999
    re.ASCII,
)
_NO_YEAR: Final = r"(?!(?:19|20)\d\d\s*[\-/.年])"
# After a number that could be a door's: it counts something, or it is the name of a place that is open to all.
_COUNTED: Final = r"(?!\d|\s*[年月日天元块角分米人次个名位平斤公克份本余多点时周岁路%:：.])"
_OPEN_TO_ALL: Final = r"(?!\s*(?:楼|线|窗|门|厅|会|教|活|电梯|桌|柜|诊|机|馆|店|院|公))"
_DOOR: Final = re.compile(
    r"(?<!\d)\d{3,4}\s*(?:号\s*)?(?:室(?![内外])|房(?![租贷款屋产型车源东价补]|间调))"  # 501室, 1203号房
    rf"|(?<!\d)\d{{1,2}}\s*(?:单元|楼|层|栋|幢|(?<=[\dA-Za-z])座)\s*\d{{1,4}}\s*(?:[室房户]|号{_OPEN_TO_ALL})"  # 2单元5号
    rf"|(?:单元|号楼|[栋幢]|(?<=[\dA-Za-z])座)[\s\-#]{{0,3}}{_NO_YEAR}\d{{3,4}}{_COUNTED}"  # 3单元501
    rf"|(?:单元|号楼|[栋幢]|(?<=[\dA-Za-z])座)[\s\-#]{{0,3}}\d{{1,2}}\s?[\-门]\s?(?:\d{{3,4}}|0\d){_COUNTED}"  # 5栋2-301
    rf"|(?<!\d)\d{{1,2}}\s*门\s*\d{{3,4}}{_COUNTED}"  # 2门501
    rf"|(?<!\d)\d{{1,2}}\s*#\s*楼?\s*{_NO_YEAR}\d{{3,4}}{_COUNTED}"  # 5#楼301
    rf"|(?<!\d)(\d{{1,2}})\s*[楼层]\s*\1\d\d{_COUNTED}"  # 5楼502
    r"|(?:门牌号?|房间?号|室号)[^\d\n]{0,4}\d{1,4}"
    rf"|(?:路|街|巷|大道|胡同|弄|[东南西北中\d]段)\s*[甲乙丙丁]?\s*\d{{1,4}}\s*号{_OPEN_TO_ALL}"  # a street number
    r"|(?<![\d\-])\d{1,2}\s?-\s?\d{1,2}\s?-\s?(?!(?:19|20)\d\d(?!\d))\d{3,4}(?![\d\-])"  # building-unit-door
    r"|(?<![a-z])(?:room|rm|apartment|apt|flat|door|suite)(?![a-z])\.?\s*(?:no\.?|number)?\s*#?\s*[a-z]?\d{1,4}[a-z]?\b(?!\s*(?:hours?|minutes?|days?|people|times|am|pm)\b)"
    r"|(?<![a-z])unit\s*(?:no\.?|number)?\s*#?\s*(?:\d{3,4}|\d{1,4}[a-z])\b"
    r"|(?<![\da-z])\d{3,4}\s*(?:room|rm)(?![a-z])"
    r"|(?<![\w&])#\s?\d{1,2}-\d{2,4}(?![\d\-]|\s*[折元])",
    re.IGNORECASE | re.ASCII,
)
_NUMBERS: Final = (("identity_card", _IDENTITY_CARD), ("phone", _MOBILE), ("phone", _PHONE), ("phone", _SHORT_PHONE))
_SEPARATOR: Final = re.compile(r"[\-._/、,]")
_PLAIN_MOBILE: Final = r"1[3-9][0-9]{9}"
_PLAIN_CARD: Final = r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]"
_BARE_NUMBER: Final = re.compile(rf"(?:tel:|sms:)?(?:(?:\+|00)?86-?)?{_PLAIN_MOBILE}|{_PLAIN_CARD}|(?:tel:)?0[0-9]{{2,3}}-?[1-9][0-9]{{6,7}}")
_NUMBER_INSIDE: Final = re.compile(rf"(?<![0-9A-Za-z])(?:{_PLAIN_MOBILE}|{_PLAIN_CARD})(?![0-9A-Za-z])")
# What is searched for in bytes that are too many to be read as text: the same numbers as most people write them.
_PLAIN_NUMBERS: Final = re.compile(
    rb"(?<![0-9])(?:1[ \-]?[3-9](?:[ \-]?[0-9]){9}|[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9Xx]|0[0-9]{2,3}[ \-]?[1-9][0-9]{6,7})(?![0-9])"
)
# Fields that only an address, a contact or a coordinate could fill; none of them has a place on a topic. Written without
# blanks, dashes and underscores, as `is_forbidden_key` compares them.
_FORBIDDEN_KEYS: Final = frozenset(
    {
        "phone",
        "mobile",
        "tel",
        "telephone",
        "phonenumber",
        "mobilephone",
        "mobilenumber",
        "cellphone",
        "contactphone",
        "contactnumber",
        "idcard",
        "idcardno",
        "idcardnumber",
        "idnumber",
        "identitycard",
        "identity",
        "door",
        "doornumber",
        "doorno",
        "room",
        "roomnumber",
        "roomno",
        "street",
        "streetaddress",
        "address",
        "homeaddress",
        "lat",
        "lng",
        "lon",
        "latitude",
        "longitude",
        "coordinate",
        "coordinates",
        "geo",
        "gps",
        "电话",
        "手机",
        "手机号",
        "电话号码",
        "身份证",
        "身份证号",
        "门牌",
        "门牌号",
        "住址",
        "地址",
    }
)
_KEY_JOINTS: Final = str.maketrans("", "", " -_")


def _is_clean(text: str) -> bool:
    """Whether a quick look rules every shape out; most texts end here."""
    first = _ANY_DIGIT.search(text)
    if first is None or (len(text) in _OPAQUE_LENGTHS and _OPAQUE.fullmatch(text) is not None):
        return True
    return _CLOSE.search(text, first.start()) is None and _LEADS_TO_DOOR.search(text) is None


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    digits = text.translate(_TO_DIGITS)
    if sum(map(digits.count, "0123456789")) >= _DIGITS_OF_SHORTEST_PHONE:
        for kind, shape in _NUMBERS:
            at = 0
            while (found := shape.search(digits, at)) is not None:
                if _is_something_else(shape, found):
                    at = found.start() + 1
                else:
                    yield kind, found.start(), found.end()
                    at = found.end()
    for found in _DOOR.finditer(digits):
        yield "door", found.start(), found.end()


def _is_something_else(shape: re.Pattern[str], found: re.Match[str]) -> bool:
    if shape is _MOBILE:  # "15.30-16.30, 8.00" are times: nobody writes one number with two kinds of dashes
        return len(set(_SEPARATOR.findall(found[0]))) > 1
    if shape is _SHORT_PHONE:  # seven or eight digits are a phone only where a word says so
        return _PHONE_LABEL.search(found.string[max(0, found.start() - _LABEL_MAX) : found.start()]) is None
    return False


def find_personal_data(text: str) -> str | None:
    """The kind of the first personal number in a free text (`phone`, `identity_card`, `door`), or None."""
    return None if _is_clean(text) else next((kind for kind, _, _ in _spans(text)), None)


def mask(text: str) -> str:
    """The text with each character of a personal number replaced by `*`; the same object when there is none."""
    while not _is_clean(text) and (spans := list(_spans(text))):  # again, as a mask may lay bare what its digits hid
        letters = list(text)
        for _, start, end in spans:
            letters[start:end] = "*" * (end - start)
        text = "".join(letters)
    return text


def mask_plain(value: bytes) -> bytes:
    """Bytes of any size with plainly written phone and identity-card numbers masked; one pass, about 0.2 s a MiB at worst."""
    return _PLAIN_NUMBERS.sub(lambda found: b"*" * len(found[0]), value)


def is_bare_number(text: str) -> bool:
    """Whether an id or reference is nothing but a phone or identity-card number."""
    return text[0:1] in "0123456789+ts" and _BARE_NUMBER.fullmatch(text) is not None


def holds_number(number: float) -> bool:
    """Whether a number of JSON is a mobile or identity-card number."""
    return _NUMBER_INSIDE.search(str(number)) is not None


def is_forbidden_key(name: str) -> bool:
    """Whether a field of this name could only hold a contact, an address or a coordinate."""
    return name.lower().translate(_KEY_JOINTS) in _FORBIDDEN_KEYS
