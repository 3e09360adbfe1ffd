"""The table of schedules: how the steps are spread over the noise levels. Importable without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from modules.diffusion import spacing
from modules.diffusion.names import lookup
from modules.diffusion.spacing import Spacing


@dataclass(frozen=True)
class Schedule:
    """One row. Without `spacing` it stands for another: see `samplers.Sampler`."""

    name: str
    label: str
    spacing: Spacing | None
    aliases: tuple[str, ...] = ()


SCHEDULES: tuple[Schedule, ...] = (
    # As the model's own scheduler configuration says: `Sampler.native`.
    Schedule("default", "Default", None, ("model default",)),
    # What the A1111 family picks for the sampler: `Sampler.automatic`.
    Schedule("automatic", "Automatic", None, ("auto",)),
    Schedule("uniform", "Uniform", spacing.uniform, ("linspace",)),
    Schedule("karras", "Karras", spacing.karras),
    Schedule("exponential", "Exponential", spacing.exponential),
    Schedule("polyexponential", "Polyexponential", spacing.polyexponential),
    Schedule("sgm_uniform", "SGM Uniform", spacing.sgm_uniform, ("SGMUniform",)),
    Schedule("kl_optimal", "KL Optimal", spacing.kl_optimal),
    Schedule("align_your_steps", "Align Your Steps", spacing.align_your_steps, ("AYS",)),
    Schedule("simple", "Simple", spacing.simple),
    Schedule("normal", "Normal", spacing.normal),
    # The name of a sampler as well: `pick` reads "DDIM" alone as the sampler.
    Schedule("ddim", "DDIM", spacing.ddim, ("ddim_uniform",)),
    Schedule("beta", "Beta", spacing.beta),
    Schedule("turbo", "Turbo", spacing.turbo, ("trailing",)),
)


def find_schedule(name: str, more: Sequence[Schedule] = ()) -> Schedule:
    """The schedule of that name, label or alias, in any case; `more` are rows of extensions.

    Raises:
        UnknownNameError: lists those that exist.
    """
    return lookup(name, (*SCHEDULES, *more), "error.schedule.unknown")
