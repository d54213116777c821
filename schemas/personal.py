"""Finding and masking personal data in text: telephone, identity-card and door numbers, e-mail addresses and coordinates.

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
_DIGIT_BLOCKS: Final = ((0x00B2, 0x0E60), (0x2070, 0x2800), (0xFF10, 0xFF1A), (0x1D7CE, 0x1D800), (0x1FBF0, 0x1FBFA))
_OTHER_DIGITS: Final = {
    code: str(digit) for first, end in _DIGIT_BLOCKS for code in range(first, end) if (digit := unicodedata.digit(chr(code), None)) is not None
}
_MARKS: Final = dict(zip(map(ord, "－—–‐‑−﹣＋（）．·・•｡。ｘＸ＃，／＿；：＊［］【】～｜＝＼＠"), "-------+()......xX#,/_;:*[][]~|=\\@", strict=True))
# Traditional writing, of the words that the shapes below name.
_TRADITIONAL: Final = dict(
    zip(map(ord, "號樓棟單門層間電話機熱線聯傳時點歲餘會廳館櫃診醫戶組隊東來"), "号楼栋单门层间电话机热线联传时点岁余会厅馆柜诊医户组队东来", strict=True)
)
# Blanks, and what stands between digits unseen or around them: directions, joiners, fillers, marks that strike out, the boxes of keycaps.
_UNSEEN: Final = ((0x0300, 0x0370), (0x2000, 0x2010), (0x2028, 0x2030), (0x205F, 0x2070), (0x20D0, 0x20F1), (0xFE00, 0xFE10), (0xE0020, 0xE0080))
_BLANK_LETTERS: Final = "\u00a0\u00ad\u061c\u115f\u1160\u180e\u3000\u3164\ufeff\uffa0"
_BLANKS: Final = {ord(letter): " " for letter in (*_BLANK_LETTERS, *(chr(code) for first, end in _UNSEEN for code in range(first, end)))}
# One character for one, so that a place found in the translation is the same place in the text.
_TO_DIGITS: Final[dict[int, str]] = {
    **dict(zip(map(ord, _NUMERALS), _NUMERAL_DIGITS, strict=True)),
    **_MARKS,
    **_TRADITIONAL,
    **_OTHER_DIGITS,
    **_BLANKS,
}
# A name may end with a numeral, and the number stand right behind it: "张三13800138000" is no number of twelve digits.
_TO_DIGITS_BUT_NUMERALS: Final = {code: written for code, written in _TO_DIGITS.items() if chr(code) not in _NUMERALS}
_D: Final = f"[0-9{_NUMERALS}{''.join(map(chr, _OTHER_DIGITS))}]"
_ANY_DIGIT: Final = re.compile(rf"{_D}|十")
# Most texts hold no digit, or single ones ("下午3点"). Every shape below needs two of them close together, one shortly
# before 号 or 户, or a word that leads to a door.
_CLOSE: Final = re.compile(rf"(?:{_D}|十)(?:.{{0,3}}{_D}|.{{0,4}}[号號户戶])", re.DOTALL)
_LEADS_TO_DOOR: Final = re.compile(r"[A-Za-z]|[门門]牌|[房间間室][号號]")
# Ids that are drawn by chance, such as a UUID or the `traceparent` of a request: one in some hundred holds the shape of a number, and nobody's number.
_OPAQUE: Final = re.compile(
    r"(?=.*[a-fA-F])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[0-9a-fA-F]{32}|[0-9a-fA-F]{40}"
    r"|[0-9a-fA-F]{64})"
)
_OPAQUE_LENGTHS: Final = frozenset({32, 36, 40, 55, 64})
_DIGITS_OF_SHORTEST_PHONE: Final = 7

_GAP: Final = r"[\s\-.()_/、,]{0,3}"  # what people put between the digits of one number
_MOBILE: Final = re.compile(rf"(?<!\d)(?:(?:\+|00)?86{_GAP})?1{_GAP}[3-9](?:{_GAP}\d){{9}}(?!\d)", re.ASCII)
# In the groups in which a mobile number is read out, whatever stands between them; a 0 before it is dialled in long distance. `*` is the mask's own
# letter too, so it joins only where it stands alone.
_JOINT: Final = r"(?:[\s\-.()\[\]_/、,;:~|=#\\]{0,4}|\s?\*\s?)"
_MOBILE_IN_GROUPS: Final = re.compile(
    rf"(?<!\d)(?:(?:\+|00)?86[\s\-.()\[\]]{{0,3}})?(?:0[\s\-)]?)?1[3-9]\d{_JOINT}(\d{{4}}){_JOINT}(\d{{4}})(?!\d|\s*(?:[元块年米]|毫米|厘米|[mc]m\b))", re.ASCII
)
_TIME_OR_YEAR: Final = re.compile(r"(?:[01]\d|2[0-3])[0-5]\d|(?:19|20)\d\d", re.ASCII)
_PHONE: Final = re.compile(
    rf"(?<!\d)(?:(?:\+|00)86{_GAP})?\(?0(?:10|2\d|[3-9]\d\d)\)?{_GAP}[1-9]\d{{2,3}}[\s\-]?\d{{4}}(?!\d)"  # area code
    rf"|(?<!\d)(?:\+|00)86{_GAP}(?:10|2\d|[3-9]\d\d){_GAP}[1-9]\d{{2,3}}[\s\-]?\d{{4}}(?!\d)"
    r"|(?<![\dA-Za-z)])\+(?!86)[1-9]\d{0,2}(?:[\s\-.()]{0,2}\d){7,12}(?![\d:年月日])"  # other countries'
    # With 00 a separator must follow, or a code beside which the length is known: `0012345678` is any number of an order.
    r"|(?<![\w).\-])(?<!\d:)00(?:(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[124]|85[2356]|88[06]|9[0-58])[\s\-.()]{1,2}\d(?:[\s\-.()]{0,2}\d){6,11}|85[23]\d{8}|886\d{8,9})(?![\d:年月日])"
    r"|(?<![\w\-.])1(?:(?P<dash>[\-.])[2-9]\d\d(?P=dash)|\s?\([2-9]\d\d\)\s?)[2-9]\d\d[\-.]\d{4}(?![\w\-])"  # North America
    r"|(?<![\dA-Za-z])[48]00(?:[\s\-]?(?:\d{3}[\s\-]?\d{4}|\d{4}[\s\-]?\d{3})|\d[\s\-]\d{3}[\s\-]\d{3})(?!\d)",  # 400 and 800 numbers
    re.ASCII,
)
_SHORT_PHONE: Final = re.compile(r"(?<!\d)(?:[1-9]\d{2,3}[\s\-]?\d{4}(?!\d|\s*元)|(?!(?:19|20)\d\d)[1-9]\d{3}[\s\-]\d{3}(?!\d|\s*[元块折人年月]))", re.ASCII)
_PHONE_LABEL: Final = re.compile(
    r"(?:(?:电话|手机|座机|固话|传真|热线|联系|拨打|致电|来电|电联|小灵通|微信|[☎☏📞📱]|tel|phone|mobile|call|fax)[^\d\n]{0,8}"
    r"|[打拨](?:给|到|我|他|她)?[\s:]{0,2})$",
    re.IGNORECASE | re.ASCII,
)
_LABEL_MAX: Final = 14
_BORN: Final = (
    rf"(?:1{_GAP}[89]|2{_GAP}0){_GAP}\d{_GAP}\d{_GAP}(?:0{_GAP}[1-9]|1{_GAP}[0-2]){_GAP}"
    rf"(?:0{_GAP}[1-9]|[12]{_GAP}\d|3{_GAP}[01])"
)
_IDENTITY_CARD: Final = re.compile(
    rf"(?<![\dA-Za-z])[1-9](?:{_GAP}\d){{5}}{_GAP}{_BORN}(?:{_GAP}\d){{3}}{_GAP}[\dXx](?![\dA-Za-z])"
    r"|(?<![\dA-Za-z])[1-9]\d(?:[\s\-]?\d){15}[\s\-]?[\dXx](?![\dA-Za-z])"  # as mistyped as you like
    r"|(?<![\dA-Za-z])[1-9]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?![\dA-Za-z])"  # before 1999
    # Letters may touch the number where the birthday in it is one, but not as in a hexadecimal id, whose digits go on behind them.
    r"|(?<!\d)[1-9]\d{5}[\s\-]?(?:1[89]|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[\s\-]?\d{3}[\dXx](?![a-fA-F]{0,20}\d)",
    re.ASCII,
)
_INSIDE_HEX: Final = re.compile(r"\d[a-fA-F]{1,20}$", re.ASCII)
_HEX_MAX: Final = 21
_NO_YEAR: Final = r"(?!(?:19|20)\d\d\s*[\-/.年])"
# After a number that could be a door's: it counts something, or it is the name of a place that is open to all.
_COUNTED: Final = r"(?!\d|\s*(?:[年月日天元块角分米人次个名位平斤公克份本余多点时周岁路页题%]|[:.]\d|(?:[wv]|kg|kw)(?![a-z])))"
_OPEN_TO_ALL: Final = r"(?!\s*(?:楼|线|窗|门|厅|会|教|活|电梯|桌|柜|诊|机|馆|店|院|公))"
_NO_ROOM_FOR_ALL: Final = r"(?!\s*+(?:号\s*+)?(?:会议|教|活动|阅览|图书|诊|办公|接待|值班|培训|自习|排练|舞蹈|棋牌|康复|急救|实验|多功能)[室厅])"
# Households that are counted. "501户停水" behind a unit may well be one door, "100户停水" can't be.
_HOUSEHOLDS: Final = r"(?:居|人家|家庭|村|住户|业主|老|贫|困|低保)"
_NO_HOUSEHOLDS: Final = rf"(?!\d{{1,4}}\s*户\s*{_HOUSEHOLDS}|(?:\d{{1,2}}|\d{{1,3}}0|\d{{1,2}}[1-9]\d)\s*户\s*停)"
# What looks like a door at first sight, floor and door: where little else says that it is one.
_LIKE_A_DOOR: Final = r"[1-9]\d?0[1-9]"
_NOTHING_ELSE: Final = (
    rf"{_COUNTED}{_OPEN_TO_ALL}{_NO_ROOM_FOR_ALL}"
    r"(?!\s*(?:以|左右|[户间张把台套件盒箱包袋瓶桶束只辆排席届级班场节项种条瓦度寸]|㎡|m2|医|中学|小学|国道|厂|所|[\-~至到]\d))"
)
_TENS: Final = r"(?:\d{1,4}(?:-\d{1,3})?|\d?十\d?|\d百(?:0?\d|\d?十\d?)?)"
_JUST_A_DOOR: Final = r"(?=\s*(?:\Z|\n|[,.。!！?？;、):…~～”](?!\d)|的|了|号(?!线)|[室房]))"
# On a floor with two or three doors, as people tell them apart.
_SIDE: Final = "(?:[东西南北][南北]?|[中左右])(?:边|侧|手边?)?"
_CHARACTER: Final = r"[\u4e00-\u9fff]"
_UNIT: Final = r"(?:单元|号楼|[栋幢]|(?<=[\dA-Za-z])座)"
_COUNTED_EN: Final = (
    r"(?!(?:\s?-\s?\d{1,4})?\s*(?:hours?|minutes?|days?|weeks?|people|persons?|times|am|pm|tires?|tyres?|beds?|chairs?|tables?|yuan|rmb|square|sqm)\b)"
    r"(?![:.]\d\d)"
)
_CAPITAL: Final = r"(?-i:[A-Z][a-z]{1,20})"
_NO_NAME_OF_STREET: Final = (
    r"(?!(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)(?:uary|ruary|ch|il|ust|t|tember|ober|ember)?\s"
    r"|(?:people|persons|volunteers|helpers|students|kids|children|seniors|residents|families|hours|minutes|days|times|on|at|in|to|for|along|from|near|and|of)\s)"
)
_DOOR: Final = re.compile(
    r"(?<!\d)(?:\d{3,4}(?:-?[a-z])?|[1-9]百(?:0?[1-9]|\d?十\d?))\s*(?:号\s*)?"
    r"(?:-?\s?室(?![内外])|病?房(?![租贷款屋产型车源东价补]|间调))"  # 501室, 1203号房, 五百零一室
    rf"|(?<!\d)\d{{1,2}}\s*(?:单元|楼|层|栋|幢|(?<=[\dA-Za-z])座)\s*{_NO_HOUSEHOLDS}\d{{1,4}}\s*(?:[室房户]|号{_OPEN_TO_ALL})"  # 2单元5号
    rf"|(?:\d|十)\s*[楼层]\s*(?:靠|的)?{_SIDE}的?户(?!外)|单元\s*+{_TENS}\s*[楼层]\s*(?:靠|的)?(?:{_SIDE}的?门|[左右]手)"  # 5楼东户
    rf"|单元\s*+{_TENS}\s*[楼层]\s*{_NO_YEAR}\d{{3,4}}{_COUNTED}{_NO_ROOM_FOR_ALL}"  # 2单元十三层1301
    rf"|{_UNIT}[\s\-#第]{{0,3}}{_NO_YEAR}{_NO_HOUSEHOLDS}\d{{3,4}}{_COUNTED}{_NO_ROOM_FOR_ALL}"  # 3单元501
    rf"|{_UNIT}\s?[的,]\s?{_LIKE_A_DOOR}{_NOTHING_ELSE}"  # 1号楼的101
    rf"|{_UNIT}[\s\-#]{{0,3}}\d{{1,2}}\s?[\-门]\s?(?:\d{{3,4}}|0\d){_COUNTED}"  # 5栋2-301
    rf"|(?<!\d)\d{{1,2}}\s*门\s*\d{{3,4}}{_COUNTED}"  # 2门501
    rf"|(?<!\d)\d{{1,2}}\s*#\s*+(?:楼\s*+)?{_NO_YEAR}\d{{3,4}}{_COUNTED}"  # 5#楼301
    rf"|(?<!\d)\d{{1,2}}\s?#\s?楼?-?(?:\d{{1,2}}-)?{_LIKE_A_DOOR}{_NOTHING_ELSE}"  # 1#1-101
    rf"|(?<!\d)(\d{{1,2}})\s*(?:[楼层]|F\s?-?)\s*\1\d\d{_COUNTED}{_NO_ROOM_FOR_ALL}"  # 5楼502, 5F-502
    rf"|(?<=[\da-z东南西北])区\s?\d{{1,2}}\s?-\s?{_LIKE_A_DOOR}(?!\s*号?[排座桌柜摊展]){_NOTHING_ELSE}"  # C区3-101
    r"|(?:门牌号?|房间?号|室号)[^\d\n]{0,4}\d{1,4}"
    rf"|房间[\s:#\-]{{0,2}}{_NO_YEAR}{_LIKE_A_DOOR}{_NOTHING_ELSE}"
    rf"|(?:宿舍|寝室|公寓|敬老院|养老院|福利院)\s?楼?[\s:#\-]{{0,2}}(?:\d{{1,2}}-)?{_LIKE_A_DOOR}{_NOTHING_ELSE}"  # 宿舍302
    rf"|(?:我家|(?<!大)家[在是]|敲|送[到至去]|楼[上下]|对门|隔壁)[\s:]?(?<!\d){_LIKE_A_DOOR}(?!\d)(?:{_JUST_A_DOOR}|(?=\s?漏))"  # 家在302
    rf"|(?<![\d.\-第]){_LIKE_A_DOOR}\s?{_NOTHING_ELSE}的?{_CHARACTER}{{0,2}}(?:奶奶|爷爷|婆婆|阿姨|大爷|大妈|大娘|大叔)"  # 302王奶奶
    rf"|(?<!入)住(?:在[\s:]?[1-9]\d?(?!00)\d\d|\s?{_LIKE_A_DOOR})(?!\d){_JUST_A_DOOR}"  # 住在302
    rf"|(?:(?<![^,.;:!！(住])(?<![计共约有数标为]:)|(?<=住在)){_LIKE_A_DOOR}\s?户(?!\s*(?:{_HOUSEHOLDS}|[停参受都已全中以口报签装完共左]))"  # 501户
    rf"|(?<![逛走])(?:路|街|巷|大道|胡同|弄|[东南西北中\d]段)\s*+(?:[甲乙丙丁]\s*+)?{_TENS}\s*号"  # a street number
    rf"(?:{_OPEN_TO_ALL}|院\s?\d{{1,3}}\s?(?:号|栋|幢|楼|座|单元))"
    rf"|村\s*+第?\s?{_TENS}\s*[组社队]\s*+{_TENS}\s*号(?!人|选手|\s*(?:[上下中]午|[早晚到至起前后开]|\d)){_OPEN_TO_ALL}"  # 王家村3组25号
    r"|(?<![\d\-])(?P<triple>(?:\d{1,2}\s?-\s?)?\d{1,2}\s?-\s?\d{1,2}\s?-\s?(?!(?:19|20)\d\d(?!\d))\d{3,4})(?![\d\-])"  # building-unit-door
    r"|(?<![a-z])(?:room|rm|apartment|apt|flat|door|suite)(?![a-z])\.?\s*+(?:(?:no\.?|number)\s*+)?(?:#\s*+)?[a-z]?\d{1,4}[a-z]?\b"
    rf"{_COUNTED_EN}"
    rf"|(?<![a-z])(?:room|apartment|apt|flat|suite|unit)\s?[\-:]\s?{_NO_YEAR}\d{{3,4}}[a-z]?\b{_COUNTED_EN}(?!\s[a-z]{{2,20}}s\b)"  # room: 101
    rf"|(?<![a-z])(?:building|bldg|block|unit)\.?\s?\d{{1,2}}[a-z]?\s?[,\-]?\s?{_LIKE_A_DOOR}\b{_COUNTED_EN}(?!\s[a-z]{{2,20}}s\b)"  # Building 3, 501
    rf"|(?<![a-z])house\s?(?:no\b\.?|number|#)[\s:#]{{0,2}}\d{{1,4}}[a-z]?\b{_COUNTED_EN}"
    r"|(?<![a-z])unit\s*+(?:(?:no\.?|number)\s*+)?(?:#\s*+)?(?:\d{3,4}|\d{1,4}[a-z]|\d{1,2}-\d{3,4})\b"
    r"|(?<![\da-z])\d{3,4}\s*(?:room|rm)(?![a-z])"
    r"|(?<![\w./\-])(?<!\d:)(?<!bus )(?<!line )(?<!route )(?!(?:19|20)\d\d\b)\d{1,4}[a-z]?\s"
    rf"{_NO_NAME_OF_STREET}(?:{_CAPITAL}\s){{1,3}}(?-i:[Ss]treet|[Rr]oad|[Aa]venue|Lane|Rd|Ave)\b"
    r"(?!\s(?:clean|sweep|safety|cross|repair|run|race|party|fair))"  # 12 Chaoyang Street
    r"|(?<![\w&])#\s?\d{1,2}-\d{2,4}(?![\d\-]|\s*[折元])",
    re.IGNORECASE | re.ASCII,
)
# Two numbers with three decimals or more, as a map gives them; with fewer only where letters or words say what they are.
_COORDINATE: Final = re.compile(
    r"(?<![\d.])[1-8]?\d\.\d{3,}\s?°?\s?[NS]?\s?[,;/\s]\s?[EW]?\s?-?1?\d{1,2}\.\d{3,}(?![\d.])"  # 32.6854, 109.0293
    r"|(?<![\d.])(?:1[0-7]\d|9\d)\.\d{3,}\s?°?\s?[EW]?\s?[,;/\s]\s?[NS]?\s?-?[1-8]?\d\.\d{3,}(?![\d.])"  # 109.0293,32.6854, as China's maps copy it
    r"|(?<![A-Za-z])[NS]\s?\d{1,2}(?:\.\d{2,}|\s?°[\d.\s′'’″\"]{0,12})[,;/\s]{0,3}[EW]\s?\d{1,3}(?:\.\d{2,}|\s?°[\d.\s′'’″\"]{0,12})"  # N32.68 E109.02
    r"|(?:[北南]纬|[东西]经|经度|纬度)[\s:约是为]{0,3}\d[\d.°′'’″\"分秒]{0,16}|(?<!\d)\d{1,3}\s?°\s?\d{1,2}\s?[′'’分][\d.\s″\"秒]{0,8}",
    re.ASCII,
)
_EMAIL: Final = re.compile(r"(?<![\w.%+\-])[\w.%+\-]{1,64}\s?@\s?(?:[a-z0-9\-]{1,63}\.){1,8}[a-z]{2,24}(?![a-z0-9\-])", re.IGNORECASE | re.ASCII)
# The codes of parcel lockers are written as building, unit and door are.
_PARCEL: Final = re.compile(r"(?:(?:取件|取货|提货|取餐|自提|快递)码|取件号|货架号?)[^\d\n]{0,4}(?:[\d\- ]{5,12}[,、和;\s]{1,2}){0,4}$", re.ASCII)
_PARCEL_MAX: Final = 60
# A long text is searched in pieces: while one search lasts, no other thread has its turn. No number, with what may stand between its digits, and no
# label before it is longer than the border.
_PIECE: Final = 4096
_BORDER: Final = 256
_NUMBERS: Final = (("identity_card", _IDENTITY_CARD), ("phone", _MOBILE), ("phone", _MOBILE_IN_GROUPS), ("phone", _PHONE), ("phone", _SHORT_PHONE))
# These may have few digits, so they are looked for in any text that has some.
_PLACES: Final = (("email", _EMAIL), ("door", _DOOR), ("coordinate", _COORDINATE))
_SEPARATOR: Final = re.compile(r"[\-._/、,;:*]")
_PLAIN_MOBILE: Final = r"1[3-9][0-9]{9}"
_GROUPED_MOBILE: Final = r"1[3-9][0-9](?P<joint>[.\-]?)[0-9]{4}(?P=joint)[0-9]{4}"
_PLAIN_CARD: Final = r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]"
_BARE_NUMBER: Final = re.compile(rf"(?:tel:|sms:)?(?:(?:\+|00)?86-?)?{_GROUPED_MOBILE}|{_PLAIN_CARD}|(?:tel:)?0[0-9]{{2,3}}-?[1-9][0-9]{{6,7}}")
_BEGINS_NUMBER: Final = "0123456789+ts０１２３４５６７８９＋"
# A quick look at JSON that rules out each of these: all digits as one and the same.
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"0" * 9)
_RUNS: Final = (b"0" * 7, b"000-0000-0000", b"000.0000.0000")
_WIDE: Final = str.maketrans("０１２３４５６７８９＋", "0123456789+")
_BEGINS_WIDE: Final = b"\xef\xbc"
_WIDE_DIGIT: Final = re.compile(rb"\xef\xbc[\x90-\x99]")
_NUMBER_INSIDE: Final = re.compile(rf"(?<![0-9A-Za-z])(?:{_PLAIN_MOBILE}|{_PLAIN_CARD})(?![0-9A-Za-z])")
# In a code that somebody else chose: more digits than any list of faults has, as many as a number of the local exchange.
_LONG_DIGITS: Final = re.compile(r"[0-9]{7}")
NUMBER_WITHHELD: Final = "number_withheld"
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
    if "@" in text or "＠" in text:
        return False
    first = _ANY_DIGIT.search(text)
    if first is None or (len(text) in _OPAQUE_LENGTHS and _OPAQUE.fullmatch(text) is not None):
        return True
    return _CLOSE.search(text, first.start()) is None and _LEADS_TO_DOOR.search(text) is None


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    digits = text.translate(_TO_DIGITS)
    shapes = (*_NUMBERS, *_PLACES) if sum(map(digits.count, "0123456789")) >= _DIGITS_OF_SHORTEST_PHONE else _PLACES
    words = text.translate(_TO_DIGITS_BUT_NUMERALS)
    for read in (digits,) if words == digits else (digits, words):
        pieces = list(_pieces(read))
        for kind, shape in shapes:
            for piece in pieces:
                yield from _spans_of(kind, shape, *piece)


def _pieces(digits: str) -> Iterator[tuple[str, int, int, int]]:
    """(text, where it begins, from where to where numbers may begin in it): a short text as it is, a long one piece by piece with a border."""
    if len(digits) <= 2 * _PIECE:
        yield digits, 0, 0, len(digits)
        return
    for start in range(0, len(digits), _PIECE):
        end, first = start + _PIECE, max(0, start - _BORDER)
        text = digits[first : end + _BORDER]
        if "@" in text or _ANY_DIGIT.search(text) is not None:  # every other shape has a digit
            yield text, first, start, end


def _spans_of(kind: str, shape: re.Pattern[str], text: str, first: int, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The numbers of one shape that begin in a piece."""
    at = 0
    while (found := shape.search(text, at)) is not None:
        if _is_something_else(shape, found):
            at = found.start() + 1
        else:
            if start <= first + found.start() < end:
                yield kind, first + found.start(), first + found.end()
            at = found.end()


