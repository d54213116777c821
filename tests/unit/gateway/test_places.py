"""The file with the names of places: what the project ships can be used, and what is wrong in one is said with its file, its place and the fix."""

from pathlib import Path

import pytest

from deploy.state import ROOT
from services.gateway.places import BadPlaces, Places

GOOD = '[east]\nname = ["东区", "East"]\nbuilding = "b"\n'


def read(folder: Path, text: str) -> Places:
    path = folder / "places.toml"
    path.write_text(text, encoding="utf-8")
    return Places.read(path)


def test_the_file_of_the_project_names_its_area_its_communities_and_their_compounds() -> None:
    places = Places.read(ROOT / "config" / "places.toml")
    assert ("安康高新区", "Ankang High-tech Zone") == places.name("ankang-hightech")
    assert ("居尚花园社区", "Jushang Garden") == places.name("ankang-hightech", "jushang-huayuan")
    assert ("居尚花园一期", "Jushang Garden I") == places.name("ankang-hightech", "jushang-huayuan", "jushang-1")
    assert ("jushang-huayuan", "jushang-1") == places.compounds["ankang-hightech"][0]
    assert ("12 栋", "building 12") == places.building("ankang-hightech", places.step_id("ankang-hightech", "building", "12"))
    assert ["12", "b-a", "p3", ""] == [places.written("ankang-hightech", "building", code) for code in ("b12", "b-a", "p3", "")]


def test_a_name_belongs_to_its_circle_and_another_circle_may_have_one_of_the_same_id(tmp_path: Path) -> None:
    areas = {
        "east": '[east.communities]\nn = ["北社区", "North"]\n'
        '[east.compounds.n]\np = ["北苑", "North Court"]\n[east.compounds.s]\np = ["南苑", "South Court"]\n',
        "west": '[west.communities]\nn = ["新社区", "New"]\n[west.compounds.n]\np = ["新苑", "New Court"]\n',
    }
    places = read(tmp_path, "".join(f'[{area}]\nname = ["{area}", "{area}"]\n{text}' for area, text in areas.items()))
    assert [("北社区", "North"), ("新社区", "New")] == [places.name(area, "n") for area in areas]
    assert [("北苑", "North Court"), ("新苑", "New Court")] == [places.name(area, "n", "p") for area in areas]
    assert ("南苑", "South Court") == places.name("east", "s", "p")
    assert [("北苑 / 南苑", "North Court / South Court"), ("新苑", "New Court")] == [
        places.name(area, None, "p") for area in areas
    ]  # a link tells no community
    assert [("east", "east"), ("北社区", "North"), ("s", "s"), ("b1", "b1")] == [
        places.name("east", None, None), places.name("east", "n", None), places.name("east", "s"), places.name("east", "n", "p", "b1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "where", "chinese", "english"),
    [
        (GOOD + 'buildings = "b"', "east.buildings", "没有这一项，只可用 name", "there is no such key, use name"),
        (GOOD + '[east.community]\nnorth = ["北", "North"]', "east.community", "没有这一项", "there is no such key"),
        ('[east]\nunit = "u"', "east.name", "请补上", "add it"),
        ('[east]\nname = "East"', "east.name", "名称应为", "a name is"),
        (GOOD + '[east.communities]\nnorth = ["北"]', "east.communities.north.1", "请补上", "add it"),
        (GOOD + '[east.communities]\n"x y" = ["北", "North"]', "east.communities.x y", "只用 1 至 32 个小写字母", "use 1 to 32 of a-z"),
        (GOOD + '[east.compounds]\nnorth = ["北", "North"]', "east.compounds.north", "名称应为", "a name is"),
        (GOOD + "unit = 3", "east.unit", "请填文字", "write a text"),
        ("lang = 3", "lang", "请写在片区的表中", "write it into the table of an area"),
        ('[East]\nname = ["东区", "East"]', "East", "只用 1 至 32 个小写字母", "use 1 to 32 of a-z"),
    ],
)
def test_what_is_wrong_is_told_with_file_field_and_fix(tmp_path: Path, text: str, where: str, chinese: str, english: str) -> None:
    with pytest.raises(BadPlaces) as refused:
        read(tmp_path, text)
    zh, _, en = str(refused.value).partition(" | ")
    path = tmp_path / "places.toml"
    assert zh.startswith(f"{path}：地名文件中 {where} 不合规：{chinese}")
    assert en.startswith(f"{path}: {where} in the file of places is not valid: {english}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadPlaces, match=r"nowhere\.toml: the file of places cannot be used"):
        Places.read(tmp_path / "nowhere.toml")
    with pytest.raises(BadPlaces, match=r"places\.toml: the file of places cannot be used"):
        read(tmp_path, "[east")
