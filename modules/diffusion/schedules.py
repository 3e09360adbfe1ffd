"""The table of schedules: how the steps are spread over the noise levels. Importable without torch.

A schedule is a change to the configuration of a diffusers scheduler; which sampler can have which stands in
`samplers.SAMPLERS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modules.diffusion.names import lookup

# At most one of these may be set; a schedule therefore clears those that the model's configuration sets.
SIGMA_FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


@dataclass(frozen=True)
class Schedule:
    """One row: `config` goes over the model's scheduler configuration."""

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)


def _sigmas(flag: str) -> dict[str, object]:
    return {name: name == flag for name in SIGMA_FLAGS}


SCHEDULES: tuple[Schedule, ...] = (
    # As the model's own scheduler configuration says.
    Schedule("default", "Default", ("model default",)),
    # What the A1111 family picks for the sampler: `Sampler.automatic`.
    Schedule("automatic", "Automatic", ("auto",)),
    Schedule(
        "uniform",
        "Uniform",
        ("linspace", "normal"),
        {**_sigmas(""), "timestep_spacing": "linspace"},
    ),
    # Karras et al., arXiv 2206.00364, rho 7.
    Schedule("karras", "Karras", (), _sigmas("use_karras_sigmas")),
    Schedule("exponential", "Exponential", (), _sigmas("use_exponential_sigmas")),
    # Lee et al., "Beta Sampling is All You Need", arXiv 2407.12173, alpha = beta = 0.6.
    Schedule("beta", "Beta", (), _sigmas("use_beta_sigmas")),
    # Lin et al., arXiv 2305.08891, table 2, "trailing".
    Schedule(
        "sgm_uniform",
        "SGM Uniform",
        ("SGMUniform", "trailing"),
        {**_sigmas(""), "timestep_spacing": "trailing"},
    ),
)


def find_schedule(name: str) -> Schedule:
    """The schedule of that name, label or alias, in any case.

    Raises:
        UnknownNameError: lists those that exist.
    """
    return lookup(name, SCHEDULES, "error.schedule.unknown")
