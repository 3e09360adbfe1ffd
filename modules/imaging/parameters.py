"""The parameters of an infotext's last line: which field of a request stands under which key, both ways.

Keys, order and spellings of values are those of the A1111 family, so that its programs understand our pictures and we
understand theirs; what only exists here has keys of the same kind.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from modules.schema import (
    GenerationRequest,
    Guidance,
    Hires,
    Img2Img,
    Inpaint,
    Outpaint,
    Refiner,
    SamplerOptions,
    SeedResize,
    SoftInpainting,
    Variation,
)

if TYPE_CHECKING:
    from modules.imaging.infotext import PictureFacts

_OURS = "Noisette"
_EMPHASIS = {"original": "Original", "no_norm": "No norm", "ignore": "Ignore", "none": "None"}
_MASK_MODES = {"masked": "Inpaint masked", "not_masked": "Inpaint not masked"}
_AREAS = {"whole_picture": "Whole picture", "only_masked": "Only masked"}
_CONTENTS = {
    "fill": "fill",
    "original": "original",
    "latent_noise": "latent noise",
    "latent_nothing": "latent nothing",
}
_RESIZES = {
    "just_resize": "Just resize",
    "crop_and_resize": "Crop and resize",
    "resize_and_fill": "Resize and fill",
    "latent_upscale": "Just resize (latent upscale)",
}
_TILINGS = {"both": "True", "x": "x", "y": "y"}
_HIRES_KEYS = ("Hires upscale", "Hires resize", "Hires upscaler", "Hires steps")

Path = tuple[str, ...]


# ----------------------------------------------------------------------------------------------------- out


def written(request: GenerationRequest, index: int, facts: "PictureFacts") -> dict[str, object]:
    """Key and value of everything that picture `index` of a resolved request was made with, in the usual order."""
    group = request.img2img
    pairs: list[tuple[str, object]] = [
        ("Steps", request.steps),
        ("Sampler", facts.sampler or request.sampler),
        ("Schedule type", facts.schedule or None),
        ("CFG scale", request.cfg_scale),
        ("Image CFG scale", _unless(group and group.image_cfg_scale, 1.5)),
        ("Seed", request.seed_of(index) if request.seed >= 0 else None),
        ("Size", _size(request.width, request.height)),
        ("Model hash", facts.model_hash or None),
        ("Model", facts.model or request.model),
        ("VAE hash", facts.vae_hash or None),
        ("VAE", request.vae),
        *_seeds(request, index),
        ("Denoising strength", _strength(request)),
        ("Clip skip", _unless(request.clip_skip, 1)),
        ("ENSD", _unless(request.sampler_options.eta_noise_seed_delta, 0)),
        ("Init image hash", group and group.image),
        ("RNG", request.rng.upper()),
        ("Tiling", _TILINGS.get(request.tiling)),
        *_hires(request.hires, facts),
        *_refiner(request.refiner),
        *_img2img(group),
        *_sampler_options(request.sampler_options),
        *_guidance(request.guidance),
        ("Emphasis", None if request.emphasis == "original" else _EMPHASIS[request.emphasis]),
    ]
    return {key: _plain(value) for key, value in pairs if value is not None}


def _seeds(request: GenerationRequest, index: int) -> Iterator[tuple[str, object]]:
    if request.varies and request.variation is not None:
        yield "Variation seed", request.variation_seed_of(index)
        yield "Variation seed strength", request.variation.strength
    if request.seed_resize is not None:
        yield "Seed resize from", _size(request.seed_resize.width, request.seed_resize.height)


def _strength(request: GenerationRequest) -> float | None:
    if request.img2img is not None:
        return request.img2img.denoising_strength
    return request.hires.denoising_strength if request.hires is not None else None


def _hires(hires: Hires | None, facts: "PictureFacts") -> Iterator[tuple[str, object]]:
    if hires is None:
        return
    if hires.width or hires.height:
        yield "Hires resize", f"{hires.width}x{hires.height}"
    else:
        yield "Hires upscale", hires.scale
    yield "Hires steps", _unless(hires.steps, 0)
    yield "Hires upscaler", hires.upscaler
    yield "Hires sampler", hires.sampler and (facts.hires_sampler or hires.sampler)
    yield "Hires schedule type", hires.schedule and (facts.hires_schedule or hires.schedule)
    yield "Hires prompt", hires.prompt
    yield "Hires negative prompt", hires.negative_prompt
    yield "Hires CFG Scale", hires.cfg_scale


def _refiner(refiner: Refiner | None) -> Iterator[tuple[str, object]]:
    if refiner is not None:
        yield "Refiner", refiner.model
        yield "Refiner switch at", refiner.switch_at


def _img2img(group: Img2Img | None) -> Iterator[tuple[str, object]]:
    if group is None:
        return
    yield "Resize mode", _unless(_RESIZES[group.resize_mode], _RESIZES["just_resize"])
    yield "Full steps", group.full_steps or None
    yield from _inpaint(group.inpaint)
    if group.outpaint is not None:
        for side in ("left", "right", "up", "down", "blur"):
            yield f"Outpaint {side}", getattr(group.outpaint, side)
    yield "Noise multiplier", _unless(group.noise_multiplier, 1.0)
    yield "Extra noise", _unless(group.extra_noise, 0.0)
    yield "Color correction", group.color_correction or None


def _inpaint(inpaint: Inpaint | None) -> Iterator[tuple[str, object]]:
    if inpaint is None:
        return
    yield "Mask hash", inpaint.mask
    yield "Mask mode", _unless(_MASK_MODES[inpaint.mode], _MASK_MODES["masked"])
    yield "Mask blur", inpaint.blur
    yield "Inpaint area", _unless(_AREAS[inpaint.area], _AREAS["whole_picture"])
    if inpaint.area == "only_masked":
        yield "Masked area padding", inpaint.padding
    yield "Masked content", _unless(_CONTENTS[inpaint.content], _CONTENTS["original"])
    if inpaint.soft is not None:
        yield "Soft inpainting enabled", True
        for name in type(inpaint.soft).model_fields:
            yield f"Soft inpainting {name.replace('_', ' ')}", getattr(inpaint.soft, name)


def _sampler_options(options: SamplerOptions) -> Iterator[tuple[str, object]]:
    usual = SamplerOptions()
    for key, name in _SAMPLER_OPTIONS.items():
        value = getattr(options, name)
        if value != getattr(usual, name):
            yield key, value


def _guidance(guidance: Guidance) -> Iterator[tuple[str, object]]:
    yield "Guidance rescale", _unless(guidance.rescale, 0.0)
    yield "Guidance start", _unless(guidance.start, 0.0)
    yield "Guidance end", _unless(guidance.end, 1.0)


def _unless(value: Any, usual: object) -> Any:
    return None if value == usual else value


def _size(width: int | None, height: int | None) -> str | None:
    return f"{width}x{height}" if width and height else None


def _plain(value: object) -> object:
    return repr(value).removesuffix(".0") if isinstance(value, float) else value


# ----------------------------------------------------------------------------------------------------- in


@dataclass
class Understood:
    """What a line's parameters mean."""

    fields: dict[str, Any] = field(default_factory=dict)
    """Of a request, by name; groups are mappings in it. Every value is valid, a group may be incomplete."""
    unused: list[tuple[str, str]] = field(default_factory=list)
    used: list[tuple[str, str, Path]] = field(default_factory=list)
    """Key, value, and one of the fields that it went to."""

    def incomplete(self) -> set[str]:
        """Groups that cannot be used as they are, since the text does not say what they need."""
        return {
            name
            for name in ("img2img", "refiner")
            if name in self.fields and not _whole(self.fields, name)
        }


