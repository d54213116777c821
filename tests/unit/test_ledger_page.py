"""What `ledger` shows: half-years, sheets in both languages, a page that needs nothing else, and rows that a spreadsheet takes as text."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from deploy.tools.ledger import Audit, Branch, Member, Served, Statement, half_of, hours, points, stars_line
from deploy.tools.ledger_page import page, write_csv, write_page
from deploy.tools.ledger_show import branch_sheet, show, show_audit, statement_sheet
from deploy.words import Trouble
from schemas.instants import parse_rfc3339
from services.tariff import Tariff

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
HALF = half_of("2026H2", NOW)
AT = parse_rfc3339("2026-11-24T08:00:00Z")
STATEMENT = Statement(
    "v-1",
    "hightech",
    None,
    [
        Served("m-1", "hightech", "v-1", "第一党支部", AT, "done", "resident", corrected=False, minutes=90, points=150),
        Served("m-2", "hightech", "v-1", None, AT, "not_done", "community", corrected=True, minutes=0, points=0),
    ],
    Tariff(),
)


def test_stars_are_for_all_hours_so_far_also_on_the_statement_of_one_half_year() -> None:
    assert (0, 1) == (replace(STATEMENT, minutes_before=100 * 60 - 91).stars, replace(STATEMENT, half=HALF, minutes_before=100 * 60 - 90).stars)


@pytest.mark.parametrize(("name", "starts", "ends"), [("2026H1", "2025-12-31", "2026-06-30"), ("2026h2", "2026-06-30", "2026-12-31")])
def test_a_half_year_begins_and_ends_at_local_midnight(name: str, starts: str, ends: str) -> None:
    half = half_of(name, NOW)
    assert (parse_rfc3339(f"{starts}T16:00:00Z"), parse_rfc3339(f"{ends}T16:00:00Z")) == (half.starts_us, half.ends_us)


def test_the_present_half_year_is_taken_where_none_is_given() -> None:
    assert "2026H2" == half_of(None, NOW).name
    assert "2027H1" == half_of(None, datetime(2026, 12, 31, 16, 0, tzinfo=UTC)).name


@pytest.mark.parametrize("name", ["2026", "H2", "2026H3", "26H1", "2026-H1"])
def test_another_way_to_write_a_half_year_is_refused_in_both_languages(name: str) -> None:
    with pytest.raises(Trouble, match=r"半年请写成[\s\S]*Write a half-year"):
        half_of(name, NOW)


def test_hours_points_and_stars_are_written_for_people() -> None:
    assert ("0:00", "1:30", "100:05") == (hours(0), hours(90), hours(6005))
    assert ("0.00", "1.50", "12.05") == (points(0), points(150), points(1205))
    assert ("☆☆☆☆☆", "★★☆☆☆") == (stars_line(0), stars_line(2))


@pytest.mark.parametrize(("lang", "wanted", "other"), [("zh", "志愿服务记录", "voluntary"), ("en", "Record of voluntary service", "志愿服务记录")])
def test_a_statement_speaks_the_language_that_was_asked_for(lang: str, wanted: str, other: str) -> None:
    screen = io.StringIO()
    show(statement_sheet(STATEMENT), Console(file=screen, width=160), lang)  # type: ignore[arg-type]
    assert wanted in screen.getvalue()
    assert other not in screen.getvalue()
    assert {"zh": "更正", "en": "corrected"}[lang] in screen.getvalue()
    assert re.search(r"2026-11-24 16:00 .* m-2 +│ +\* +│", screen.getvalue())


class Outside(HTMLParser):
    """What a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "onload", "onclick"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def test_a_page_is_whole_chinese_first_and_made_for_a4() -> None:
    text = page(statement_sheet(STATEMENT), NOW)
    parser = Outside()
    parser.feed(text)
    assert ([], []) == (parser.found, parser.open)
    assert '<html lang="zh-CN">' in text
    assert text.index("志愿服务记录") < text.index("Record of voluntary service")
    assert "@page { size: A4;" in text
    assert "@media print" in text
    assert '<div class="scroll" tabindex="0"><table>' in text  # on a phone the table alone is moved sideways
    assert "2026-11-25 16:00" in text
    assert "url(" not in text
    assert "@import" not in text


def test_a_page_takes_nothing_from_outside_for_markup() -> None:
    bad = Statement('<script>alert("x")</script>', "hightech", None, STATEMENT.visits, Tariff())
    assert "<script" not in page(statement_sheet(bad), NOW)


def test_an_empty_period_is_said_on_the_page() -> None:
    assert "没有记录。" in page(statement_sheet(Statement("v-1", "hightech", HALF, [], Tariff())), NOW)


def test_a_branch_tells_who_reported_in_and_who_served(tmp_path: Path) -> None:
    members = [Member("hightech", "v-1", reported_in=True, visits=2, minutes=150, points=250, last_us=AT), Member("hightech", "v-2", reported_in=True)]
    sheet = branch_sheet(Branch("第一党支部", HALF, members))
    assert {"2", "1"} <= {value for _, value in sheet.facts}
    write_csv(tmp_path / "branch.csv", sheet)
    lines = (tmp_path / "branch.csv").read_text(encoding="utf-8-sig").splitlines()
    assert ["v-1,hightech,已报到,已服务,2,2:30,2.50,2026-11-24", "v-2,hightech,已报到,尚未服务,0,0:00,0.00,-"] == lines[1:]
    assert b"\xef\xbb\xbf" == (tmp_path / "branch.csv").read_bytes()[:3]


def test_a_spreadsheet_takes_each_date_for_one_and_finds_what_was_corrected_in_a_column_of_its_own(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", statement_sheet(STATEMENT))
    head, *rows = csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines())
    assert ("日期 date", "更正 corrected") == (head[0], head[-1])
    assert [("2026-11-24 16:00", ""), ("2026-11-24 16:00", "*")] == [(row[0], row[-1]) for row in rows]


def test_a_spreadsheet_gets_no_formulas(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", branch_sheet(Branch("x", HALF, [Member("hightech", "=HYPERLINK(1)")])))
    assert "'=HYPERLINK(1)" in (tmp_path / "a.csv").read_text(encoding="utf-8-sig")


def test_a_file_that_cannot_be_written_is_said_in_both_languages(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"无法写入[\s\S]*can't be written"):
        write_csv(tmp_path / "gone" / "file", statement_sheet(STATEMENT))
    with pytest.raises(Trouble, match=r"无法写入[\s\S]*can't be written"):
        write_page(tmp_path / "gone" / "file", statement_sheet(STATEMENT), NOW)


@pytest.mark.parametrize(
    ("audit", "ok"),
    [
        (Audit(2, [("minutes", 0, 4)]), True),
        (Audit(2, [("minutes", 1, 4)]), False),
        (Audit(2, [("minutes", 0, 4)], [("t", "minutes", 5)]), False),
        (Audit(2, [("minutes", 0, 4)], [], [("m-1", 2, 1)]), False),
    ],
)
def test_an_audit_says_whether_the_books_add_up(audit: Audit, ok: bool) -> None:
    screen = io.StringIO()
    show_audit(audit, Console(file=screen, width=160), "both")
    assert ok == audit.ok
    assert ("账目平衡" if ok else "账目不平衡") in screen.getvalue()
    assert ("The books add up" if ok else "do not add up") in screen.getvalue()
