"""The sample day's world: the High-tech Zone's circles by name, and what its people wish for and offer. Data only; nobody in it exists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

AREA: Final = "ankang-hightech"
AREA_NAME: Final = ("安康高新区", "Ankang High-tech Zone")
RESIDENTS: Final = 127_500
PARTY_MEMBERS: Final = 3_457
BRANCHES: Final = 151


@dataclass(frozen=True, slots=True)
class Compound:
    """One housing compound: its ids on the ladder, its name, how many buildings, and how many units each has."""

    community: str
    compound: str
    name: str
    buildings: int
    units: int


COMMUNITIES: Final = {"jushang-huayuan": "居尚花园", "gaoxin-xiandaicheng": "高新现代城", "jianmin": "建民", "fujiahe": "富家河"}
COMPOUNDS: Final = (
    Compound("jushang-huayuan", "jushang-1", "居尚花园一期", 12, 3),
    Compound("jushang-huayuan", "jushang-2", "居尚花园二期", 9, 2),
    Compound("jushang-huayuan", "jinxiu-yuan", "锦绣苑", 6, 3),
    Compound("gaoxin-xiandaicheng", "xiandaicheng-dong", "现代城东区", 10, 2),
    Compound("gaoxin-xiandaicheng", "xiandaicheng-xi", "现代城西区", 8, 2),
    Compound("gaoxin-xiandaicheng", "chuangye-gongyu", "创业公寓", 4, 1),
    Compound("jianmin", "jianmin-xincun", "建民新村", 14, 3),
    Compound("jianmin", "anmin-xiaoqu", "安民小区", 7, 4),
    Compound("jianmin", "hanjiang-yayuan", "汉江雅苑", 5, 2),
    Compound("fujiahe", "fujiahe-jiayuan", "富家河家园", 11, 3),
    Compound("fujiahe", "hepan-xiaoqu", "河畔小区", 6, 4),
    Compound("fujiahe", "cuihu-yuan", "翠湖苑", 5, 2),
)


@dataclass(frozen=True, slots=True)
class Need:
    """One wish as it is told: title in both languages, and what the rules need of it. `at`: a compound that it must stand in, by id."""

    category: str
    urgency: str
    skills: tuple[str, ...]
    zh: str
    en: str
    minutes: int = 60
    helpers: int = 1
    band: str = "adult"
    alone: bool = False
    vetting: int = 0
    accompanied: bool = False
    worker: bool = False
    languages: tuple[str, ...] = ()
    at: str = ""

    @property
    def together(self) -> int:
        """How many helpers it takes in the end: two at least for minors and where it asks for company."""
        pairs = self.accompanied or self.band.startswith("under_") or self.category == "left_behind_children"
        return max(2, self.helpers) if pairs else self.helpers


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of volunteer: how many of them, what they can, how they are vetted, how far they go (one of these rungs, by chance).

    `times`: parts of the day they have; `always` is day and night. `post`: what follows the branch in their organisation's name.
    """

    count: int
    skills: tuple[str, ...]
    level: int
    reach: tuple[str, ...]
    times: tuple[str, ...] = ("morning", "afternoon", "evening")
    capacity: tuple[int, ...] = (2, 3, 4)
    ask: float = 0.2
    languages: tuple[str, ...] = ("zh-CN",)
    post: str = "党员志愿者"
    at: str = ""
    late: bool = field(default=False)


def _elder(urgency: str, skill: str, zh: str, en: str, minutes: int = 60, *, alone: bool = False, accompanied: bool = False, helpers: int = 1) -> Need:
    skills = tuple(skill.split())
    return Need("elder_care", urgency, skills, zh, en, minutes, helpers, "elder", alone, accompanied=accompanied)


def _able(urgency: str, skill: str, zh: str, en: str, minutes: int = 60, *, helpers: int = 1, languages: tuple[str, ...] = (), worker: bool = False) -> Need:
    return Need("disability_help", urgency, tuple(skill.split()), zh, en, minutes, helpers, languages=languages, worker=worker)


def _child(urgency: str, skill: str, zh: str, en: str, minutes: int = 90, band: str = "under_14", *, worker: bool = False) -> Need:
    return Need("left_behind_children", urgency, tuple(skill.split()), zh, en, minutes, band=band, worker=worker)


