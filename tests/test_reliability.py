"""The table of faults in docs/reliability.md names tests that are there, for every fault, in both languages alike."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| R(\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`((?:tests|extensions)/[\w/]+\.py)::(\w+)`")
PAGES = ("reliability.md", "reliability.zh-CN.md")


def rows(page: str) -> dict[int, tuple[tuple[str, str], ...]]:
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    return {int(row[1]): tuple(NAMED.findall(row[5])) for row in ROW.finditer(text)}


def names_in(file: Path) -> set[str]:
    """Functions of a test module, and names given at its top (a hypothesis machine's test case)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    for each in tree.body:
        if isinstance(each, ast.Assign):
            found |= {target.id for target in each.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.lower().startswith("test")}


@pytest.mark.parametrize("page", PAGES)
def test_every_fault_has_a_test_that_is_there(page):
    found = rows(page)
    assert sorted(found) == list(range(1, 27))
    for number, named in found.items():
        assert named, f"R{number} names no test"
        for file, name in named:
            assert name in names_in(PROJECT / file), f"R{number}: {file} has no {name}"


def test_both_languages_name_the_same():
    english, chinese = map(rows, PAGES)
    assert english == chinese


def test_a_name_that_is_not_there_would_be_found():
    assert "test_nothing_like_this" not in names_in(Path(__file__))
    assert "test_both_languages_name_the_same" in names_in(Path(__file__))