def understood(parameters: Mapping[str, str]) -> Understood:
    """The fields that the parameters of one text describe. Time is linear in their number."""
    found = Understood()
    hires = any(key in parameters for key in _HIRES_KEYS)
    for key, value in parameters.items():
        if key in _SAYS_NOTHING:
            continue
        places = list(_places(key, value, hires))
        good = bool(places) and all(_valid(path, given) for path, given in places)
        if not good:
            found.unused.append((key, value))
            continue
        for path, given in places:
            _put(found.fields, path, given)
        found.used.append((key, value, places[0][0]))
    _settle(found.fields, parameters)
    return found


def _settle(fields: dict[str, Any], parameters: Mapping[str, str]) -> None:
    """What follows from several parameters together."""
    first = parameters.get("First pass size")
    if first and "hires" in fields and "width" in fields:
        # Older texts: `Size` was that of the result.
        pair = dict(_pair(("width",), ("height",), first))
        if pair and all(_valid(path, value) for path, value in pair.items()):
            fields["hires"] |= {"width": fields["width"], "height": fields["height"]}
            for path, value in pair.items():
                fields[path[0]] = value
    foreign = not parameters.get("Version", _OURS).startswith(_OURS)
    if foreign and "Seed" in parameters and "RNG" not in parameters:
        fields["rng"] = "nv"  # the A1111 family draws on the graphics card unless it says otherwise
    variation = fields.get("variation")
    if variation is not None and not variation.get("strength"):
        del fields["variation"]


