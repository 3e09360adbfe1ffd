"""The extension as the program meets it: loaded by its manifest, asked by its hooks, called by the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extensions.lora.blends import Blends
from extensions.lora.desk import functions
from extensions.lora.rows import Row
from extensions.lora.shelf import Shelf
from extensions.lora.words import WORDS
from modules.errors import ExtensionError, UserError
from modules.imaging import infotext
from modules.imaging.infotext import PictureFacts
from modules.plugins.manager import Places, Plugins
from modules.schema import GenerationRequest

from . import made
from .conftest import Bench

EXTENSIONS = Path(__file__).parents[2]


@pytest.fixture
def plugins(bench: Bench, tmp_path: Path, parts: Any) -> Iterator[Plugins]:
    bench.add("ink", made.kohya(parts, {made.LINEAR: "unet"}))
    places = Places(models=bench.models, data=tmp_path / "data")
    loaded = Plugins.load(EXTENSIONS, places=places, process="worker")
    yield loaded
    loaded.close()


def asked(prompt: str = "a cat", **extras: Any) -> GenerationRequest:
    return GenerationRequest(prompt=prompt, extras={"lora": extras})


def test_it_is_active_and_offers_what_it_should(plugins: Plugins) -> None:
    (report,) = [each for each in plugins.reports if each.name == "lora"]
    assert report.state == "active", report.reason
    assert set(plugins.model_kinds()) >= {"lora"}
    assert {"lora.weight1", "lora.named", "lora.strength"} <= {axis.name for axis in plugins.axes()}
    assert [panel.extension for panel in plugins.panels("txt2img")].count("lora") == 1


def test_rows_are_the_switch(plugins: Plugins, parts: Any) -> None:
    nothing = plugins.check(asked(rows=[]))
    assert nothing.extras == {}
    request = plugins.check(asked(rows=[{"name": "ink"}]))
    assert request.extras["lora"]["enabled"] is True
    (adapter,) = plugins.adapters_for(request, parts)
    assert adapter.name == "lora" and adapter.text_key == ""
    off = plugins.check(asked(rows=[{"name": "ink", "on": False}, {"name": "gone", "weight": 0}]))
    assert plugins.adapters_for(off, parts) == []


def test_a_tag_alone_is_enough(plugins: Plugins, parts: Any) -> None:
    request = plugins.check(GenerationRequest(prompt="a cat <lora:ink:0.8>"))
    assert request.extras["lora"]["enabled"] is True
    assert plugins.check(request) == request, "what is checked stays as it is"
    (adapter,) = plugins.adapters_for(request, parts)
    (row,) = adapter.receipt()  # type: ignore[attr-defined]
    assert (row["name"], row["weight"], row["applied"]) == ("ink", 0.8, 1.0)
    assert adapter.infotext()["Lora hashes"].startswith("ink: ")  # type: ignore[attr-defined]


@pytest.mark.parametrize("weight", ["abc", "1e999", "nan", "0.5:lbw=X"])
def test_a_weight_that_is_none_is_a_warning(weight: str, plugins: Plugins, parts: Any) -> None:
    request = plugins.check(GenerationRequest(prompt=f"a cat <lora:ink:{weight}>"))
    plugins.check_request(request, "sd1")
    (adapter,) = plugins.adapters_for(request, parts)
    (told,) = adapter.warnings()
    for language in ("en", "zh"):
        assert f"<lora:ink:{weight}>" in told.message(language)
        assert f"“{weight.rpartition(':')[2]}”" in told.message(language)
    (quiet,) = plugins.adapters_for(request.replace(prompt="a cat <lora:ink:0.5>"), parts)
    assert quiet.warnings() == []


def test_rows_and_tags_come_back_from_the_text(plugins: Plugins, parts: Any) -> None:
    rows = [
        {"name": "ink", "weight": 0.3, "te": 0.0, "start": 0.25},
        {"name": "ink", "weight": 0.6, "blocks": {"mid": 0.5}, "curve": [[0, 0], [1, 1]]},
        {"name": "ink", "pictures": [1]},
    ]
    request = plugins.check(
        asked("a cat <lora:ink:0.8>", rows=rows).replace(seed=1, steps=4, cfg_scale=7)
    )
    (adapter,) = plugins.adapters_for(request, parts)
    told = adapter.infotext()  # type: ignore[attr-defined]
    text = infotext.write(request, index=0, facts=PictureFacts(extras=told))
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert unused == () and found.prompt == request.prompt
    # The first row is that of the tag, which has its weight; the last one no text can tell.
    assert found.extras["lora"]["rows"] == request.extras["lora"]["rows"][1:2]
    tagged = plugins.check(
        GenerationRequest(prompt="a cat <lora:ink:0.8>", seed=1, steps=4, cfg_scale=7)
    )
    (adapter,) = plugins.adapters_for(tagged, parts)
    told = adapter.infotext()  # type: ignore[attr-defined]
    assert told.keys() == {"Lora hashes"}
    text = infotext.write(tagged, index=0, facts=PictureFacts(extras=told))
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert unused == () and plugins.check(found) == tagged


@pytest.mark.parametrize("text", ["<lora:ink:50>", "ink", "", "<lora:ink:dyn=3>"])
def test_rows_that_no_mixer_has_are_left(plugins: Plugins, text: str) -> None:
    assert plugins.read_parameters({"Lora rows": text}) == ({}, set())


def test_the_prompt_holds_also_where_the_options_are_off(plugins: Plugins, parts: Any) -> None:
    off = {"enabled": False, "rows": [{"name": "gone"}]}
    request = GenerationRequest(prompt="a cat <lora:ink:0.8>", extras={"lora": off})
    (adapter,) = plugins.adapters_for(plugins.check(request), parts)
    assert [row["name"] for row in adapter.receipt()] == ["ink"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "prompt", ["a cat", "a cat <hypernet:ink:1>", r"a \<lora:ink:1>", "a # <lora:ink>"]
)
def test_without_a_tag_of_its_own_it_stays_away(prompt: str, plugins: Plugins) -> None:
    assert plugins.check(GenerationRequest(prompt=prompt)).extras == {}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"name": ""}], "name"),
        ([{"name": "ink", "weight": 99}], "weight"),
        ([{"name": "ink", "weight": float("nan")}], "weight"),
        ([{"name": "ink", "blocks": {"left": 1}}], "left"),
        ([{"name": "ink", "start": 0.8, "end": 0.2}], "ends"),
        ([{"name": "ink", "curve": [[0.5, 1], [0.1, 1]]}], "order of the steps"),
        ([{"name": "ink", "colour": "red"}], "colour"),
        ([{"name": "a\nb"}], "printable"),
        ([{"name": "ink"}] * 65, "64"),
        ("ink", "rows"),
    ],
)
def test_a_row_that_is_none_is_refused_by_its_fault(rows: Any, why: str, plugins: Plugins) -> None:
    request = GenerationRequest.model_construct(prompt="", extras={"lora": {"rows": rows}})
    with pytest.raises(UserError, match=why):
        plugins.check(request)


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("a <lora:unk:1>", "no LoRA 'unk'. Did you mean 'ink'"),
        ("a <blend:moon>", "no blend 'moon'"),
        ("a <lora:ink:77>", "tag <lora:ink:77> cannot be read"),
    ],
)
def test_a_job_fails_by_name_rather_than_be_wrong(
    prompt: str, why: str, plugins: Plugins, parts: Any
) -> None:
    request = plugins.check(asked(prompt, enabled=True))
    with pytest.raises(ExtensionError, match=f"lora.*{why}"):
        plugins.adapters_for(request, parts)


@pytest.fixture
def desk(bench: Bench, tmp_path: Path, parts: Any) -> dict[str, Any]:
    bench.add("ink", made.kohya(parts, {made.LINEAR: "unet"}), ss_output_name="ink")
    blends = Blends(tmp_path / "blends")
    return {call.__name__: call for call in functions(Shelf(bench.models), blends)}


def test_the_page_searches_describes_and_saves(desk: dict[str, Any]) -> None:
    assert desk["lora_search"]({"words": "in"})["total"] == 1
    assert desk["lora_search"]({"words": "zz"})["total"] == 0
    row = Row(name="ink").model_dump(mode="json")
    cards = desk["lora_cards"]({"rows": [row], "family": "sdxl"})["cards"]
    assert "It will not run" in cards["lora:ink"]["warning"]["en"]
    saved = desk["lora_save_blend"]({"name": "Moon", "note": "n", "rows": [row], "picture": ""})
    assert saved["names"] == ["Moon"] and len(saved["blend"]["rows"][0]["hash"]) == 12
    assert desk["lora_blend"]({"name": "Moon"})["blend"]["note"] == "n"
    assert "already" in desk["lora_save_blend"]({"name": "Moon", "rows": [row]})["error"]["en"]
    within = {"name": "Moon", "kind": "blend", "weight": 0.5}
    twice = desk["lora_save_blend"]({"name": "Twice", "rows": [row, within]})["blend"]
    assert [(each["name"], each["weight"]) for each in twice["rows"]] == [
        (row["name"], row.get("weight", 1)),
        (row["name"], row.get("weight", 1) * 0.5),
    ]
    blank = desk["lora_save_blend"]({"name": " ", "rows": [row]})["error"]
    assert "1 to 80 signs" in blank["en"] and "1 至 80 个字符" in blank["zh"]


def test_both_sides_agree_on_the_page(desk: dict[str, Any]) -> None:
    rows = desk["lora_to_rows"]({"prompt": "a <lora:ink:0.4>", "rows": []})["rows"]
    assert rows[0]["weight"] == 0.4
    rows[0]["weight"] = 0.9
    assert (
        desk["lora_to_prompt"]({"prompt": "a <lora:ink:0.4>", "rows": rows})["prompt"]
        == "a <lora:ink:0.9>"
    )
    both = desk["lora_both"]({"prompt": "a dog", "rows": rows})
    assert both["prompt"] == "a dog <lora:ink:0.9>" and both["rows"] == rows
    words = desk["lora_words"]({"prompt": "a dog", "words": ["inked"], "wanted": True})
    assert words["prompt"] == "a dog, inked"


@pytest.mark.parametrize(
    "data",
    [None, 1, "x", [], {"rows": [1]}, {"rows": [{"name": 3}]}, {"name": "../../etc/passwd"}, {"page": "x"}, {"text": 5}, {"prompt": ["a"]}],
)  # fmt: skip
def test_whatever_a_stranger_sends_is_answered(data: Any, desk: dict[str, Any]) -> None:
    for call in desk.values():
        answer = call(data)
        assert isinstance(answer, dict)
        assert set(answer.get("error", {"en": 0, "zh": 0})) == {"en", "zh"}


def test_no_answer_gives_away_a_path(desk: dict[str, Any], tmp_path: Path) -> None:
    row = Row(name="ink").model_dump(mode="json")
    for name, call in desk.items():
        assert str(tmp_path) not in str(call({"rows": [row], "words": "", "name": "x"})), name


def test_both_languages_have_every_word() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    script = (EXTENSIONS / "lora" / "mixer.js").read_text(encoding="utf-8")
    for key in WORDS["en"]:
        used = f'"{key}"' in script or key in (
            "rise",
            "fall",
            "middle",
            "ends",
            "constant",
            "own",
            "in",
            "mid",
            "out",
        )
        assert used, key


def action(plugins: Plugins, name: str) -> Any:
    (mounted,) = [each for each in plugins.panels("txt2img") if each.extension == "lora"]
    (found,) = [each for each in mounted.panel.actions if each.name == name]
    return found


def test_a_click_makes_a_strip_of_the_first_lora(plugins: Plugins) -> None:
    request = GenerationRequest(prompt="a cat <lora:ink:0.3> <lora:wash>", seed=5, batch_size=2)
    cells = plugins.plan("lora", action(plugins, "strip"), request)
    assert [cell.labels for cell in cells] == [(f"ink {w:g}",) for w in (0, 0.25, 0.5, 0.75, 1)]
    assert cells[1].request.prompt == "a cat <lora:ink:0.25> <lora:wash>"
    assert {(cell.request.seed, cell.request.batch_size) for cell in cells} == {(5, 1)}


def test_a_click_makes_a_plane_of_two(plugins: Plugins) -> None:
    request = GenerationRequest(prompt="a cat <lora:ink> <lora:wash>", seed=5)
    cells = plugins.plan("lora", action(plugins, "plane"), request)
    assert cells[1].labels == ("ink 0.5", "wash 0") and len(cells) == 9
    assert "<lora:ink:0.5> <lora:wash:0>" in cells[1].request.prompt
    for name, prompt in (("strip", "a cat"), ("plane", "a cat <lora:ink>")):
        with pytest.raises(UserError, match="mixer has"):
            plugins.plan("lora", action(plugins, name), GenerationRequest(prompt=prompt, seed=5))


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("a <lora:unk:1>", "no LoRA 'unk'. Did you mean 'ink'"),
        ("a <blend:moon>", "no blend 'moon'"),
        ("a <lora:ink:77>", "tag <lora:ink:77> cannot be read"),
        ("a <lora:cut>", "cut.safetensors is not a whole"),
        ("a <lora:wide>", "“wide” was made for Stable Diffusion XL"),
    ],
)
def test_what_the_job_would_refuse_is_refused_before(
    prompt: str, why: str, plugins: Plugins, bench: Bench
) -> None:
    folder = bench.models / "lora"
    (folder / "cut.safetensors").write_bytes(b"nothing")
    _wide(folder / "wide.safetensors")
    with pytest.raises(UserError, match=why) as caught:
        plugins.check_request(plugins.check(asked(prompt, enabled=True)), "sd1")
    assert not isinstance(caught.value, ExtensionError)
    assert caught.value.message("zh") != caught.value.message("en")


@pytest.mark.parametrize("prompt", ["a <lora:ink:0.5>", "a <lora:unk:0>", "a cat", "<lora:ink:x>"])
def test_what_the_job_takes_is_not_refused_before(prompt: str, plugins: Plugins) -> None:
    request = plugins.check(asked(prompt, enabled=True))
    plugins.check_request(request, "sd1")
    plugins.check_request(request, "sd2")  # a relative: a part may fit, which the job knows


def test_a_row_that_only_its_hash_may_tell_is_left_to_the_job(plugins: Plugins) -> None:
    rows = [{"name": "renamed", "hash": "0123456789ab"}]
    plugins.check_request(plugins.check(asked(rows=rows)), "sd1")


def test_a_family_that_nobody_can_change_is_named(plugins: Plugins) -> None:
    with pytest.raises(UserError, match=r"flux1.*lora"):
        plugins.check_request(plugins.check(asked("a <lora:ink>", enabled=True)), "flux1")
    plugins.check_request(plugins.check(asked("a <lora:ink:0>", enabled=True)), "flux1")


def _wide(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    key = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    down, up = torch.zeros(4, 2048), torch.zeros(640, 4)
    save_file({f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}, path)
