"""Preprocessors, sizes, the texts of units, and what programs of the field send."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import ValidationError

from extensions.controlnet.api import router
from extensions.controlnet.calls import read as read_args
from extensions.controlnet.commands import detect as detect_command
from extensions.controlnet.desk import functions
from extensions.controlnet.foreign_routes import ROUTES
from extensions.controlnet.infotext import written
from extensions.controlnet.maps import control_map, fitted, preprocessed, resolution
from extensions.controlnet.modules_list import MODULES, module_named
from extensions.controlnet.options import ControlNetOptions
from extensions.controlnet.preprocess import WEIGHTLESS
from extensions.controlnet.preview import previewed
from extensions.controlnet.unit import Unit
from modules.errors import UserError
from modules.plugins.host import Host

from .conftest import square

FREE = [module.name for module in MODULES if module.weights is None]


def test_each_preprocessor_without_weights_is_there() -> None:
    assert set(FREE) == set(WEIGHTLESS)


@pytest.mark.parametrize("name", FREE)
def test_each_gives_a_picture(name: str, host: Host, picture: str) -> None:
    unit = Unit(image=picture, mask_image=picture, module=name, processor_res=64)
    made = control_map(host, unit, (40, 24))
    assert (made.size, made.mode) == ((40, 24), "RGB")


def _of(host: Host, name: str, image: Image.Image, **more: Any) -> np.ndarray[Any, Any]:
    unit = Unit(image=host.keep_picture(image), module=name, pixel_perfect=True, **more)
    return np.asarray(preprocessed(host, unit, image.size))


def test_what_they_make_is_what_they_are_called(host: Host) -> None:
    image = square(64)
    pixels = np.asarray(image)
    edges = _of(host, "canny", image)
    assert set(np.unique(edges)) == {0, 255} and 20 < (edges[..., 0] > 0).sum() < 200
    assert not edges[20:28, 20:28].any(), "nothing within the square"
    assert (_of(host, "invert", image) == 255 - pixels).all()
    assert _of(host, "blur_gaussian", image).std() < pixels.std()
    assert (_of(host, "threshold", image)[..., 0] == np.where(pixels[..., 0] > 127, 255, 0)).all()
    grey = _of(host, "recolor_luminance", Image.new("RGB", (8, 8), (200, 20, 20)))
    assert (grey[..., 0] == grey[..., 1]).all() and 60 < grey[0, 0, 0] < 140
    strokes = _of(host, "scribble_xdog", image)
    assert set(np.unique(strokes)) == {0, 255}
    small = _of(host, "tile_resample", image, threshold_a=4)
    assert small.shape == (16, 16, 3)
    mixed = _of(host, "shuffle", image)
    assert mixed.shape == pixels.shape and (mixed != pixels).any()
    assert abs(float(mixed.mean()) - float(pixels.mean())) < 60


def test_resolution() -> None:
    unit = Unit(processor_res=256)
    assert resolution(unit, (100, 50), (512, 512)) == 256
    assert resolution(Unit(), (100, 50), (512, 512)) == 512
    perfect = Unit(pixel_perfect=True)
    assert resolution(perfect, (100, 50), (512, 512)) == 512
    assert resolution(perfect, (100, 50), (200, 50)) == 100
    whole = Unit(pixel_perfect=True, resize_mode="resize_and_fill")
    assert resolution(whole, (100, 50), (512, 512)) == 256


def test_resize_modes() -> None:
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (10, 0, 30, 20))
    cut = np.asarray(fitted(image, (20, 20), "crop_and_resize", binary=False))
    assert (cut[:, 1:-1, 2] > 250).all(), "the middle is left"
    whole = np.asarray(fitted(image, (20, 20), "resize_and_fill", binary=False))
    assert (whole[0] == whole[0, 0]).all() and whole[10, 10, 2] > 200
    lines = np.zeros((512, 512, 3), np.uint8)
    lines[256:258] = 255
    small = np.asarray(fitted(Image.fromarray(lines), (256, 256), "just_resize", binary=True))
    assert set(np.unique(small)) == {0, 255}, "a thin line does not fade away"


def test_infotext() -> None:
    unit = Unit(module="canny", model="edges", weight=0.75, threshold_a=90, pixel_perfect=True)
    text = written(unit, "edges", "d14c016b")
    assert text == (
        "Module: canny, Model: edges [d14c016b], Weight: 0.75, Resize Mode: Crop and Resize, "
        "Threshold A: 90.0, Guidance Start: 0.0, Guidance End: 1.0, Pixel Perfect: True, "
        "Control Mode: Balanced, Hr Option: Both"
    )


def test_values_of_other_programs_are_understood() -> None:
    unit = Unit.model_validate(
        {
            "resize_mode": 2,
            "control_mode": "ControlNet is more important",
            "hr_option": "Low res only",
        }
    )
    assert (unit.resize_mode, unit.control_mode, unit.hr_option) == (
        "resize_and_fill",
        "control",
        "low_res_only",
    )
    assert (
        Unit.model_validate({"resize_mode": "Scale to Fit (Inner Fit)"}).resize_mode
        == "crop_and_resize"
    )
    assert module_named("Canny").name == "canny" and module_named("tile").name == "tile_resample"
    for wrong in ({"resize_mode": 7}, {"weight": 3}):
        with pytest.raises(ValidationError):
            Unit.model_validate(wrong)
    with pytest.raises(UserError, match=r"guidance_start 0\.9.*guidance_end 0\.1"):
        Unit.model_validate({"guidance_start": 0.9, "guidance_end": 0.1})


def test_units_are_the_switch() -> None:
    assert not ControlNetOptions.model_validate({"units": []}).enabled
    assert not ControlNetOptions.model_validate({"units": [{"enabled": False}]}).enabled
    assert ControlNetOptions.model_validate({"units": [{}]}).enabled
    with pytest.raises(ValidationError):
        ControlNetOptions.model_validate({"units": [{}] * 17})


def test_alwayson_arguments() -> None:
    kept: list[str] = []

    def keep(image: str) -> str:
        kept.append(image)
        return f"id{len(kept)}"

    found = read_args(
        [
            {"image": {"image": "AAAA", "mask": "BBBB"}, "module": "canny", "lowvram": True},
            {"enabled": False, "image": "CCCC"},
            {"input_image": "DDDD", "mask": "EEEE", "control_mode": 1},
        ],
        keep,
    )
    assert found is not None and sorted(kept) == ["AAAA", "BBBB", "DDDD", "EEEE"]
    first, second = ControlNetOptions.model_validate(found).units
    assert (first.module, kept[int(first.image[2:]) - 1]) == ("canny", "AAAA")
    assert kept[int(second.mask_image[2:]) - 1] == "EEEE" and second.control_mode == "prompt"
    assert read_args([], keep) is None and read_args({"enabled": False}, keep) is None
    with pytest.raises(UserError, match="weight"):
        read_args([{"weight": 9}], keep)


class Queue:
    """What the server gives."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def keep(self, image: str, caller: object = None) -> str:
        return self._host.keep_picture(Image.open(io.BytesIO(base64.b64decode(image))))

    def check(self, name: str, caller: Any) -> None:
        self._host.open_picture(name)


