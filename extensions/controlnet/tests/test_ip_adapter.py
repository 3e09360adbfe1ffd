"""IP-Adapters: against diffusers' own pipelines, and what they leave alone."""

import copy
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from extensions.controlnet.nets import Nets
from extensions.controlnet.options import ControlNetOptions
from extensions.controlnet.preview import previewed
from extensions.controlnet.worker import ControlNetWorker
from extensions.pag.adapter import Pag
from extensions.pag.plugin import PagOptions
from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.inputs import Inputs
from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import pick
from modules.diffusion.seal import seal
from modules.diffusion.timeline import timeline
from modules.errors import ModelFileError, UserError
from modules.plugins.host import Host
from modules.schema import GenerationRequest

from . import made, made_ip
from .conftest import square

UNIT = {"module": "ip-adapter-auto", "model": "one"}
FIELDS: dict[str, Any] = {
    "prompt": "a cat",
    "negative_prompt": "a dog",
    "width": 32,
    "height": 32,
    "steps": 3,
    "cfg_scale": 3.0,
    "sampler": "euler",
    "schedule": "default",
    "seed": 7,
}


@pytest.fixture
def encoder(host: Host) -> Any:
    return made_ip.encoder(host.models / "clip_vision" / "image_encoder")


@pytest.fixture
def one(host: Host, encoder: Any, tiny: Callable[[str], Any]) -> None:
    """A plain IP-Adapter of the tiny SD 1.x model, and its encoder."""
    made_ip.write(host.models, "one", made_ip.adapter(tiny("sd1").unet))


class Last(Adapter):
    """Keeps the latents after the last step."""

    order = 2000
    final: torch.Tensor

    def after_step(self, step: Step) -> None:
        sampler, schedule = pick(step.request.sampler, step.request.schedule)
        track = timeline(step.parts, sampler, schedule, step.steps, step.request.sampler_options)
        self.final = step.latents * track.scale


def ours(
    host: Host, parts: Any, units: list[dict[str, Any]], count: int = 1, *more: Adapter
) -> torch.Tensor:
    """Latents."""
    request, last = GenerationRequest(**FIELDS), Last()
    options = ControlNetOptions.model_validate({"units": units})
    adapter = ControlNetWorker(host).prepare_generation(request, options, parts)
    adapters = [each for each in (adapter, *more, last) if each is not None]
    generate(parts, request, adapters, count=count, inputs=Inputs())
    return last.final


def theirs(
    parts: Any,
    encoder: Any,
    files: list[dict[str, torch.Tensor]],
    images: list[Image.Image],
    scales: list[float],
    count: int,
) -> torch.Tensor:
    """Latents of diffusers' pipeline, which loads the same tensors by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import (
            EulerDiscreteScheduler,
            StableDiffusionPipeline,
            StableDiffusionXLPipeline,
        )

        xl = parts.family == "sdxl"
        pipe = (StableDiffusionXLPipeline if xl else StableDiffusionPipeline)(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=copy.deepcopy(parts.unet),
            scheduler=EulerDiscreteScheduler.from_config(parts.scheduler_config),
            image_encoder=encoder,
            **(
                {
                    "text_encoder_2": parts.text_encoder_2,
                    "tokenizer_2": parts.tokenizer_2,
                    "force_zeros_for_empty_prompt": False,
                    "add_watermarker": False,
                }
                if xl
                else {"safety_checker": None, "feature_extractor": None}
            ),
        )
        pipe.set_progress_bar_config(disable=True)
        pipe.load_ip_adapter(
            [made_ip.nested(each) for each in files],
            subfolder=[""] * len(files),
            weight_name=[""] * len(files),
            image_encoder_folder=None,
            low_cpu_mem_usage=False,
        )
        pipe.set_ip_adapter_scale(scales)
        return pipe(
            [FIELDS["prompt"]] * count,
            negative_prompt=[FIELDS["negative_prompt"]] * count,
            width=32,
            height=32,
            num_inference_steps=FIELDS["steps"],
            guidance_scale=FIELDS["cfg_scale"],
            generator=[torch.Generator().manual_seed(7 + n) for n in range(count)],
            ip_adapter_image=images,
            output_type="latent",
        ).images


def scene(seed: int) -> Image.Image:
    """Wider than high, so that it is cut."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((80, 50), Image.Resampling.BICUBIC)


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("kind", made_ip.KINDS)
def test_latents_equal_those_of_the_pipeline(
    kind: str, family: str, host: Host, encoder: Any, tiny: Callable[[str], Any]
) -> None:
    parts, image = tiny(family), scene(1)
    tensors = made_ip.adapter(parts.unet, kind)
    made_ip.write(host.models, "one", tensors)
    plain, before = ours(host, parts, [], 2), seal(parts)
    unit = {**UNIT, "image": host.keep_picture(image), "weight": 0.8}
    found = ours(host, parts, [unit], 2)
    expected = theirs(parts, encoder, [tensors], [image], [0.8], 2)
    scale = max(1.0, float(expected.abs().max()))
    assert gap(found, expected) / scale <= 1e-4
    assert gap(found, plain) / scale > 1e-2, "it acts"
    assert torch.equal(ours(host, parts, [], 2), plain)
    assert seal(parts) == before


