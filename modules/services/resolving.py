"""A request with nothing left open: defaults filled in, names as the tables spell them, limits checked.

Nothing here loads a model: what cannot be done is said before one is touched, where jobs are submitted and once more
where they run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modules.diffusion import capabilities
from modules.diffusion.upscalers import LATENT_UPSCALERS, find_latent_upscaler
from modules.errors import LimitError, UnknownNameError, UserError
from modules.imaging.upscale import PLAIN
from modules.schema import GenerationRequest, Hires, Limits, ModelCard


class Names(Protocol):
    """`modules.services.names.SamplerNames`: what samplers and schedules are called."""

    def canonical(self, sampler: str, schedule: str | None, fallback: str) -> tuple[str, str]: ...
    def labels(self, sampler: str, schedule: str) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Lookups:
    """Where the other names of a request are looked up. What is None is not looked up here, but later."""

    find_model: Callable[[str | None], ModelCard] | None = None
    """For the refiner."""
    size_of: Callable[[str], tuple[int, int]] | None = None
    """Width and height of an input picture; a UserError where there is none of that id."""
    upscalers: Callable[[], Sequence[str]] | None = None
    """Names of the upscalers of pictures, beyond those of `modules.imaging.upscale`."""
    vae: Callable[[str, str], str] | None = None
    """The VAE of that name, as its file spells it; an UnknownNameError where there is none."""


def resolve(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    names: Names,
    lookups: Lookups | None = None,
) -> GenerationRequest:
    """The request with nothing left open but seeds. Resolving a resolved request changes nothing.

    A picture's own size is the default of img2img, brought within what the model makes.

    Raises:
        UnknownNameError: no such sampler, schedule, upscaler, refiner or VAE.
        LimitError: beyond what this installation allows or the model can make.
        UserError: a combination that does not exist, or a picture that is not here.
    """
    lookups = lookups or Lookups()
    defaults = card.defaults
    sampler, schedule = names.canonical(
        request.sampler or defaults.sampler, request.schedule, defaults.schedule
    )
    width, height = _size(request, card, lookups)
    changes: dict[str, Any] = {
        "model": card.name,
        "width": width,
        "height": height,
        "steps": request.steps or defaults.steps,
        "cfg_scale": defaults.cfg_scale if request.cfg_scale is None else request.cfg_scale,
        "sampler": sampler,
        "schedule": schedule,
    }
    if request.hires is not None:
        if request.img2img is not None:
            raise UserError("error.hires.img2img")
        changes["hires"] = _hires(request.hires, sampler, schedule, names, lookups).model_dump()
    if request.refiner is not None and lookups.find_model is not None:
        refiner = lookups.find_model(request.refiner.model)
        if refiner.name == card.name:
            raise UserError("error.refiner.self")
        capabilities.check_refiner(card.family, refiner.family, refiner.name)
        changes["refiner"] = {**request.refiner.model_dump(), "model": refiner.name}
    if request.vae is not None and lookups.vae is not None:
        changes["vae"] = lookups.vae(request.vae, card.family)
    resolved = request.replace(**changes)
    resolved.check(limits)
    _check_sides(resolved, card)
    capabilities.check(resolved, card.family, card.name)
    return resolved


def _size(request: GenerationRequest, card: ModelCard, lookups: Lookups) -> tuple[int, int]:
    defaults, allowed, group = card.defaults, card.size_limits, request.img2img
    width, height = request.width, request.height
    sizes = [] if lookups.size_of is None else [lookups.size_of(id_) for id_ in request.input_ids]
    whole = group is not None and (group.inpaint is None or group.inpaint.area == "whole_picture")
    if whole and sizes and width is None and height is None:
        width, height = sizes[0]
        scale = min(1.0, allowed.maximum / max(width, height))
        scale = max(scale, allowed.minimum / min(width, height))
        if scale != 1.0:
            width, height = (
                min(allowed.maximum, max(allowed.minimum, round(side * scale)))
                for side in (width, height)
            )
    return width or defaults.width, height or defaults.height


def _hires(hires: Hires, sampler: str, schedule: str, names: Names, lookups: Lookups) -> Hires:
    changes: dict[str, object] = {"upscaler": _upscaler(hires.upscaler, lookups)}
    if hires.sampler is not None or hires.schedule is not None:
        found = names.canonical(hires.sampler or sampler, hires.schedule or schedule, schedule)
        changes["sampler"] = found[0] if hires.sampler is not None else None
        if hires.schedule is not None or found[1] != schedule:
            changes["schedule"] = found[1]
    return Hires.model_validate({**hires.model_dump(), **changes})


def _upscaler(name: str, lookups: Lookups) -> str:
    row = find_latent_upscaler(name)
    if row is not None:
        return row.name
    if lookups.upscalers is None:
        return name
    known = [each.name for each in PLAIN]
    known += [each for each in lookups.upscalers() if each not in known]
    wanted = " ".join(name.split()).casefold()
    for each in known:
        if each.casefold() == wanted:
            return each
    names = [*(each.name for each in LATENT_UPSCALERS), *known]
    raise UnknownNameError("error.upscaler.unknown", found=name, known=", ".join(names))


def _check_sides(request: GenerationRequest, card: ModelCard) -> None:
    allowed = card.size_limits
    for name, side in (("width", request.width or 0), ("height", request.height or 0)):
        if not allowed.minimum <= side <= allowed.maximum:
            raise LimitError(
                "error.limit.model_side",
                field=name,
                found=side,
                model=card.name,
                least=allowed.minimum,
                most=allowed.maximum,
            )
