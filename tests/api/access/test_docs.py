"""The table of addresses and roles in the guides is that of the program, in both languages."""

import importlib.util
from pathlib import Path

import pytest

from modules.api.rules import Rule, rules
from modules.services.access import Role

TOOL = Path(__file__).resolve().parents[3] / "tools" / "routes.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("noisette_tool_routes", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_guide_has_the_table_of_the_rules(tool, language: str):
    assert tool.found(language) == tool.table(language), "run python tools/routes.py"


def test_it_would_notice(tool):
    assert tool.table("en", [*rules(), Rule("GET", "/api/v2/new", Role.GUEST)]) != tool.table("en")
    first, *rest = rules()
    assert tool.table("en", rest) != tool.table("en")
    other = Rule(first.methods, first.path, Role.OWNER)
    assert tool.table("en", [other, *rest]) != tool.table("en")


def test_a_line_for_what_is_alike(tool):
    rows = [
        Rule("POST", "/login", Role.ANYBODY),
        Rule("GET", "/ui/a", Role.GUEST),
        Rule("GET", "/ui/a/", Role.GUEST),
        Rule("GET", "/ui/b/{rest:path}", Role.GUEST),
        Rule("GET", "/ui/b/c", Role.OWNER),
        Rule("GET POST", "/login", Role.OWNER),
        Rule("POST", "/login/", Role.OWNER),
    ]
    assert tool.table("en", rows).splitlines()[2:] == [
        "| `/login` | POST | yes | yes | yes |",
        "| `/login` | GET |  |  | yes |",
        "| `/login/` | POST |  |  | yes |",
        "| `/ui/a`, `b/…` | GET |  | yes | yes |",
        "| `/ui/b/c` | GET |  |  | yes |",
        "| any address that has no rule | * |  |  | yes |",
    ]
