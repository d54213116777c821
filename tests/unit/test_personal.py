"""Finding and masking of personal numbers, in the many ways people write them and in what only looks like them."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.personal import find_personal_data, holds_number, is_bare_number, is_forbidden_key, mask, may_hold_bare_number

PHONES = [
    "13800138000",
    "请联系张三13800138000",
    "王五:13800138000",
    "三楼李四138-0013-8000",
    "13800138000三楼",
    "找老九029-85331234",
    "138 0013 8000",
    "138-0013-8000",
    "138.0013.8000",
    "138·0013·8000",
    "138_0013_8000",
    "138—0013—8000",
    "138\u200b0013\u200b8000",
    "138\u00a00013\u00a08000",
    "1\ufe0f\u20e33\ufe0f\u20e38\ufe0f\u20e30\ufe0f\u20e30\ufe0f\u20e31\ufe0f\u20e33\ufe0f\u20e38\ufe0f\u20e30\ufe0f\u20e30\ufe0f\u20e30\ufe0f\u20e3",
    "\u2068138\u2069\u20680013\u2069\u20688000\u2069",
    "\u202a138\u202c 0013\u202c 8000",
    "138\u034f0013\u20628000",
    "1\u03363\u03368\u03360\u03360\u03361\u03363\u03368\u03360\u03360\u03360",
    "138~0013~8000",
    "138～0013～8000",
    "138|0013|8000",
    "138＝0013＝8000",
    "138#0013#8000",
    "138\\0013\\8000",
    "\U0001fbf1\U0001fbf3\U0001fbf8\U0001fbf0\U0001fbf0\U0001fbf1\U0001fbf3\U0001fbf8\U0001fbf0\U0001fbf0\U0001fbf0",
    "(138)00138000",
    "13 800 138 000",
    "1 3 8 0 0 1 3 8 0 0 0",
    "1-3-8-0-0-1-3-8-0-0-0",
    "１３８００１３８０００",
    "１３８－００１３－８０００",
    "①③⑧⓪⓪①③⑧⓪⓪⓪",
    "𝟏𝟑𝟖𝟎𝟎𝟏𝟑𝟖𝟎𝟎𝟎",
    "١٣٨٠٠١٣٨٠٠٠",
    "一三八零零一三八零零零",
    "幺三八〇〇幺三八〇〇〇",
    "壹叁捌零零壹叁捌零零零",
    "一三八0013八千零8000 或 13900139000",
    "+86 138 0013 8000",
    "+8613800138000",
    "0086 138 0013 8000",
    "8613800138000",
    "电话13800138000找我",
    "tel:13800138000",
    "微信同号19912345678，谢谢",
    "15:30 后打 17712345678",
    "15.30-16.30, 138 0013 8000",
    "028-85331234",
    "028 8533 1234",
    "（028）85331234",
    "02885331234",
    "0816-2231234",
    "+86 28 8533 1234",
    "010-12345678".replace("1234", "6234", 1),
    "400-820-8820",
    "400-8208-820",
    "4008208820",
    "800-820-8820",
    "电话：85331234",
    "热线 8533-1234",
    "座机是 8533 1234",
    "call me at 8533 1234",
    "电话：010-12345678",
    "021-12345678",
    "(010)12345678",
    "+86-10-12345678",
    "+44 20 7946 0958",
    "+852 2345 6789",
    "+1-212-555-0123",
    "+81 90 1234 5678",
    "013812345678",
    "0-138-1234-5678",
    "138-1234.5678",
    "138-1234/5678",
    "138;1234;5678",
    "138:1234:5678",
    "138*1234*5678",
    "138    1234    5678",
    "[138]12345678",
    "【138】1234；5678",
    "传真3212345",
    "傳真：3212345",
    "固话3212345",
    "致电3212345",
    "打3212345找我",
    "电话 3212 345",
    "00852 91234567",
    "0085291234567",
    "001-202-555-0123",
    "1-202-555-0123",
    "1 (202) 555-0123",
    "☎85331234",
    "📞 8533 1234",
    "来电85331234",
    "打我85331234",
    "4008-208-820",
]
CARDS = [
    "张三510104199003071234",
    "510104199003071234李四",
    "老九身份证二510104199003071234",
    "510104199003071234",
    "51010419900307123X",
    "51010419900307123x",
    "５１０１０４１９９００３０７１２３Ｘ",
    "510104 19900307 1234",
    "510104-19900307-1234",
    "5 1 0 1 0 4 1 9 9 0 0 3 0 7 1 2 3 4",
    "五一零一零四一九九零零三零七一二三四",
    "身份证号510104199003071234，请核对",
    "510104900307123",
    "510104199913991234",
    "身份证ID610123199001011234",
    "SFZ610123199001011234",
    "No610123199001011234",
    "id610123199001011234",
    "id610123-19900101-1234",
    "610123199001011234a",
]
DOORS = [
    "找王五1203室",
    "张三3单元501",
    "15号楼二单元十三层1301",
    "第3单元第501号",
    "501室",
    "501 室",
    "1203号房",
    "1203房间打扫",
    "五零一室",
    "2单元5号",
    "2单元501",
    "2单元501室",
    "3单元 501",
    "一单元五〇一",
    "十二单元三〇一室",
    "2栋501",
    "3幢-501",
    "B座1203",
    "3号楼 1203",
    "3号楼2单元5户",
    "5楼502",
    "12楼1203",
    "三楼三零二",
    "2-3-501",
    "2 - 3 - 501",
    "门牌12",
    "门牌号：8",
    "人民路12号",
    "天府三街199号",
    "天府大道中段888号",
    "解放巷 5 号",
    "八一路一二号",
    "room 501",
    "Room No. 5",
    "Apt 4B",
    "apt. #12",
    "flat 12a",
    "door 12",
    "suite 1203",
    "Unit 1203",
    "ROOM５０１",
    "房号501",
    "房间号501",
    "室号 1203",
    "5栋2-301",
    "5号楼2-301",
    "2单元5-01",
    "3号楼2门501",
    "2门501",
    "5#楼301",
    "unit 12B",
    "501 room",
    "Blk 5 #12-34",
    "建国路甲12号",
    "房间302",
    "1#1-101",
    "1#-101",
    "朝阳街五号",
    "朝阳街十号",
    "朝阳街十五号",
    "朝阳街一百二十八号",
    "南京路１２號",
    "3號樓1203",
    "五百零一室",
    "三百二十一室",
    "501户",
    "2单元501户停水",
    "1单元的101",
    "1号楼，101",
    "1号楼的101",
    "302-室",
    "住在302",
    "住在302的王奶奶",
    "我住1203",
    "C区3-101",
    "人民路128-3号",
    "解放路12号院3号楼",
    "12 Chaoyang Street",
    "at 12 Renmin East Road",
    "room-101",
    "room: 101",
    "Unit 3-101",
    "house no. 12",
    "House number 5",
    "5楼东户",
    "三单元十二楼西户",
    "三樓東戶",
    "3单元5楼左手",
    "王家村3组25号",
    "幸福村第三组十五号",
    "1-2-3-401",
    "5F-501",
    "501A室",
    "302病房",
    "宿舍501",
    "敬老院302",
    "家在501",
    "敲501的门",
    "送到501",
    "楼上502漏水",
    "501王奶奶",
    "302的李大爷",
    "Building 3, Unit 2, 501",
    "Block 3, 501",
]
COORDINATES = [
    "32.6854, 109.0293",
    "32.6854，109.0293",
    "３２．６８５４，１０９．０２９３",
    "32.685400 109.029300",
    "N32.68 E109.02",
    "N32°41′ E109°1′",
    "32°41′12″N, 109°01′30″E",
    "北纬32.68度，东经109.02度",
    "经度：109.0",
    "109.029300,32.685400",
    "109.0293，32.6854",
    "99.123456,25.654321",
]
EMAILS = ["12345678@qq.com", "zhang.san@example.com.cn", "ZHANG＠qq．com", "邮箱：lily@163.com"]
ORDINARY = [
    "小学三年级120人，二楼300平",
    "四月2026年二手书500本",
    "血压 120.5, 80.5",
    "圆周率 3.14159",
    "12.345 元",
    "体温 36.5°C 左右",
    "找东经理3号窗口",
    "S2.5 和 W3.2 的鞋",
    "2单元5层2026年装修",
    "",
    "想请人陪奶奶聊聊天",
    "一起下棋，一三五都行",
    "下午3点",
    "周六10:30-11:30",
    "8:00-9:00,10:00-11:00",
    "2026年11月23日",
    "二〇二六年十一月二十三日",
    "2026-11-23",
    "2026-11-23 14:00-16:30",
    "2026-11-23T08:00:00+08:00",
    "2026.11.23-2026.11.30",
    "11.23-11.25",
    "11月23日14点到16点",
    "15.30-16.30, 8.00",
    "13.30-15.30 18.30",
    "9-11 14-16 18-20",
    "1、3、5、7月",
    "每月1、3、5、7、9、11日",
    "一二三四五六七八九十",
    "5元",
    "1280元",
    "3000元以内",
    "手机2000元",
    "8000房租补贴",
    "每月1500房贷",
    "3个人",
    "讲座2000元",
    "讲座1000余人",
    "100人讲座",
    "3楼100人",
    "3楼200平米",
    "服务1000户",
    "为300户家庭送温暖",
    "65岁以上老人",
    "365天",
    "买2送1",
    "1+1+1",
    "2室1厅",
    "两室一厅",
    "3室2厅打扫",
    "301医院",
    "去301医院挂号",
    "华西医院2号门",
    "二楼3号窗口取号",
    "1楼1号窗口",
    "2号会议室",
    "120急救室",
    "3号楼活动室",
    "三号楼活动室",
    "3号楼2026年团拜",
    "2栋3单元",
    "3栋2单元楼下",
    "unit 2",
    "101中学",
    "小学三年级",
    "2026届",
    "坐118路到8号线",
    "2路公交",
    "地铁1号线",
    "天府三街8号线口",
    "G4217次列车",
    "拨打120",
    "12345热线",
    "24小时热线电话",
    "WiFi 2.4G和5G",
    "iphone 15",
    "手机型号P40",
    "血压130/80",
    "血压 130-85",
    "5公斤大米",
    "20斤米和5升油",
    "0.5小时",
    "80后",
    "九九重阳",
    "三八妇女节",
    "一对一辅导",
    "room for 3 people",
    "3 bedroom",
    "订单 20261123",
    "2单元2026-11-23 下午",
    "door 2 hours",
    "2026-11-23T10:00:00+08:00",
    "3号楼11-23集合",
    "体温+0.5",
    "语文 3门 120 分",
    "2 门 100 元",
    "价格 #3-12 折",
    "00-063228791720cc39f7693c381ef4963c-53e02beaf1c3c10b-01",
    "1cc90904-dd5d-439f-bc91-056252269110",
    "3楼302会议室",
    "3楼302教室",
    "取件码3-2-1001",
    "取件码 12-3-4567",
    "取件码 3-2-1001、4-1-2002",
    "2单元100户停电",
    "3号楼200户停水",
    "3号楼5户人家",
    "共501户",
    "约301户",
    "有105户老人",
    "走访105户",
    "增加到105户",
    "合计：105户",
    "今年，105户参加",
    "flat 2 tires",
    "flat: 100 square metres",
    "血压120-80",
    "3-4人",
    "背第5单元101页的课文",
    "3号楼 1500W的电暖器",
    "5路公交",
    "2楼",
    "12栋",
    "13:00 14:00 8:00",
    "13:30-15:30;18:30",
    "01.30 02.28 15.30",
    "150、2026-2027学年",
    "150，1400-1600",
    "门票135、1400-1600元",
    "柜子150*2000*1800毫米",
    "138****5678",
    "打扫1200元",
    "打印20000份",
    "打款2000000元",
    "打5000000元",
    "手机1999 300元",
    "电话 2026 年",
    "订单号 0012345678",
    "编号001234567890",
    "1 200 300 1000",
    "住在301医院",
    "住在101中学旁",
    "住在120平米的房子",
    "住在118路终点站",
    "已入住305，谢谢",
    "打扫房间200元",
    "房间120平米",
    "房间2026年装修",
    "3个房间",
    "1号楼，100人参加",
    "1号楼，120急救",
    "1号楼，1430集合",
    "3号楼，300把椅子",
    "3号楼，301医院来义诊",
    "1号楼的105户居民",
    "5栋3单元的102把椅子",
    "8号楼的101路公交",
    "A区1-120号座位",
    "C区3-101号桌",
    "1#1-100元",
    "2#充电桩",
    "逛街十五号",
    "走路十五号出发",
    "南京路十号线",
    "十月十五号",
    "一千零一夜",
    "三百六十五天",
    "5 people on the street",
    "3 on Renmin Road",
    "10:30 Renmin Road",
    "12 May Renmin Road",
    "12 trees along the road",
    "12 Volunteers Street cleaning",
    "Bus 12 Chaoyang Road",
    "2026 Chaoyang Street Festival",
    "LIMIT 1 ORDER BY lane",
    "Room: 14:00",
    "room: 120 chairs",
    "room-2 people",
    "Unit 3-4",
    "house 12 people",
    "c610123199001011234ab12",
    "ab1610123199001011234",
    "wish176385600012345678",
    "r1763856000123456789",
    "商场3楼西门集合",
    "5楼东侧楼道灯坏了",
    "5楼左右的老人",
    "3单元5楼左右",
    "5楼右户外",
    "村里12号开会",
    "村3组25号上午开会",
    "3组12号选手",
    "大家在302。",
    "楼下105路公交站",
    "送到301医院",
    "家在101中学旁",
    "101岁的老奶奶",
    "105位阿姨",
    "第105期大妈舞",
    "1-2-3-4",
    "宿舍105人",
    "敬老院105位老人",
    "Unit 3 lesson 501",
    "building 3, 105 chairs",
    "120.5, 80.5",
    "@所有人",
    "meet @ 3.30",
    "来电 100 元",
    "户外",
]


@pytest.mark.parametrize("text", PHONES)
def test_finds_a_phone(text: str) -> None:
    assert "phone" == find_personal_data(text)


@pytest.mark.parametrize("text", CARDS)
def test_finds_an_identity_card(text: str) -> None:
    assert "identity_card" == find_personal_data(text)


@pytest.mark.parametrize("text", DOORS)
def test_finds_a_door(text: str) -> None:
    assert "door" == find_personal_data(text)


@pytest.mark.parametrize("text", COORDINATES)
def test_finds_coordinates(text: str) -> None:
    assert "coordinate" == find_personal_data(text)


@pytest.mark.parametrize("text", EMAILS)
def test_finds_an_e_mail_address(text: str) -> None:
    assert "email" == find_personal_data(text)


@pytest.mark.parametrize("text", PHONES + CARDS + DOORS + COORDINATES + EMAILS)
def test_finds_it_among_other_words(text: str) -> None:
    assert find_personal_data(f"麻烦您：{text}，谢谢！") is not None


@pytest.mark.parametrize("end", ["。", "。谢谢您", ".", "：请上门", "……", "”"])
@pytest.mark.parametrize("text", DOORS)
def test_finds_a_door_where_its_sentence_ends(text: str, end: str) -> None:
    assert "door" == find_personal_data(f"您好，{text}{end}")


@pytest.mark.parametrize("text", ORDINARY)
def test_leaves_ordinary_titles_alone(text: str) -> None:
    assert find_personal_data(text) is None
    assert mask(text) is text


@pytest.mark.parametrize("start", ["", "路 ", "room", "1# ", "1单元 ", "12 A", "138", "取件码", "house no ", "a@"])
@pytest.mark.parametrize("filling", [" ", "1 ", "1-", "1*", "路 ", "room ", "1-1-1001 ", "12 Chaoyang ", "138:1234:", "十", "1 户 ", "ab1", "a@b.c"])
def test_looks_through_a_long_text_in_a_time_that_grows_with_its_length_alone(start: str, filling: str) -> None:
    text = start + filling * (100_000 // len(filling)) + "x 1"
    began = time.process_time()

    find_personal_data(text)

    assert time.process_time() - began < 2


@pytest.mark.parametrize("before", [0, 1, 4090, 4096, 4100, 8191, 8192, 12_280, 20_000])
@pytest.mark.parametrize("text", ["138 0013 8000", "510104199003071234", "2栋1单元302", "电话 8533 1234"])
def test_finds_it_wherever_in_a_long_text(text: str, before: int) -> None:
    long = "愿 " * (before // 2) + text + "，" + "愿 " * 5000

    assert find_personal_data(long) is not None
    assert mask(long).count("*") == mask(f"愿 {text}，").count("*")


def test_a_long_row_of_digits_is_nobodys_number_in_a_long_text_either() -> None:
    assert find_personal_data("138001380001" * 2000) is None


def test_masks_the_number_and_nothing_beside_it() -> None:
    assert "请打 ************* 找王阿姨" == mask("请打 138 0013 8000 找王阿姨")
    assert "住在3栋2*****室附近" != mask("住在3栋附近")
    assert "身份证 ******************" == mask("身份证 51010419900307123X")
    assert "电话：********" == mask("电话：85331234")


PIECES = st.sampled_from([*PHONES, *CARDS, *DOORS, *COORDINATES, *EMAILS, *ORDINARY, "1", "3", "8", "0", " ", "-", "室", "单元", "电话"])


@given(st.lists(PIECES | st.text(max_size=5), max_size=6).map("".join))
@settings(max_examples=500, deadline=None)
def test_masked_text_is_clean_and_as_long_as_before(text: str) -> None:
    masked = mask(text)

    assert find_personal_data(masked) is None
    assert len(text) == len(masked)
    assert all(new in (old, "*") for old, new in zip(text, masked, strict=True))


@given(
    digits=st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True),
    gap=st.sampled_from(["", " ", "-", "—", ".", "·", "  ", " - ", "\u200b", "　", "、"]),
    writing=st.sampled_from(["0123456789", "０１２３４５６７８９", "零一二三四五六七八九", "〇壹贰叁肆伍陆柒捌玖", "⓪①②③④⑤⑥⑦⑧⑨"]),
    groups=st.sampled_from([(3, 7, 11), (3, 6, 11), tuple(range(1, 12)), (11,), (5, 11), (2, 5, 8, 11)]),
)
@settings(max_examples=300, deadline=None)
def test_finds_a_mobile_number_in_any_writing(digits: str, gap: str, writing: str, groups: tuple[int, ...]) -> None:
    parts = [digits[start:end] for start, end in zip((0, *groups), groups, strict=False)]
    text = gap.join(parts).translate(str.maketrans("0123456789", writing))

    assert find_personal_data(f"请找{text}") is not None


@pytest.mark.parametrize(
    "text",
    [
        "13800138000",
        "+8613800138000",
        "86-13800138000",
        "008613800138000",
        "tel:13800138000",
        "51010419900307123X",
        "028-85331234",
        "138-0013-8000",
        "１３８００１３８０００",
    ],
)
def test_a_bare_number_is_no_opaque_reference(text: str) -> None:
    assert is_bare_number(text)
    assert may_hold_bare_number(json.dumps({"wish_id": text}).encode())
    assert may_hold_bare_number("".join(f"\\u{ord(letter):04x}" for letter in text).encode())


@pytest.mark.parametrize(
    "text", ["", "r-13800138000", "176385600012345678", "1763856000123456789", "wish-1", "2026", "12345678901", "tel", "s-1", "20261128-0001", "138-0013.8000"]
)
def test_ids_of_other_systems_are_opaque(text: str) -> None:
    assert not is_bare_number(text)


def test_an_event_without_so_many_digits_in_a_row_holds_no_bare_number() -> None:
    assert not may_hold_bare_number(b'{"wish_id":"wish-123456","window":{"start":"2026-12-01T08:00:00.123456+08:00"},"resident_ref":"r-1380-013-800"}')


@pytest.mark.parametrize(
    ("number", "personal"), [(13800138000, True), (510104199003071234, True), (13800138000.0, True), (176385600012345678, False), (42, False), (-1.5, False)]
)
def test_a_number_of_json_may_be_personal(number: float, personal: bool) -> None:
    assert personal == holds_number(number)


@pytest.mark.parametrize("name", ["phone", "Phone", "phone_number", "phoneNumber", "id-card", "身份证", "lat", "GPS", "Street_Address"])
def test_a_field_for_contacts_addresses_or_coordinates_is_known_by_its_name(name: str) -> None:
    assert is_forbidden_key(name)


@pytest.mark.parametrize("name", ["note", "platform", "telemetry", "latency", "wish_id", ""])
def test_other_fields_are_not(name: str) -> None:
    assert not is_forbidden_key(name)
