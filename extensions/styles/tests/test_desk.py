"""What the page asks of Python: anything may come in, a sentence goes out."""

from pathlib import Path
from typing import Any

import pytest

from extensions.styles.desk import PAGE, functions
from extensions.styles.presets import Presets

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    presets = Presets(HERE / "presets.json", HERE / "previews", tmp_path / "own")
    by_name = {function.__name__: function for function in functions(presets)}
    return lambda name, data=None: by_name[f"styles_{name}"](data)


def test_search(ask: Any):
    everything = ask("search", {})
    assert len(everything["items"]) == PAGE < everything["total"]
    assert "oil" in everything["groups"]
    second = ask("search", {"page": 1})
    assert not {row["name"] for row in second["items"]} & {
        row["name"] for row in everything["items"]
    }
    assert next(row["name"] for row in ask("search", {"words": "油画"})["items"]) == "Oil painting"
    assert {row["group"] for row in ask("search", {"group": "ink"})["items"]} == {"ink"}
    assert ask("search", {"words": "neon night"})["items"][0]["name"] == "Neon"


def test_named(ask: Any):
    rows = ask("named", {"names": "油画:0.5, Nothing such"})["rows"]
    assert (rows[0]["name"], rows[0]["amount"]) == ("Oil painting", 0.5)
    assert "no style preset" in rows[1]["missing"]["en"]
    assert "0 to 2" in ask("named", {"names": "Oil:9"})["error"]["en"]


def test_save_get_delete(ask: Any):
    assert ask("save", {"preset": {"name": "Mine", "prompt": "x", "group": ""}}) == {"name": "Mine"}
    assert ask("get", {"name": "mine"})["preset"]["group"] == "own"
    assert ask("search", {"words": "mine"})["items"][0]["own"] is True
    assert "already" in ask("save", {"preset": {"name": "MINE", "prompt": "y"}})["error"]["en"]
    assert ask("delete", {"name": "Mine"}) == {}
    assert "error" in ask("get", {"name": "Mine"})


def test_import_leaves_what_exists(ask: Any):
    ask("save", {"preset": {"name": "A", "prompt": "old"}})
    text = "name,prompt\nA,new\nB,x\n"
    assert ask("import", {"text": text}) == {"saved": 1, "left": 1}
    assert ask("get", {"name": "A"})["preset"]["prompt"] == "old"
    assert ask("import", {"text": text, "over": True}) == {"saved": 2, "left": 0}
    assert ask("get", {"name": "A"})["preset"]["prompt"] == "new"
    assert ask("export", {"as": "csv"})["text"].splitlines()[0] == "name,prompt,negative_prompt"
    assert '"name": "A"' in ask("export", {"as": "json"})["text"]


@pytest.mark.parametrize(
    "data", [None, 3, [], {}, {"preset": 3, "names": 4, "text": 5, "name": None}]
)
@pytest.mark.parametrize("name", ["search", "named", "get", "save", "delete", "import", "export"])
def test_anything_may_come_in(ask: Any, name: str, data: object):
    answer = ask(name, data)
    assert isinstance(answer, dict)
    if "error" in answer:
        assert answer["error"]["en"] and answer["error"]["zh"]
