"""What each model family can do of what a request may ask for. Importable without torch: pages grey out by it.

A request that asks for more is refused before a model is touched, with what it is that the family cannot do.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modules.diffusion.prompts import comments, networks
from modules.diffusion.prompts.schedule import Pass, schedule
from modules.diffusion.samplers import pick
from modules.errors import UserError
from modules.schema import GenerationRequest, Guidance, SamplerOptions

Guided = Literal["cfg", "distilled", "none"]

_WEIGHT = re.compile(r"\([^()]{0,200}:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*\)")


@dataclass(frozen=True)
class Capabilities:
    """What a family can do. All that is not said is there."""

    guidance: Guided = "cfg"
    """What `cfg_scale` means: classifier-free guidance; a number that the denoiser was trained to be told, with one
    call per step. Some models of a "distilled" family were trained for one value and leave it aside."""
    negative_prompt: bool = True
    weights: bool = True
    """`(word:1.2)`, `[word]`, BREAK. Where not, brackets are text; an explicit weight is refused."""
    scheduling: bool = True
    """`[a:b:0.5]` and `[a|b]`."""
    composition: bool = True
    """`a AND b`. Where not, AND is a word like others."""
    embeddings: bool = True
    """Textual inversions by name. Where not, names are text."""
    clip_skip: bool = True
    samplers: bool = True
    """Any sampler and schedule, with all their settings; else Euler and the model's own schedule."""
    guidance_options: bool = True
    """Guidance rescale and a guidance interval."""
    img2img: bool = True
    inpaint: bool = True
    hires: bool = True
    refiner: bool = True
    variation: bool = True
    seed_resize: bool = True
    tiling: bool = True
    vae: bool = True
    """Another autoencoder than the model's own."""
    adapters: bool = True
    """Extensions act inside a generation."""
    latents: str = ""
    """What the latents mean: models of one kind can take over from each other. Empty: nobody takes over."""
    previews: bool = True


def _piped(guidance: Guided, *, negative_prompt: bool) -> Capabilities:
    return Capabilities(
        guidance=guidance,
        negative_prompt=negative_prompt,
        weights=False,
        scheduling=False,
        composition=False,
        embeddings=False,
        clip_skip=False,
        samplers=False,
        guidance_options=False,
        img2img=False,
        inpaint=False,
        hires=False,
        refiner=False,
        tiling=False,
        vae=False,
        adapters=False,
    )


CAPABILITIES: Mapping[str, Capabilities] = {
    # Stable Diffusion 2 was trained on the autoencoder of 1; that of SDXL has as many channels and means other things.
    "sd1": Capabilities(latents="sd"),
    "sd2": Capabilities(latents="sd"),
    "sdxl": Capabilities(latents="sdxl"),
    "sdxl_refiner": Capabilities(latents="sdxl"),
    # Its denoiser tells places apart by themselves, not by their neighbours: no picture of it has seamless edges.
    "sd3": Capabilities(tiling=False, latents="sd3"),
    "flux1": _piped("distilled", negative_prompt=False),
    "flux2": _piped("distilled", negative_prompt=False),
    "z_image": _piped("cfg", negative_prompt=True),
    "qwen_image": _piped("cfg", negative_prompt=True),
}


def check(
    request: GenerationRequest, family: str, model: str, adapters: Sequence[str] = ()
) -> None:
    """Refuse what the family cannot do.

    Args:
        model: its name, for the text.
        adapters: names of those that extensions bring.

    Raises:
        UserError: says what it is.
    """
    able = CAPABILITIES.get(family, Capabilities())
    names = {"model": model, "family": family}
    for what in _beyond(request, able):
        raise UserError("error.capability", **names, what=UserError(f"capability.{what}"))
    check_adapters(adapters, family, model)
    if not able.samplers:
        _check_sampler(request, names)
    for prompt in (request.prompt, request.negative_prompt):
        _check_prompt(prompt, request, able, names)


def check_adapters(adapters: Sequence[str], family: str, model: str) -> None:
    """Refuse what extensions would change in a model of a family that nobody can change.

    Args:
        adapters: names of those that extensions bring.
        model: its name, for the text.

    Raises:
        UserError: there are some.
    """
    if adapters and not CAPABILITIES.get(family, Capabilities()).adapters:
        listed = UserError("capability.adapters", names=", ".join(adapters))
        raise UserError("error.capability", model=model, family=family, what=listed)


def check_refiner(family: str, refiner: str, name: str) -> None:
    """Refuse a refiner that could not read the model's latents.

    Args:
        family, refiner: the two families.
        name: the refiner's, for the text.

    Raises:
        UserError: it cannot take over, or not from this family.
    """
    own, other = (CAPABILITIES.get(each, Capabilities()) for each in (family, refiner))
    if not other.refiner:
        raise UserError("error.refiner.family", name=name)
    if own.refiner and own.latents != other.latents:
        raise UserError("error.refiner.latents", name=name, found=refiner, expected=family)


def plain(prompt: str) -> str:
    """A prompt for a model that reads plain language: without comments and extra-network tags."""
    return networks.extract(comments.strip(prompt))[0]


def _beyond(request: GenerationRequest, able: Capabilities) -> Iterator[str]:
    group = request.img2img
    asked = {
        "negative_prompt": bool(request.negative_prompt.strip()),
        "clip_skip": request.clip_skip > 1,
        "inpaint": group is not None and (group.inpaint is not None or group.outpaint is not None),
        "img2img": group is not None,
        "hires": request.hires is not None,
        "refiner": request.refiner is not None,
        "tiling": request.tiling != "off",
        "vae": request.vae is not None,
        "variation": request.varies,
        "seed_resize": request.seed_resize is not None,
    }
    yield from (name for name, wanted in asked.items() if wanted and not getattr(able, name))
    if not able.guidance_options and request.guidance != Guidance():
        yield "guidance"
    # The noise of a seed is ours in every family.
    settings = request.sampler_options.model_copy(update={"eta_noise_seed_delta": 0})
    if not able.samplers and settings != SamplerOptions():
        yield "sampler_options"


def _check_sampler(request: GenerationRequest, names: Mapping[str, str]) -> None:
    row, chosen = pick(request.sampler or "euler", request.schedule)
    if row.name != "euler" or chosen.name not in ("default", "automatic"):
        found = row.label if chosen.name == "default" else f"{row.label}, {chosen.label}"
        raise UserError("error.capability.sampler", **names, found=found)


def _check_prompt(
    prompt: str, request: GenerationRequest, able: Capabilities, names: Mapping[str, str]
) -> None:
    text = plain(prompt)
    found = _WEIGHT.search(text) if not able.weights else None
    if found is not None:
        raise UserError("error.capability.weights", **names, found=found.group()[:80])
    if not able.scheduling:
        said = schedule(text, Pass(max(2, request.steps or 2)))
        if len(said) > 1:
            raise UserError("error.capability.steps", **names, found=text[:80])