def _is_something_else(shape: re.Pattern[str], found: re.Match[str]) -> bool:
    if shape is _MOBILE:  # "15.30-16.30, 8.00" are times: nobody writes one number with two kinds of dashes
        return len(set(_SEPARATOR.findall(found[0]))) > 1
    if shape is _MOBILE_IN_GROUPS:  # "150, 1400-1600" may be a price and hours, "150, 2026-2027" a number of people and years
        return len(set(_SEPARATOR.findall(found[0]))) > 1 and all(map(_TIME_OR_YEAR.fullmatch, found.groups()))
    if shape is _IDENTITY_CARD:
        return _stands_before(found, _INSIDE_HEX, _HEX_MAX)
    if shape is _DOOR:
        return found["triple"] is not None and _stands_before(found, _PARCEL, _PARCEL_MAX)
    if shape is _SHORT_PHONE:  # seven or eight digits are a phone only where a word says so
        return not _stands_before(found, _PHONE_LABEL, _LABEL_MAX)
    return False


def _stands_before(found: re.Match[str], label: re.Pattern[str], most: int) -> bool:
    """Whether the label ends where the number begins; it is so many characters long at most."""
    return label.search(found.string[max(0, found.start() - most) : found.start()]) is not None


def find_personal_data(text: str) -> str | None:
    """The kind of the first personal number in a free text (`phone`, `identity_card`, `email`, `door`, `coordinate`), or None."""
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
    return text[0:1] in _BEGINS_NUMBER and _BARE_NUMBER.fullmatch(text if text.isascii() else text.translate(_WIDE)) is not None


def may_hold_bare_number(text: bytes) -> bool:
    """Whether some string of a JSON text may be a bare number: each shape has seven digits in a row or a mobile number's groups, and most events have neither.

    Where something is escaped, or digits are as wide as Chinese letters, they may be there too.
    """
    alike = text.translate(_DIGITS_ALIKE)
    return b"\\" in text or any(run in alike for run in _RUNS) or (_BEGINS_WIDE in text and _WIDE_DIGIT.search(text) is not None)


def code_of(code: str | None) -> str | None:
    """Somebody else's code for what went wrong; where it has as many digits in a row as a telephone number, that it had them is all that is kept."""
    return NUMBER_WITHHELD if code is not None and _LONG_DIGITS.search(code) else code


def holds_number(number: float) -> bool:
    """Whether a number of JSON is a mobile or identity-card number."""
    return _NUMBER_INSIDE.search(str(number)) is not None


def is_forbidden_key(name: str) -> bool:
    """Whether a field of this name could only hold a contact, an address or a coordinate."""
    return name.lower().translate(_KEY_JOINTS) in _FORBIDDEN_KEYS
