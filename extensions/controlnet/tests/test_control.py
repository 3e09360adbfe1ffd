"""Units on tiny models: all kinds, all families, what they change and what they leave alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from extensions.controlnet.calls import maps
from extensions.controlnet.nets import Nets
from extensions.controlnet.options import ControlNetOptions
from extensions.controlnet.worker import ControlNetWorker
from modules.diffusion.seal import seal
from modules.errors import ModelFileError, UserError
from modules.plugins.host import Host
from modules.schema import GenerationRequest

from . import made

FAMILIES = ("sd1", "sd2", "sdxl")


def put(host: Host, name: str, tensors: dict[str, torch.Tensor]) -> None:
    made.write(host.models / "controlnet" / f"{name}.safetensors", tensors)


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["diffusers", "ldm", "t2i", "t2i ldm"])
def test_each_kind_steers_each_family_and_leaves_the_model_as_it_was(
    kind: str,
    family: str,
    host: Host,
    picture: str,
    tiny: Callable[[str], Any],
    draw: Callable[..., Image.Image],
) -> None:
    if kind.startswith("t2i"):
        net = made.t2i(family)
        family = family if family == "sdxl" else f"{family} text first"
        tensors = made.original_t2i(net) if kind.endswith("ldm") else net.state_dict()
    else:
        net = made.controlnet(tiny(family).unet)
        tensors = made.original(net) if kind == "ldm" else net.state_dict()
    put(host, "one", tensors)
    parts = tiny(family)
    loaded = Nets(host).get("one", parts)
    theirs = net.state_dict()
    assert all(
        torch.equal(value, theirs[name]) for name, value in loaded.model.state_dict().items()
    )
    plain = draw([], family)
    before = seal(parts)
    unit = {"image": picture, "model": "one", "module": "canny", "pixel_perfect": True}
    assert apart(plain, draw([unit], family)) > 0
    assert draw([], family).tobytes() == plain.tobytes()
    assert draw([{**unit, "weight": 0}], family).tobytes() == plain.tobytes()
    assert seal(parts) == before


def test_weight_and_range_act(
    one: str, host: Host, picture: str, draw: Callable[..., Image.Image]
) -> None:
    plain = draw([], steps=4)
    unit = {"image": picture, "model": "one"}
    near, far = (apart(plain, draw([{**unit, "weight": w}], steps=4)) for w in (0.1, 1))
    assert 0 < near < far
    never = draw([{**unit, "guidance_start": 0.9, "guidance_end": 0.95}], steps=4)
    assert never.tobytes() == plain.tobytes()
    late = draw([{**unit, "guidance_start": 0.7}], steps=4)
    assert late.tobytes() not in (plain.tobytes(), draw([unit], steps=4).tobytes())


def test_units_add_up(one: str, host: Host, picture: str, draw: Callable[..., Image.Image]) -> None:
    unit = {"image": picture, "model": "one", "weight": 0.5}
    twice, whole = draw([unit, unit]), draw([{**unit, "weight": 1}])
    assert apart(twice, whole) < 0.6, "two halves are a whole, up to rounding"
    assert apart(draw([unit]), whole) > apart(twice, whole)


@pytest.mark.parametrize("mode", ["prompt", "control"])
def test_modes_differ_from_balanced(
    mode: str,
    one: str,
    host: Host,
    picture: str,
    draw: Callable[..., Image.Image],
) -> None:
    unit = {"image": picture, "model": "one"}
    made_so = draw([{**unit, "control_mode": mode}])
    assert made_so.tobytes() not in (draw([unit]).tobytes(), draw([]).tobytes())


def test_a_mask_says_where(
    one: str, host: Host, picture: str, draw: Callable[..., Image.Image]
) -> None:
    black, white = (host.keep_picture(Image.new("RGB", (32, 32), c)) for c in ("black", "white"))
    unit = {"image": picture, "model": "one"}
    assert draw([{**unit, "mask_image": black}]).tobytes() == draw([]).tobytes()
    assert draw([{**unit, "mask_image": white}]).tobytes() == draw([unit]).tobytes()


def test_the_pass_of_hires_fix_is_chosen(
    one: str, host: Host, picture: str, draw: Callable[..., Image.Image]
) -> None:
    hires = {"hires": {"scale": 1.5, "upscaler": "Latent", "steps": 2, "denoising_strength": 0.7}}
    unit = {"image": picture, "model": "one"}
    found = {
        name: draw([{**unit, "hr_option": name}], **hires).tobytes()
        for name in ("both", "low_res_only", "high_res_only")
    }
    assert len({*found.values(), draw([], **hires).tobytes()}) == 4
    alone = draw([{**unit, "hr_option": "high_res_only"}])
    assert alone.tobytes() == draw([unit]).tobytes(), "one pass is one in which all act"


def test_a_control_model_for_another_family_is_refused(
    host: Host, picture: str, tiny: Callable[[str], Any], draw: Callable[..., Image.Image]
) -> None:
    put(host, "xl", made.controlnet(tiny("sdxl").unet).state_dict())
    with pytest.raises(ModelFileError) as told:
        draw([{"image": picture, "model": "xl"}])
    assert "xl.safetensors" in str(told.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "gone"}, "no control model “gone”"),
        ({"module": "nonsense"}, "no preprocessor “nonsense”"),
        ({"image": ""}, "no picture"),
        ({"model": "None"}, "no model"),
        ({"image": "0" * 64}, "not here any more"),
        ({"module": "softedge_hed"}, "ControlNetHED.pth"),
        ({"module": "inpaint_only"}, "needs a mask"),
    ],
)
def test_what_is_missing_is_said(
    change: dict[str, Any],
    said: str,
    one: str,
    host: Host,
    picture: str,
    draw: Callable[..., Image.Image],
) -> None:
    with pytest.raises(UserError) as told:
        draw([{"image": picture, "model": "one", **change}])
    assert said in told.value.message("en")
    assert told.value.message("zh") != told.value.message("en")


def test_a_file_that_is_something_else_is_refused(
    host: Host, picture: str, draw: Callable[..., Image.Image]
) -> None:
    put(host, "other", {"some.weight": torch.zeros(3)})
    with pytest.raises(ModelFileError, match=r"other\.safetensors"):
        draw([{"image": picture, "model": "other"}])
    (host.models / "controlnet" / "cut.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
        draw([{"image": picture, "model": "cut"}])


@pytest.mark.parametrize(
    ("size", "mode"),
    [((7, 90), "just_resize"), ((300, 20), "crop_and_resize"), ((48, 20), "resize_and_fill")],
)
def test_pictures_of_any_size_and_mode_do(
    mode: str,
    size: tuple[int, int],
    one: str,
    host: Host,
    draw: Callable[..., Image.Image],
) -> None:
    name = host.keep_picture(Image.new("RGBA", size, (200, 10, 10, 100)))
    unit = {"image": name, "model": "one", "resize_mode": mode, "module": "canny"}
    assert draw([{**unit, "pixel_perfect": True}]).size == (32, 32)


def test_names_are_found_as_other_programs_write_them(
    host: Host, picture: str, tensors: dict[str, Any], draw: Callable[..., Image.Image]
) -> None:
    folder = host.models / "controlnet" / "Edges"
    made.write(folder / "diffusion_pytorch_model.safetensors", tensors)
    plain = draw([{"image": picture, "model": "edges"}])
    assert plain.tobytes() == draw([{"image": picture, "model": "Edges [e3b0c442]"}]).tobytes()


def test_a_light_t2i_adapter_is_read(host: Host, tiny: Callable[[str], Any]) -> None:
    net = made.light()
    put(host, "small", net.state_dict())
    loaded = Nets(host).get("small", tiny("sd1 text first"))
    hint = torch.rand(1, 3, 64, 64)
    assert all(map(torch.equal, loaded.model(hint), net(hint)))


def test_a_t2i_adapter_of_another_shape_is_refused(
    host: Host, picture: str, draw: Callable[..., Image.Image]
) -> None:
    put(host, "one", made.t2i("sd1").state_dict())
    with pytest.raises(ModelFileError, match=r"one\.safetensors"):
        draw([{"image": picture, "model": "one"}])


def test_an_empty_unit_does_nothing(draw: Callable[..., Image.Image]) -> None:
    assert draw([{}]).tobytes() == draw([]).tobytes()


def test_a_map_is_kept_on_wish(
    one: str, host: Host, picture: str, tiny: Callable[[str], Any]
) -> None:
    unit = {"image": picture, "model": one, "module": "canny", "save_detected_map": True}
    options = ControlNetOptions.model_validate({"units": [unit]})
    request = GenerationRequest(prompt="a cat", width=32, height=32)
    adapter = ControlNetWorker(host).prepare_generation(request, options, tiny("sd1"))
    assert adapter is not None
    (told,) = adapter.receipt()  # type: ignore[union-attr, misc]
    assert host.open_picture(told["map"]).size == (32, 32)  # type: ignore[index, call-overload, arg-type]
    (kept,) = (host.data / "maps").iterdir()
    assert kept.stem == told["map"]  # type: ignore[index, call-overload]
    (shown,) = maps(options, host, adapter.receipt())  # type: ignore[attr-defined]
    assert shown == host.open_picture(kept.stem)
    plain = [{"map": kept.stem, "module": name} for name in ("none", "")]
    assert maps(options, host, plain) == [] and maps(options, host, None) == []  # type: ignore[arg-type]
    with pytest.raises(UserError):
        maps(options, host, [{"map": "f" * 64, "module": "canny"}])
    assert adapter.infotext()["ControlNet 0"].startswith("Module: canny, Model: one [")