def _whole(fields: Mapping[str, Any], name: str) -> bool:
    try:
        _GROUPS[(name,)].model_validate(fields[name])
    except ValidationError:
        return False
    return True


# The classes of groups, and what they need beside the one field that is looked at.
_GROUPS: Mapping[Path, type[BaseModel]] = {
    (): GenerationRequest,
    ("hires",): Hires,
    ("refiner",): Refiner,
    ("variation",): Variation,
    ("seed_resize",): SeedResize,
    ("guidance",): Guidance,
    ("sampler_options",): SamplerOptions,
    ("img2img",): Img2Img,
    ("img2img", "inpaint"): Inpaint,
    ("img2img", "inpaint", "soft"): SoftInpainting,
    ("img2img", "outpaint"): Outpaint,
}
_NEEDED: Mapping[Path, Mapping[str, object]] = {
    ("refiner",): {"model": "x"},
    ("seed_resize",): {"width": 8, "height": 8},
    ("img2img",): {"image": "0" * 64},
    ("img2img", "inpaint"): {"mask": "0" * 64},
}


def _valid(path: Path, value: object) -> bool:
    group = path[:-1]
    try:
        _GROUPS[group].model_validate({**_NEEDED.get(group, {}), path[-1]: value})
    except ValidationError:
        return False
    return True


def _put(fields: dict[str, Any], path: Path, value: object) -> None:
    for name in path[:-1]:
        fields = fields.setdefault(name, {})
    fields[path[-1]] = value


def _places(key: str, value: str, hires: bool) -> Iterable[tuple[Path, object]]:
    """The fields that one parameter sets; none where the key or the spelling of the value is not known."""
    if key in _PLAIN:
        yield _PLAIN[key], value
    elif key in _CHOICES:
        path, spellings = _CHOICES[key]
        wanted = value.casefold()
        for name, spelling in spellings.items():
            if spelling.casefold() == wanted:
                yield path, name
    elif key in _SAMPLER_OPTIONS or key == "Eta DDIM":
        yield ("sampler_options", _SAMPLER_OPTIONS.get(key, "eta")), value
    elif key == "Denoising strength":
        yield (("hires" if hires else "img2img"), "denoising_strength"), value
    elif key in _PAIRS:
        yield from _pair(*_PAIRS[key], value)
    elif key in _READERS:
        yield from _READERS[key](value)


def _pair(wide: Path, high: Path, value: str) -> Iterator[tuple[Path, object]]:
    width, cross, height = value.partition("x")
    if cross:
        yield wide, width
        yield high, height


def _tiling(value: str) -> Iterator[tuple[Path, object]]:
    for name, spelling in {**_TILINGS, "off": "False"}.items():
        if value.casefold() == spelling.casefold():
            yield ("tiling",), name


def _rng(value: str) -> Iterator[tuple[Path, object]]:
    known = {"cpu": "cpu", "nv": "nv", "gpu": "nv"}.get(value.casefold())
    if known:
        yield ("rng",), known