def test_well_known_addresses(host: Host) -> None:
    folder = host.models / "controlnet"
    folder.mkdir(parents=True)
    (folder / "edge_canny.safetensors").write_bytes(b"x")
    app = FastAPI()
    app.include_router(router(host, Queue(host)))
    client = TestClient(app)
    assert client.get("/controlnet/version").json() == {"version": 2}
    assert client.get("/controlnet/settings").json() == {"control_net_unit_count": 16}
    (name,) = client.get("/controlnet/model_list").json()["model_list"]
    assert name.startswith("edge_canny [")
    listed = client.get("/controlnet/module_list").json()
    assert listed["module_detail"]["canny"]["sliders"][0]["value"] == 100
    assert not listed["module_detail"]["openpose"]["model_free"]
    types = client.get("/controlnet/control_types").json()["control_types"]
    assert types["Canny"]["default_option"] == "canny" and types["Canny"]["default_model"] == name
    buffer = io.BytesIO()
    square(40).save(buffer, "PNG")
    sent = base64.b64encode(buffer.getvalue()).decode()
    body = {"controlnet_module": "canny", "controlnet_input_images": [sent]}
    (image,) = client.post("/controlnet/detect", json=body).json()["images"]
    assert Image.open(io.BytesIO(base64.b64decode(image))).size == (512, 512)
    with pytest.raises(UserError, match="No image selected"):
        client.post("/controlnet/detect", json={"controlnet_module": "canny"})
    assert {route.path for route in router(host, Queue(host)).routes} == set(ROUTES.paths)  # type: ignore[attr-defined]


def test_the_panel_asks_and_is_answered(host: Host, picture: str) -> None:
    by_name = {each.__name__: each for each in functions(host)}
    choices = by_name["control_choices"]({})
    assert json.dumps(choices) and choices["models"] == []
    needs = {each["name"]: each["missing"] for each in choices["modules"]}
    assert needs["canny"] == [] and needs["mlsd"] == ["mlsd_large_512_fp32.pth"]
    assert by_name["control_fetching"]({}) == {"module": "", "share": 0.0}


def test_a_preview_is_made_for_whoever_may_have_the_picture(host: Host, picture: str) -> None:
    def check(name: str) -> None:
        if name != picture:
            raise UserError("error.input.missing", id=name[:12])

    unit = {"image": picture, "module": "canny"}
    assert previewed(host, {"unit": unit, "width": 64, "height": 32}, check).size == (64, 32)
    other = host.keep_picture(square(32))
    for wrong in (
        {"unit": {"image": picture, "weight": "much"}, "width": 64, "height": 64},
        {"unit": {**unit, "module": "mlsd"}, "width": 64, "height": 64},
        {"unit": unit, "width": 10**9, "height": 64},
        None,
        {"unit": {**unit, "image": "../../etc/passwd"}, "width": 64, "height": 64},
        {"unit": {**unit, "image": other}, "width": 64, "height": 64},
        {"unit": {**unit, "mask_image": other}, "width": 64, "height": 64},
    ):
        with pytest.raises(UserError):
            previewed(host, wrong, check)


def test_a_preview_over_http(host: Host, picture: str) -> None:
    app = FastAPI()
    app.include_router(router(host, Queue(host)))
    client = TestClient(app)
    asked = {"unit": {"image": picture, "module": "canny"}, "width": 64, "height": 32}
    answer = client.post("/controlnet/preview", json=asked)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 32)
    refused = client.post("/controlnet/preview", json={**asked, "width": "wide"})
    assert set(refused.json()["error"]) == {"en", "zh"}


def test_detect_on_the_command_line(host: Host, tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    square(64).save(source)
    assert "512" in detect_command(["canny", str(source), str(target)], host)
    with Image.open(target) as made:
        assert made.size == (512, 512)
    with pytest.raises(UserError, match="Usage"):
        detect_command(["canny"], host)
    with pytest.raises(UserError, match=r"in2\.png"):
        detect_command(["canny", str(tmp_path / "in2.png"), str(target)], host)
