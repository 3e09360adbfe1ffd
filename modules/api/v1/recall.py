"""`infotext`: a picture's text fills the fields that a client left open."""

from typing import Any, TypeVar

from modules.api.v1.options import MODEL, VAE
from modules.api.v1.shapes import Generate, Img2Img, Txt2Img
from modules.imaging import infotext

Body = TypeVar("Body", bound=Generate)

_PLAIN = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "cfg_scale",
    "width": "width",
    "height": "height",
    "sampler": "sampler_name",
    "schedule": "scheduler",
}
_HIRES = {
    "upscaler": "hr_upscaler",
    "scale": "hr_scale",
    "width": "hr_resize_x",
    "height": "hr_resize_y",
    "steps": "hr_second_pass_steps",
    "sampler": "hr_sampler_name",
    "schedule": "hr_scheduler",
    "prompt": "hr_prompt",
    "negative_prompt": "hr_negative_prompt",
    "cfg_scale": "hr_cfg",
    "denoising_strength": "denoising_strength",
}
_SETTINGS = {"model": MODEL, "vae": VAE, "clip_skip": "CLIP_stop_at_last_layers"}
_SPELLED = {
    "emphasis": {"original": "Original", "no_norm": "No norm", "ignore": "Ignore", "none": "None"},
    "rng": {"cpu": "CPU", "nv": "NV"},
}


def recalled(
    body: Body, extensions: infotext.Reader | None = None
) -> tuple[Body, dict[str, dict[str, Any]]]:
    """The body with its open fields filled from its `infotext`, and the options of extensions that stand there.

    What a client sent stays.
    """
    if not body.infotext or not body.infotext.strip():
        return body, {}
    fields, _ = infotext.to_fields(body.infotext, extensions)
    found = {ours: fields[name] for name, ours in _PLAIN.items() if name in fields}
    variation = fields.get("variation") or {}
    found |= _renamed(variation, {"seed": "subseed", "strength": "subseed_strength"})
    resize = fields.get("seed_resize") or {}
    found |= _renamed(resize, {"width": "seed_resize_from_w", "height": "seed_resize_from_h"})
    refiner = fields.get("refiner") or {}
    found |= _renamed(refiner, {"model": "refiner_checkpoint", "switch_at": "refiner_switch_at"})
    if "tiling" in fields:
        found["tiling"] = fields["tiling"] != "off"
    hires = fields.get("hires")
    if isinstance(body, Txt2Img) and hires:
        found |= {"enable_hr": True, **_renamed(hires, _HIRES)}
    if isinstance(body, Img2Img):
        group = fields.get("img2img") or {}
        found |= _renamed(group, {"denoising_strength": "denoising_strength"})
    settings = _settings(fields) | (body.override_settings or {})
    sent = {name for name in body.model_fields_set if getattr(body, name) is not None}
    new = {name: value for name, value in found.items() if name not in sent and value is not None}
    if settings:
        new["override_settings"] = settings
    known = {name: getattr(body, name) for name in body.model_fields_set}
    return type(body).model_validate({**known, **new}), fields.get("extras", {})


def _renamed(group: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {ours: group[name] for name, ours in names.items() if name in group}


def _settings(fields: dict[str, Any]) -> dict[str, Any]:
    found = _renamed(fields, _SETTINGS)
    if "emphasis" in fields:
        found["emphasis"] = _SPELLED["emphasis"][fields["emphasis"]]
    if "rng" in fields:
        found["randn_source"] = _SPELLED["rng"][fields["rng"]]
    options = fields.get("sampler_options") or {}
    if "eta_noise_seed_delta" in options:
        found["eta_noise_seed_delta"] = options["eta_noise_seed_delta"]
    return found