def _no_soft(value: str) -> Iterator[tuple[Path, object]]:
    if value == "True":  # the settings that follow fill it
        yield ("img2img", "inpaint", "soft", "mask_influence"), 0.0


_READERS: Mapping[str, Callable[[str], Iterator[tuple[Path, object]]]] = {
    "Tiling": _tiling,
    "RNG": _rng,
    "Soft inpainting enabled": _no_soft,
}
_PLAIN: Mapping[str, Path] = {
    "Steps": ("steps",),
    "Sampler": ("sampler",),
    "Schedule type": ("schedule",),
    "CFG scale": ("cfg_scale",),
    "Image CFG scale": ("img2img", "image_cfg_scale"),
    "Seed": ("seed",),
    "Model": ("model",),
    "VAE": ("vae",),
    "Variation seed": ("variation", "seed"),
    "Variation seed strength": ("variation", "strength"),
    "Clip skip": ("clip_skip",),
    "ENSD": ("sampler_options", "eta_noise_seed_delta"),
    "Init image hash": ("img2img", "image"),
    "Hires upscale": ("hires", "scale"),
    "Hires steps": ("hires", "steps"),
    "Hires upscaler": ("hires", "upscaler"),
    "Hires sampler": ("hires", "sampler"),
    "Hires schedule type": ("hires", "schedule"),
    "Hires prompt": ("hires", "prompt"),
    "Hires negative prompt": ("hires", "negative_prompt"),
    "Hires CFG Scale": ("hires", "cfg_scale"),
    "Refiner": ("refiner", "model"),
    "Refiner switch at": ("refiner", "switch_at"),
    "Full steps": ("img2img", "full_steps"),
    "Mask hash": ("img2img", "inpaint", "mask"),
    "Mask blur": ("img2img", "inpaint", "blur"),
    "Masked area padding": ("img2img", "inpaint", "padding"),
    "Noise multiplier": ("img2img", "noise_multiplier"),
    "Extra noise": ("img2img", "extra_noise"),
    "Color correction": ("img2img", "color_correction"),
    "Guidance rescale": ("guidance", "rescale"),
    "Guidance start": ("guidance", "start"),
    "Guidance end": ("guidance", "end"),
    **{
        f"Outpaint {side}": ("img2img", "outpaint", side)
        for side in ("left", "right", "up", "down", "blur")
    },
    **{
        f"Soft inpainting {name.replace('_', ' ')}": ("img2img", "inpaint", "soft", name)
        for name in SoftInpainting.model_fields
    },
}
_CHOICES: Mapping[str, tuple[Path, Mapping[str, str]]] = {
    "Emphasis": (("emphasis",), _EMPHASIS),
    "Mask mode": (("img2img", "inpaint", "mode"), _MASK_MODES),
    "Inpaint area": (("img2img", "inpaint", "area"), _AREAS),
    "Masked content": (("img2img", "inpaint", "content"), _CONTENTS),
    "Resize mode": (("img2img", "resize_mode"), _RESIZES),
}
_PAIRS: Mapping[str, tuple[Path, Path]] = {
    "Size": (("width",), ("height",)),
    "Seed resize from": (("seed_resize", "width"), ("seed_resize", "height")),
    "Hires resize": (("hires", "width"), ("hires", "height")),
}
_SAMPLER_OPTIONS: Mapping[str, str] = {
    "Eta": "eta",
    "Schedule min sigma": "sigma_min",
    "Schedule max sigma": "sigma_max",
    "Schedule rho": "rho",
    "Beta schedule alpha": "beta_alpha",
    "Beta schedule beta": "beta_beta",
    "Sigma churn": "s_churn",
    "Sigma tmin": "s_tmin",
    "Sigma tmax": "s_tmax",
    "Sigma noise": "s_noise",
    "Discard penultimate sigma": "discard_next_to_last_sigma",
}
# Facts of the picture and of the program, not wishes.
_SAYS_NOTHING = ("Version", "Model hash", "VAE hash", "TI hashes", "First pass size")
