"""What the job of a unit would refuse is refused before: the same words, in the page's process, without torch."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from extensions.controlnet.checks import check_units
from extensions.controlnet.options import ControlNetOptions
from extensions.controlnet.plugin import ControlNetExtension
from modules.errors import UserError
from modules.plugins.host import Host

from . import made, made_ip


def refused(host: Host, unit: dict[str, Any], family: str = "sd1") -> tuple[str, str]:
    """What is said before the job, in both languages; nothing where it may be queued."""
    options = ControlNetOptions.model_validate({"units": [{"enabled": False}, unit]})
    try:
        ControlNetExtension(host).check_request(options, family)
    except UserError as error:
        return error.message("en"), error.message("zh")
    return "", ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "gone"}, "no control model “gone”"),
        ({"module": "nonsense"}, "no preprocessor “nonsense”"),
        ({"image": ""}, "no picture"),
        ({"model": "None"}, "no model"),
        ({"image": "0" * 64}, "not here any more"),
        ({"mask_image": "0" * 64}, "not here any more"),
        ({"module": "softedge_hed"}, "ControlNetHED.pth"),
        ({"module": "inpaint_only"}, "needs a mask"),
        ({"module": "ip-adapter-auto"}, "one is none"),
    ],
)
def test_the_words_are_those_of_the_job(
    change: dict[str, Any],
    said: str,
    one: str,
    host: Host,
    picture: str,
    draw: Callable[..., Any],
) -> None:
    unit = {"image": picture, "model": one, **change}
    english, chinese = refused(host, unit)
    assert said in english and english != chinese
    with pytest.raises(UserError) as late:
        draw([unit])
    assert (late.value.message("en"), late.value.message("zh")) == (english, chinese)


@pytest.mark.parametrize(
    "change", [{}, {"enabled": False, "model": "gone"}, {"weight": 0, "model": "gone"}]
)
def test_what_acts_or_stays_away_may_be_queued(
    change: dict[str, Any], one: str, host: Host, picture: str
) -> None:
    assert refused(host, {"image": picture, "model": one, **change}) == ("", "")
    assert refused(host, {"enabled": True, "module": "canny"}) == ("", ""), "it has nothing to do"


def test_the_family_and_the_file_have_to_fit(one: str, host: Host, picture: str) -> None:
    unit = {"image": picture, "model": one}
    assert "this one is flux1" in refused(host, unit, "flux1")[0]
    assert refused(host, {**unit, "model": "gone"}, "") == ("", ""), "no model is steered"
    made.write(host.models / "controlnet" / "other.safetensors", {"some.weight": torch.zeros(3)})
    assert "other.safetensors" in refused(host, {**unit, "model": "other"})[0]
    (host.models / "controlnet" / "old.pth").write_bytes(b"a pickle is read by the worker alone")
    assert refused(host, {**unit, "model": "old"}) == ("", "")


def test_an_ip_adapter_needs_its_encoder_and_no_other_preprocessor(
    host: Host, picture: str, tiny: Callable[[str], Any]
) -> None:
    unit = {"image": picture, "model": "one", "module": "ip-adapter"}
    made_ip.write(host.models, "one", made_ip.adapter(tiny("sd1").unet))
    assert "CLIP image encoder (image_embeds, 48)" in refused(host, unit)[0]
    made_ip.encoder(host.models / "clip_vision" / "image_encoder")
    assert refused(host, unit) == ("", "")
    assert "preprocessor is canny" in refused(host, {**unit, "module": "canny"})[0]


@pytest.mark.parametrize("kind", made_ip.KINDS)
def test_every_kind_of_ip_adapter_says_what_it_reads(
    kind: str, host: Host, picture: str, tiny: Callable[[str], Any]
) -> None:
    made_ip.encoder(host.models / "clip_vision" / "image_encoder")
    made_ip.write(host.models, "one", made_ip.adapter(tiny("sd1").unet, kind))
    unit = {"image": picture, "model": "one", "module": "ip-adapter"}
    assert refused(host, unit) == ("", "")


def test_it_takes_no_torch(one: str, host: Host, picture: str) -> None:
    code = f"""
import sys
from pathlib import Path
from extensions.controlnet.checks import check_units
from extensions.controlnet.unit import Unit
from modules.errors import UserError
from modules.plugins.host import Host

host = Host("controlnet", Path(), Path({str(host.models)!r}), Path())
try:
    check_units(host, [Unit(image="0" * 64, model={one!r})], "sd1")
except UserError as error:
    assert error.key == "error.input.missing", error
from modules.plugins.weights import check_clip_vision, check_control
check_control(Path({str(host.models)!r}) / "controlnet" / "one.safetensors", "sd1")
print(sorted({{"torch", "diffusers", "transformers", "cv2"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    check_units(host, ControlNetOptions().units, "flux1")
