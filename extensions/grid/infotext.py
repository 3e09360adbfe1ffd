"""Grids of other programs, as their sheets' texts tell of them.

Our own options stand there under their names (`grid x: cfg_scale`), and need no reading. Programs of the A1111 family
write `X Type: CFG Scale, X Values: "4, 8"`, and `Fixed X Values` where they have drawn random seeds for them.
"""

from collections.abc import Mapping

from .options import AXES

SCRIPT = "X/Y/Z plot"
_NAMES: Mapping[str, str] = {
    "nothing": "",
    "seed": "seed",
    "var. seed": "variation.seed",
    "var. strength": "variation.strength",
    "steps": "steps",
    "hires steps": "hires.steps",
    "cfg scale": "cfg_scale",
    "image cfg scale": "img2img.image_cfg_scale",
    "prompt s/r": "prompt_sr",
    "prompt order": "prompt_order",
    "sampler": "sampler",
    "hires sampler": "hires.sampler",
    "checkpoint name": "model",
    "sigma churn": "sampler_options.s_churn",
    "sigma min": "sampler_options.s_tmin",
    "sigma max": "sampler_options.s_tmax",
    "sigma noise": "sampler_options.s_noise",
    "schedule type": "schedule",
    "schedule min sigma": "sampler_options.sigma_min",
    "schedule max sigma": "sampler_options.sigma_max",
    "schedule rho": "sampler_options.rho",
    "beta schedule alpha": "sampler_options.beta_alpha",
    "beta schedule beta": "sampler_options.beta_beta",
    "eta": "sampler_options.eta",
    "clip skip": "clip_skip",
    "initial noise multiplier": "img2img.noise_multiplier",
    "extra noise": "img2img.extra_noise",
    "hires upscaler": "hires.upscaler",
    "vae": "vae",
    "always discard next-to-last sigma": "sampler_options.discard_next_to_last_sigma",
    "refiner checkpoint": "refiner.model",
    "refiner switch at": "refiner.switch_at",
    "rng source": "rng",
    "size": "size",
}
"""The family's axes that mean one field of ours. "Denoising" is not among them: it is that of hires fix or that of img2img."""


def read(parameters: Mapping[str, str]) -> tuple[dict[str, str], list[str]] | None:
    """The axes and their values, and the keys that say so; None without a grid, or with an axis that is not known."""
    options: dict[str, str] = {"mode": "axes"}
    keys = [key for key in ("Script",) if parameters.get(key, "").casefold() == SCRIPT.casefold()]
    found = False
    for axis in AXES:
        kind, values, fixed = (
            f"{axis.upper()} Type",
            f"{axis.upper()} Values",
            f"Fixed {axis.upper()} Values",
        )
        if kind not in parameters:
            continue
        name = _NAMES.get(parameters[kind].strip().casefold())
        text = parameters.get(fixed) or parameters.get(values, "")
        if name is None or (name and not text.strip()):
            return None
        options |= {axis: name, f"{axis}_values": text if name else ""}
        keys += [key for key in (kind, values, fixed) if key in parameters]
        found = found or bool(name)
    return (options, keys) if found else None