def _other(category: str, urgency: str, skill: str, zh: str, en: str, minutes: int = 60, helpers: int = 1, band: str = "adult") -> Need:
    return Need(category, urgency, tuple(skill.split()), zh, en, minutes, helpers, band)


# In the order in which they are told over the day.
NEEDS: Final = (
    _elder("red", "fetch_medicine", "帮独居奶奶取心脏药", "Fetch heart medicine for a grandmother living alone", 30, alone=True),
    _elder("yellow", "escort", "陪爷爷去社区医院量血压", "Go with a grandfather to have his blood pressure taken", 90),
    _other("repair", "yellow", "electrics", "卧室的灯不亮了", "The bedroom lamp is dead", 45, band="elder"),
    _child("blue", "tutoring_maths", "辅导三年级数学", "Third-grade maths"),
    _elder("blue", "phone_help", "教奶奶用手机和孙女视频", "Show a grandmother how to video-call her granddaughter", 45),
    _able("yellow", "wheelchair", "推轮椅去公园晒太阳", "A walk in the park with a wheelchair", 60),
    _elder("yellow", "shopping", "代买一周的米面油", "Buy rice, flour and oil for the week", 60, alone=True),
    _other("household", "yellow", "carry", "把旧冰箱抬下楼", "Carry an old fridge downstairs", 30, 3),
    _child("yellow", "school_run", "上下学路上接送一段", "Walk to school and back with a child", 45),
    _other("health", "yellow", "blood_pressure", "上门量血压、记健康本", "Take blood pressure at home and note it down", 30, band="elder"),
    _elder("blue", "haircut", "给卧床老人理发", "A haircut for an elder in bed", 45),
    _other("repair", "red", "plumbing", "厨房水管漏水", "A pipe leaks in the kitchen", 60),
    _able("yellow", "paperwork", "代填残疾补贴申请表", "Fill in the form for a disability allowance", 60, worker=True),
    _elder("yellow", "companionship", "陪独居老人聊聊天", "Company for an elder living alone", 60, alone=True),
    _child("blue", "reading", "和孩子一起读绘本", "Reading together once a week", 60),
    _other("study", "blue", "computer", "学会用电脑做简历", "Learn to write a CV on a computer", 90),
    _elder("blue", "cleaning", "帮老人擦玻璃", "Clean the windows for an elder", 90, accompanied=True),
    _able("blue", "guide", "陪视障居民去图书馆", "Go to the library with someone who does not see well", 120),
    _other("household", "yellow", "cooking", "产后妈妈想喝一碗热汤", "A bowl of hot soup for a new mother", 60),
    _child("blue", "drawing", "教孩子画家乡的汉江", "Draw the home river with a child", 90),
    _elder("red", "first_aid", "老人头晕，请人先来看看", "An elder feels dizzy: could somebody look in", 30, alone=True),
    _other("repair", "blue", "carpentry", "衣柜门关不上", "A wardrobe door does not close", 45),
    _elder("yellow", "escort", "陪老人去办社保认证", "Go with an elder to have a pension confirmed", 120),
    _other("culture", "blue", "calligraphy", "楼栋写春联缺两位帮手", "Two hands wanted to write spring couplets", 90, 2),
    _able("yellow", "carry", "轮椅斜坡板抬上楼道", "Carry a wheelchair ramp into the stairway", 30, helpers=2),
    _other("health", "blue", "rehab", "术后居家康复指导", "Exercises at home after an operation", 60, band="elder"),
    _child("yellow", "tutoring_chinese", "陪写作业一小时", "An hour of homework together", 60),
    _elder("blue", "photo", "给金婚老人拍张合影", "A photo of a couple married for fifty years", 45),
    _other("study", "blue", "english", "想练英语口语", "Practise spoken English", 60),
    _elder("yellow", "cooking", "给高龄老人做一顿软饭", "Cook a soft meal for someone very old", 60, alone=True),
    _able("red", "wheelchair", "电梯停了，轮椅下不了楼", "The lift is out and a wheelchair can't get down", 30, helpers=2),
    _other("household", "blue", "sewing", "校服裤脚要改短", "Shorten the legs of a school uniform", 45),
    _elder("blue", "gardening", "帮老人给阳台花换土", "New soil for an elder's balcony flowers", 45),
    _child("blue", "sport", "陪孩子打羽毛球", "Badminton with a child", 90, "under_18"),
    _other("other", "yellow", "law_advice", "租房押金不退，想问问怎么办", "A deposit is not paid back: what can be done", 60),
    _elder("yellow", "fetch_medicine", "代取慢性病处方药", "Fetch medicine on a standing prescription", 30),
    _other("repair", "yellow", "plumbing", "卫生间下水堵了", "A drain is blocked", 60, band="elder"),
    _other("health", "yellow", "escort", "陪孕妇做产检", "Go with an expectant mother to her check-up", 120),
    _able("blue", "phone_help", "手机读屏功能不会用", "Learn to use a phone's screen reader", 60),
    _elder("blue", "companionship", "陪老人下盘象棋", "A game of chess with an elder", 90),
    _other("household", "yellow", "child_care", "临时照看宝宝一小时", "Mind a baby for an hour", 60, 2, "under_14"),
    _other("study", "blue", "tutoring_maths", "初三数学压轴题", "Hard maths of the ninth grade", 90, 1, "under_18"),
    _elder("yellow", "paperwork", "帮老人看懂医保账单", "Explain a health insurance bill to an elder", 45),
    _other("repair", "blue", "bike_repair", "三轮车刹车不灵", "The brake of a tricycle is weak", 30, band="elder"),
    _child("yellow", "counselling", "孩子想爸妈，想找人说说话", "A child misses its parents and would like to talk", 60, worker=True),
    _able("blue", "haircut", "行动不便，想请人上门理发", "A haircut at home for someone who walks badly", 45),
    _other("culture", "blue", "music", "合唱队缺一位伴奏", "The choir looks for someone to accompany it", 90),
    _elder("yellow", "carry", "把老人的旧床垫搬下楼", "Carry an old mattress down for an elder", 30, helpers=2),
    _other("other", "blue", "photo", "给走失小猫拍寻猫启事", "A photo for the notice about a lost cat", 30),
    _other("health", "red", "blood_pressure", "老人血压高，请人上门量一下", "High blood pressure: could somebody take it now", 30, band="elder"),
    _elder("blue", "reading", "给视力不好的老人读报", "Read the paper to an elder with weak eyes", 60),
    _child("blue", "music", "想学一首竖笛曲", "Learn a tune on the recorder", 60),
    _other("repair", "yellow", "electrics", "电表老跳闸", "The fuse goes again and again", 45),
    _able("yellow", "shopping", "代买护理用品", "Buy care supplies", 45),
    _other("household", "blue", "cleaning", "搬家后打扫", "Clean up after moving", 120, 2),
    _elder("blue", "escort shopping", "陪老人逛一次集市", "Go to the market with an elder", 90, accompanied=True),
    _other("study", "blue", "calligraphy", "成人书法入门", "First steps in calligraphy", 60),
    _elder("yellow", "blood_pressure", "给三位老人测血糖血压", "Blood sugar and pressure for three elders", 60, helpers=2),
    _other("health", "blue", "counselling", "新手妈妈情绪低落，想聊聊", "A new mother is low and would like to talk", 60),
    _child("yellow", "child_care", "奶奶住院，想请人陪陪孩子", "Grandmother is in hospital: company for a child", 120),
    _able("blue", "computer", "居家就业：学做表格", "Work from home: learn spreadsheets", 90),
    _other("other", "yellow", "gardening", "清理楼前落叶", "Sweep the leaves in front of the house", 60, 3),
    _elder("blue", "sewing", "给老人缝一床棉被", "Sew a quilt for an elder", 90),
    _other("culture", "blue", "sport", "广场太极拳领练", "Lead tai chi on the square", 60),
    _other("repair", "blue", "computer", "打印机连不上", "A printer does not connect", 45),
    _elder("yellow", "phone_help", "手机收到可疑短信，请人看看", "A doubtful message on an elder's phone", 30, alone=True),
    _able("yellow", "escort wheelchair", "陪同去医院复诊", "Go along to a hospital appointment", 180),
    _other("household", "blue", "carpentry", "阳台晾衣架装不上", "A clothes rack on the balcony won't hold", 45),
    _child("blue", "english reading", "一起读英文绘本", "Read an English picture book together", 60),
    _other("other", "blue", "paperwork", "帮外来务工人员办居住证", "Help a newcomer with a residence permit", 60),
    _elder("yellow", "cleaning", "给独居老人晒被子", "Air the quilts of an elder living alone", 30, alone=True),
    _other("study", "blue", "phone_help", "学用手机交水电费", "Learn to pay bills by phone", 45, band="elder"),
)
# Wishes with a story of their own: at first, or to the end, nobody can help.
SIGNING: Final = _able("blue", "paperwork", "听障居民办证，需要手语", "A deaf resident needs papers, and sign language", 60, languages=("csl",))
ERHU: Final = _child("blue", "erhu", "想跟老师学二胡", "Learn the erhu from a teacher", 60)
PIANO: Final = _other("culture", "blue", "piano_tuning", "活动室的钢琴走音了", "The piano of the common room is out of tune", 90)
KNIFE: Final = Need("household", "blue", ("knife_grinding",), "家里的菜刀钝了", "The kitchen knives are blunt", 30, at="jushang-1")
SKATING: Final = Need("study", "blue", ("skating",), "孩子想学轮滑", "A child would like to learn skating", 60, band="under_14")
# What lies on the claim wall when the day is over: urgent, and whoever was asked has not answered, so that a member may claim it.
ON_THE_WALL: Final = (
    _elder("red", "companionship plumbing", "水管师傅就要上门，奶奶想有人陪着", "The plumber is about to come, and a grandmother would like company", 30),
    _elder("red", "companionship gardening", "要下大雨了，帮爷爷把阳台的花收进屋", "Heavy rain is coming: bring a grandfather's flowers in", 30),
    _elder("red", "companionship phone_help", "孙女马上来视频，爷爷不会接", "A granddaughter is about to video-call, and a grandfather can't answer", 30),
)

