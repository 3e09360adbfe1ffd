"""Units in a picture's text come back through the door."""

from pathlib import Path

import pytest

from extensions.controlnet.calls import read
from extensions.controlnet.infotext import written
from extensions.controlnet.modules_list import MODULES
from extensions.controlnet.unit import Unit
from extensions.controlnet.words import RECEIPT
from modules.errors import UserError
from modules.imaging import infotext
from modules.imaging.infotext import PictureFacts
from modules.plugins.manager import Places, Plugins
from modules.schema import GenerationRequest

UNITS = (
    Unit(module="canny", model="edges", weight=0.75, threshold_a=90, pixel_perfect=True),
    Unit(
        module="invert (from white bg & black line)",
        model="edges",
        resize_mode="resize_and_fill",
        control_mode="control",
        hr_option="high_res_only",
        guidance_start=0.1,
        guidance_end=0.7,
        processor_res=768,
        threshold_b=3.5,
    ),
)


@pytest.fixture
def plugins(tmp_path: Path):
    (tmp_path / "extensions").mkdir()
    here = Path(__file__).parents[1]
    (tmp_path / "extensions" / "controlnet").symlink_to(here, target_is_directory=True)
    file = tmp_path / "models" / "controlnet" / "edges.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    loaded = Plugins.load(tmp_path / "extensions", places=Places(tmp_path / "models"))
    assert loaded.reports[0].reason is None
    yield loaded
    loaded.close()


def test_units_come_back_from_the_text_but_for_their_pictures(plugins: Plugins) -> None:
    lines = {f"ControlNet {n}": written(unit, "edges", "d14c") for n, unit in enumerate(UNITS)}
    request = GenerationRequest(prompt="a cat", steps=4, seed=1)
    text = infotext.write(request, index=0, facts=PictureFacts(extras=lines))
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert unused == ()
    options = {"enabled": True, "units": [unit.model_dump(mode="json") for unit in UNITS]}
    assert found.extras == {"controlnet": options}
    assert plugins.check(found) == found


def test_a_model_that_is_not_here_keeps_its_name(plugins: Plugins) -> None:
    text = "Module: Canny, Model: depth_v9 [abcd], Weight: 1, Control Mode: Balanced"
    found, used = plugins.read_parameters({"ControlNet 0": text, "ControlNet x": "1"})
    (unit,) = found["controlnet"]["units"]
    assert used == {"ControlNet 0"} and unit["model"] == "depth_v9 [abcd]"
    assert unit["module"] == "canny"


@pytest.mark.parametrize(
    "text", ["", "Weight: 9", "Control Mode: none of them", "Model", "x" * 9999]
)
def test_what_is_no_unit_is_left(plugins: Plugins, text: str) -> None:
    assert plugins.read_parameters({"ControlNet 0": text}) == ({}, set())


def test_the_receipt_is_said_in_words() -> None:
    said = {"model", "hash", "kind", "module", "weight", "map"}
    said |= {f"module={each.name}" for each in MODULES}
    said |= {f"kind={kind}" for kind in ("controlnet", "t2i_adapter", "ip_adapter")}
    assert said <= set(RECEIPT)
    assert all(en and zh for en, zh in RECEIPT.values())


@pytest.mark.parametrize("sent", [[5], ["canny"], [{"module": "none"}, ["image"]]])
def test_what_a_client_sends_that_is_no_unit_is_refused(sent: list[object]) -> None:
    """Passed over, it would give a picture without control and no word about it."""
    with pytest.raises(UserError, match="ControlNet unit"):
        read(sent, str)


def test_flags_before_the_units_and_empty_units_are_as_older_clients_send_them() -> None:
    found = read([False, True, None, {"module": "canny", "model": "net"}], str)
    assert found is not None and [unit["model"] for unit in found["units"]] == ["net"]
    assert read([], str) is None