def test_two_add_up_as_in_the_pipeline(
    host: Host, encoder: Any, tiny: Callable[[str], Any]
) -> None:
    parts, images = tiny("sd1"), [scene(1), scene(2)]
    files = [made_ip.adapter(parts.unet, "base"), made_ip.adapter(parts.unet, "plus", 6)]
    for name, tensors in zip(("one", "two"), files, strict=True):
        made_ip.write(host.models, name, tensors)
    units = [
        {**UNIT, "model": name, "image": host.keep_picture(image), "weight": weight}
        for name, image, weight in zip(("one", "two"), images, (0.5, 1.25), strict=True)
    ]
    found = ours(host, parts, units)
    expected = theirs(parts, encoder, files, images, [0.5, 1.25], 1)
    assert gap(found, expected) / max(1.0, float(expected.abs().max())) <= 1e-4


@pytest.mark.usefixtures("one")
def test_weight_0_and_outside_the_range_are_none(
    host: Host, picture: str, tiny: Callable[[str], Any]
) -> None:
    parts = tiny("sd1")
    plain = ours(host, parts, [])
    unit = {**UNIT, "image": picture}
    whole = ours(host, parts, [unit])
    for none in ({"weight": 0}, {"guidance_start": 0.9, "guidance_end": 0.95}):
        assert torch.equal(ours(host, parts, [{**unit, **none}]), plain)
    both = ours(host, parts, [unit, {**unit, "guidance_start": 0.9, "guidance_end": 0.95}])
    assert torch.equal(both, whole)
    half = ours(host, parts, [{**unit, "guidance_end": 0.5}])
    assert gap(half, plain) > 1e-3 and gap(half, whole) > 1e-3


@pytest.mark.usefixtures("one")
def test_an_error_on_the_way_leaves_the_model_as_it_was(
    host: Host, picture: str, tiny: Callable[[str], Any]
) -> None:
    class Fails(Adapter):
        def after_guidance(self, step: Step) -> None:
            raise RuntimeError("on purpose")

    parts = tiny("sd1")
    plain, before = ours(host, parts, []), seal(parts)
    with pytest.raises(RuntimeError, match="on purpose"):
        ours(host, parts, [{**UNIT, "image": picture}], 1, Fails())
    assert seal(parts) == before
    assert torch.equal(ours(host, parts, []), plain)


@pytest.mark.usefixtures("one")
def test_a_mask_says_where(host: Host, tiny: Callable[[str], Any]) -> None:
    parts = tiny("sd1")
    unit = {**UNIT, "image": host.keep_picture(scene(1))}
    black, white = (host.keep_picture(Image.new("RGB", (32, 32), c)) for c in ("black", "white"))
    whole, plain = ours(host, parts, [unit]), ours(host, parts, [])
    assert torch.equal(ours(host, parts, [{**unit, "mask_image": black}]), plain)
    assert torch.equal(ours(host, parts, [{**unit, "mask_image": white}]), whole)
    left = Image.new("RGB", (32, 32), "black")
    left.paste("white", (0, 0, 16, 32))
    masked = ours(host, parts, [{**unit, "mask_image": host.keep_picture(left)}])
    assert gap(masked, plain) > 1e-3 and gap(masked, whole) > 1e-3


def test_the_preview_shows_what_the_encoder_sees(host: Host) -> None:
    wide = Image.new("RGB", (120, 40), "black")
    wide.paste("white", (40, 0, 80, 40))
    unit = {"module": "ip-adapter_clip_h", "image": host.keep_picture(wide)}
    made = previewed(host, {"unit": unit, "width": 64, "height": 96}, lambda name: None)
    assert made.size == (224, 224)
    assert np.asarray(made)[:, 8:-8].min() > 200  # edges are blended


@pytest.mark.usefixtures("one")
def test_it_goes_with_a_controlnet_and_with_pag(
    host: Host, picture: str, tensors: dict[str, Any], tiny: Callable[[str], Any]
) -> None:
    parts = tiny("sd1")
    made.write(host.models / "controlnet" / "net.safetensors", tensors)
    unit, net = {**UNIT, "image": picture}, {"image": picture, "model": "net"}
    alone = [ours(host, parts, [unit]), ours(host, parts, [net])]
    both = ours(host, parts, [unit, net])
    assert all(gap(both, each) > 1e-3 for each in alone)
    pag = PagOptions.model_validate({"enabled": True, "scale": 2.0, "layers": "mid"})
    with_pag = ours(host, parts, [unit], 2, Pag(pag))
    assert gap(with_pag, ours(host, parts, [], 2, Pag(pag))) > 1e-3
    assert gap(with_pag, ours(host, parts, [unit], 2)) > 1e-3


