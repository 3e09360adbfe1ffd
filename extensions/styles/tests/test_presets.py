"""The presets that come along, and one's own: whole or not at all."""

import base64
import os
from pathlib import Path

import pytest

from extensions.styles.presets import MAX_PRESETS, Preset, Presets, preset_of
from modules.errors import UserError

HERE = Path(__file__).resolve().parents[1]
PICTURE = "data:image/webp;base64," + base64.b64encode(b"RIFFxxxxWEBP").decode()


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(HERE / "presets.json", HERE / "previews", tmp_path / "own")


def test_enough_come_along_in_groups_and_two_languages(presets: Presets):
    found = presets.shipped()
    assert len(found) >= 60
    groups = {each.group for each in found}
    assert groups >= {
        "oil",
        "watercolour",
        "ink",
        "anime",
        "comic",
        "pixel",
        "photo",
        "light",
        "3d",
    }
    assert len({each.name.casefold() for each in found}) == len(found)
    for each in found:
        assert each.name_zh and any("\u4e00" <= sign <= "\u9fff" for sign in each.name_zh), (
            each.name
        )
        assert each.prompt.count("{prompt}") == 1, each.name


def test_every_group_has_its_words(presets: Presets):
    from extensions.styles.words import WORDS

    for each in presets.shipped():
        assert each.group in WORDS["en"] and each.group in WORDS["zh"]
    assert WORDS["en"].keys() == WORDS["zh"].keys()


def test_found_by_either_name_in_any_case(presets: Presets):
    assert presets.get("oil  PAINTING").name == "Oil painting"
    assert presets.get("油画").name == "Oil painting"
    with pytest.raises(UserError, match=r"no style preset 'Oil paintings'.*Oil painting"):
        presets.get("Oil paintings")


def test_own_ones_are_kept_and_go_before(presets: Presets):
    mine = Preset(name="Oil painting", prompt="mine", picture=PICTURE, parameters={"steps": 30})
    presets.save(mine)
    assert presets.get("Oil painting") == mine
    assert sum(each.name == "Oil painting" for each in presets.all()) == 1
    assert presets.preview(mine) == PICTURE
    with pytest.raises(UserError, match="already"):
        presets.save(mine)
    changed = mine.model_copy(update={"prompt": "changed"})
    presets.save(changed, over=True)
    assert presets.own() == (changed,)
    presets.delete("oil painting")
    assert presets.own() == ()
    assert presets.get("Oil painting").prompt != "mine"


def test_those_that_come_along_cannot_be_deleted(presets: Presets):
    with pytest.raises(UserError, match="come along"):
        presets.delete("Oil painting")


@pytest.mark.parametrize("name", ["../x", "a/b", "con", "猫", ".hidden", "x" * 80, "a\\b:c*?"])
def test_any_name_is_one_file_in_the_folder(presets: Presets, tmp_path: Path, name: str):
    presets.save(Preset(name=name, prompt="x"))
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path / "own"]
    assert presets.get(name).prompt == "x"


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"name": ""}, "name"),
        ({"name": "a,b"}, "comma"),
        ({"name": "x" * 81}, "80"),
        ({"name": "a\u0007b"}, "name"),
        ({"name": "x", "picture": "javascript:alert(1)"}, "picture"),
        ({"name": "x", "picture": "data:image/svg+xml;base64,AAAA"}, "picture"),
        ({"name": "x", "picture": "data:image/png;base64,AAA"}, "damaged"),
        ({"name": "x", "parameters": {"prompt": "y"}}, "none of"),
        ({"name": "x", "parameters": {"steps": "many"}}, "cannot be"),
        ({"name": "x", "parameters": {"steps": 0}}, "cannot be"),
        ({"name": "x", "parameters": {"steps": 1.5}}, "cannot be"),
        ({"name": "x", "surprise": 1}, "surprise"),
        ({"name": "x", "prompt": "y" * 8001}, "prompt"),
        (None, "preset"),
        ([], "preset"),
    ],
)
def test_what_is_none_is_refused(fields: object, words: str):
    with pytest.raises(UserError, match=words) as caught:
        preset_of(fields)
    assert "风格预设" in caught.value.message("zh")


def test_files_that_are_none_are_named_and_left_out(presets: Presets, tmp_path: Path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "broken.json").write_text("{")
    (folder / "other.json").write_bytes(b"\xff\xfe")
    os.symlink("/etc/passwd", folder / "link.json")
    presets.save(Preset(name="good", prompt="x"))
    assert [each.name for each in presets.own()] == ["good"]
    assert presets.problems() == ("broken.json", "link.json", "other.json")


def test_a_disk_that_refuses(tmp_path: Path):
    (tmp_path / "own").write_text("a file where the folder would be")
    presets = Presets(HERE / "presets.json", HERE / "previews", tmp_path / "own")
    with pytest.raises(UserError, match="could not be saved"):
        presets.save(Preset(name="x", prompt="y"))


def test_there_is_an_end(presets: Presets, monkeypatch: pytest.MonkeyPatch):
    many = tuple(Preset(name=f"n{i}") for i in range(MAX_PRESETS))
    monkeypatch.setattr(presets, "own", lambda: many)
    with pytest.raises(UserError, match="delete some"):
        presets.save(Preset(name="one more", prompt="y"))