PROFILES: Final = (
    # One a compound: the centre household of a unit, there day and night.
    *(
        Profile(1, ("fetch_medicine", "shopping", "first_aid", "companionship"), 3, ("area",), ("always",), (12,), 0, post="中心户", at=compound.compound)
        for compound in COMPOUNDS
    ),
    Profile(4, ("tutoring_maths", "tutoring_chinese", "english", "reading"), 4, ("community", "area", "area"), ("afternoon", "evening"), ask=0.3),
    Profile(3, ("tutoring_chinese", "reading", "calligraphy", "child_care"), 4, ("area",), ("morning", "afternoon", "evening")),
    Profile(4, ("blood_pressure", "first_aid", "rehab", "escort"), 4, ("area",), ("always",), post="白衣天使服务队"),
    Profile(4, ("electrics", "plumbing", "carpentry"), 2, ("community", "area", "area"), ("always",), post="水电维修服务队"),
    Profile(3, ("cooking", "shopping", "cleaning"), 2, ("area",), ("morning", "afternoon")),
    Profile(4, ("phone_help", "computer", "paperwork", "photo"), 2, ("area",)),
    Profile(2, ("haircut",), 2, ("area",), ("morning", "afternoon"), (4,), post="义剪服务队"),
    Profile(4, ("wheelchair", "guide", "escort", "carry", "shopping"), 3, ("area",), ("always",), post="助残服务队"),
    Profile(3, ("sport", "drawing", "music", "child_care", "english", "reading"), 4, ("area",), ("morning", "afternoon", "evening")),
    Profile(4, ("counselling", "companionship", "school_run", "child_care", "paperwork"), 4, ("area",)),
    Profile(5, ("carry", "cleaning", "gardening"), 2, ("area",), ("morning", "afternoon", "evening")),
    Profile(2, ("sewing", "bike_repair", "haircut"), 1, ("area",), ("morning", "afternoon")),
    Profile(1, ("law_advice", "paperwork"), 2, ("area",), ("afternoon", "evening")),
    Profile(1, ("drawing", "music", "sport"), 4, ("area",), ("morning", "afternoon", "evening")),
    Profile(1, ("erhu", "music"), 4, ("area",), ("afternoon", "evening"), ask=0),
    Profile(1, ("knife_grinding",), 1, ("compound",), ("morning",), ask=0, at="cuihu-yuan"),
    Profile(1, ("skating", "sport"), 2, ("area",), ("afternoon",), ask=0),
    # They come late in the day, and what waited for them is matched then.
    Profile(1, ("paperwork", "companionship"), 2, ("area",), ask=0, languages=("zh-CN", "csl"), late=True),
    Profile(1, ("erhu", "reading"), 4, ("area",), ("afternoon", "evening"), ask=0, late=True),
)