@pytest.mark.usefixtures("one")
def test_names_of_other_programs_are_understood(
    host: Host, picture: str, tiny: Callable[[str], Any]
) -> None:
    parts = tiny("sd1")
    found = [
        ours(host, parts, [{**UNIT, "image": picture, "module": name}])
        for name in ("ip-adapter_clip_sd15", "ip-adapter_clip_h", "none")
    ]
    whole = ours(host, parts, [{**UNIT, "image": picture}])
    assert all(torch.equal(each, whole) for each in found)


def told(draw: Callable[..., Any], unit: dict[str, Any]) -> str:
    with pytest.raises(UserError) as raised:
        draw([unit])
    english = raised.value.message("en")
    assert raised.value.message("zh") != english
    return english


def test_a_missing_or_unfitting_encoder_is_told(
    host: Host, picture: str, tiny: Callable[[str], Any], draw: Callable[..., Any]
) -> None:
    unit = {**UNIT, "image": picture}
    made_ip.write(host.models, "one", made_ip.adapter(tiny("sd1").unet))
    said = told(draw, unit)
    assert "image_embeds, 48" in said and "models/clip_vision" in said and "none" in said
    folder = host.models / "image_encoder" / "wide"
    made_ip.encoder(folder, projected=40)
    assert "image_encoder/wide/model (64 / 40)" in told(draw, unit)
    made.write(host.models / "clip_vision" / "no.safetensors", {"a": torch.zeros(2)})
    assert "no.safetensors is no CLIP image encoder" in told(draw, unit)
    made_ip.encoder(folder)
    config = folder / "config.json"
    whole = config.read_text(encoding="utf-8")
    for bad in ("[", "[1]", json.dumps({**json.loads(whole), "num_attention_heads": 5})):
        config.write_text(bad, encoding="utf-8")
        assert "without a right config.json" in told(draw, unit)
    config.write_text(json.dumps({"vision_config": json.loads(whole)}), encoding="utf-8")
    assert draw([unit]).tobytes() != draw([]).tobytes()


@pytest.mark.usefixtures("one")
def test_preprocessors_that_do_not_go_with_it_are_refused(
    host: Host, picture: str, tensors: dict[str, Any], draw: Callable[..., Any]
) -> None:
    assert "preprocessor is canny" in told(draw, {**UNIT, "image": picture, "module": "canny"})
    made.write(host.models / "controlnet" / "net.safetensors", tensors)
    assert "net is none" in told(draw, {**UNIT, "image": picture, "model": "net"})
    assert "no picture" in told(draw, UNIT)


def _faceid(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**tensors, "ip_adapter.0.to_k_lora.down.weight": torch.zeros(4, 64)}


def _portrait(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    kept = {name: each for name, each in tensors.items() if name.startswith("ip_adapter.")}
    shapes = {"proj.0.weight": (64, 32), "proj.2.weight": (128, 64), "norm.weight": (32,)}
    return kept | {f"image_proj.{name}": torch.zeros(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_faceid, "faceid"),
        (_portrait, "faceid"),
        (lambda tensors: {**tensors, "image_proj.more": torch.zeros(2)}, "image_proj|more"),
        (lambda tensors: {n: t for n, t in tensors.items() if "norm" not in n}, "norm"),
        (lambda tensors: {n: t for n, t in tensors.items() if "to_v" not in n}, "to_v_ip"),
        (
            lambda tensors: {n: t for n, t in tensors.items() if "ip_adapter.1." not in n},
            "another shape",
        ),
    ],
)
def test_other_kinds_and_damaged_files_are_refused_by_name(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    said: str,
    host: Host,
    tiny: Callable[[str], Any],
) -> None:
    made_ip.write(host.models, "one", change(made_ip.adapter(tiny("sd1").unet)))
    with pytest.raises(ModelFileError, match=said) as raised:
        Nets(host).get("one", tiny("sd1"))
    assert "one.safetensors" in str(raised.value)


def test_one_for_another_family_is_refused(host: Host, tiny: Callable[[str], Any]) -> None:
    made_ip.write(host.models, "one", made_ip.adapter(tiny("sdxl").unet))
    with pytest.raises(ModelFileError, match=r"one\.safetensors"):
        Nets(host).get("one", tiny("sd1"))


def test_a_picture_is_encoded_once(
    host: Host, encoder: Any, tiny: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from extensions.controlnet import ip_adapter_encoder

    parts = tiny("sd1")
    made_ip.write(host.models, "one", made_ip.adapter(parts.unet, "plus"))
    read: list[object] = []
    real = ip_adapter_encoder.load_clip_vision
    monkeypatch.setattr(
        ip_adapter_encoder, "load_clip_vision", lambda *given: read.append(given) or real(*given)
    )
    worker, request = ControlNetWorker(host), GenerationRequest(**FIELDS)
    for image in (square(40), square(40), scene(3)):
        unit = {**UNIT, "image": host.keep_picture(image)}
        worker.prepare_generation(
            request, ControlNetOptions.model_validate({"units": [unit]}), parts
        )
    assert len(read) == 2
