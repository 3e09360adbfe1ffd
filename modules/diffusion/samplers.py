"""The table of samplers: one row each. Importable without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from modules.diffusion import spacing
from modules.diffusion.names import lookup, spellings
from modules.diffusion.schedules import SCHEDULES, Schedule, find_schedule
from modules.diffusion.solvers import dpm, dpmpp, first_order, multistep, second_order
from modules.diffusion.solvers.protocol import Solver
from modules.diffusion.solvers.unipc import unipc
from modules.diffusion.spacing import Spacing
from modules.errors import UnknownNameError, UserError


@dataclass(frozen=True)
class Sampler:
    """One row; what is not said is as most samplers have it."""

    name: str
    label: str
    solver: Solver
    aliases: tuple[str, ...] = ()
    automatic: str = "uniform"
    """The schedule that "automatic" stands for, as the A1111 family has it."""
    native: Spacing = spacing.model
    """The schedule that "default" stands for."""
    padded: bool = False
    """Reads the model's own spacing for one step more, as diffusers' multistep solvers do."""
    unit_start: bool = False
    """Begins with noise of variance 1 on the model's own scale, however much picture the first level would leave."""
    eta: float = 0.0
    """Share of fresh noise where the request says nothing."""
    noise: Literal["steps", "path"] = "steps"
    """Fresh noise one after the other, or as pieces of one Brownian path (`latents`)."""
    discard_next_to_last: bool = False
    """Leaves the last level above zero out, as the A1111 family does for this sampler."""
    to_first_level: bool = False
    """Ends at the first trained level instead of zero where the model's configuration says so (`set_alpha_to_one`)."""
    cfg_factor: float = 1.0
    """Times the CFG scale."""
    noisy: bool = False
    """Draws noise whatever eta and churn are, or mixes two answers: flow matching models are then walked in sigma."""
    adaptive: bool = False
    """Chooses its own steps, so nobody knows beforehand how often it calls the denoiser."""
    schedules: tuple[str, ...] = tuple(row.name for row in SCHEDULES)
    """Those that it can follow."""


_SIMPLE, _SECOND, _MULTI, _PLUS = first_order, second_order, multistep, dpmpp

SAMPLERS: tuple[Sampler, ...] = (
    Sampler(
        "euler_a",
        "Euler a",
        _SIMPLE.euler_ancestral,
        ("k_euler_a", "k_euler_ancestral", "euler_ancestral"),
        eta=1.0,
    ),
    Sampler("euler", "Euler", _SIMPLE.euler, ("k_euler",)),
    Sampler("heun", "Heun", _SECOND.heun, ("k_heun",)),
    Sampler("heunpp2", "HeunPP2", _SECOND.heun_plus_plus, ("k_heunpp2", "heun++ 2")),
    Sampler("lms", "LMS", _MULTI.lms, ("k_lms",)),
    Sampler(
        "dpm2",
        "DPM2",
        _SECOND.dpm2,
        ("k_dpm_2", "dpm_2"),
        automatic="karras",
        discard_next_to_last=True,
    ),
    Sampler(
        "dpm2_a",
        "DPM2 a",
        _SECOND.dpm2_ancestral,
        ("k_dpm_2_a", "k_dpm_2_ancestral", "dpm_2_ancestral"),
        automatic="karras",
        eta=1.0,
        discard_next_to_last=True,
    ),
    Sampler("dpm_fast", "DPM fast", dpm.dpm_fast, ("k_dpm_fast",), eta=1.0),
    Sampler(
        "dpm_adaptive",
        "DPM adaptive",
        dpm.dpm_adaptive,
        ("k_dpm_ad", "k_dpm_adaptive"),
        eta=1.0,
        adaptive=True,
    ),
    Sampler(
        "dpmpp_2m", "DPM++ 2M", _PLUS.dpmpp_2m, ("k_dpmpp_2m",), automatic="karras", padded=True
    ),
    Sampler(
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        _PLUS.dpmpp_2m_sde,
        ("k_dpmpp_2m_sde", "k_dpmpp_2m_sde_ka"),
        automatic="exponential",
        padded=True,
        eta=1.0,
        noise="path",
    ),
    Sampler(
        "dpmpp_2m_sde_heun",
        "DPM++ 2M SDE Heun",
        partial(_PLUS.dpmpp_2m_sde, heun=True),
        ("k_dpmpp_2m_sde_heun",),
        automatic="exponential",
        padded=True,
        eta=1.0,
        noise="path",
    ),
    Sampler(
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        _PLUS.dpmpp_3m_sde,
        ("k_dpmpp_3m_sde",),
        automatic="exponential",
        padded=True,
        eta=1.0,
        noise="path",
        discard_next_to_last=True,
    ),
    Sampler("dpmpp_2s", "DPM++ 2S", _PLUS.dpmpp_2s_ancestral, automatic="karras"),
    Sampler(
        "dpmpp_2s_a",
        "DPM++ 2S a",
        _PLUS.dpmpp_2s_ancestral,
        ("k_dpmpp_2s_a", "dpmpp_2s_ancestral"),
        automatic="karras",
        eta=1.0,
    ),
    Sampler(
        "dpmpp_sde",
        "DPM++ SDE",
        _PLUS.dpmpp_sde,
        ("k_dpmpp_sde",),
        automatic="karras",
        eta=1.0,
        noise="path",
    ),
    Sampler("restart", "Restart", _SECOND.restart, ("k_restart",), automatic="karras", noisy=True),
    Sampler(
        "ddim",
        "DDIM",
        _SIMPLE.euler_ancestral,
        ("k_ddim",),
        automatic="ddim",
        unit_start=True,
        to_first_level=True,
    ),
    # With 12.5 the paper's guidance of 0 to 1 reads like the CFG scale that people are used to.
    Sampler(
        "ddim_cfgpp",
        "DDIM CFG++",
        _SIMPLE.cfg_plus_plus,
        ("ddim_cfg++",),
        automatic="ddim",
        unit_start=True,
        to_first_level=True,
        cfg_factor=1 / 12.5,
        noisy=True,
    ),
    Sampler("ddpm", "DDPM", _SIMPLE.euler_ancestral, unit_start=True, eta=1.0),
    Sampler(
        "plms",
        "PLMS",
        _MULTI.plms,
        ("pndm",),
        automatic="ddim",
        unit_start=True,
        to_first_level=True,
    ),
    Sampler("ipndm", "IPNDM", _MULTI.ipndm),
    Sampler("ipndm_v", "IPNDM_V", _MULTI.ipndm_v),
    Sampler("deis", "DEIS", _MULTI.deis, padded=True),
    Sampler("unipc", "UniPC", unipc, ("uni_pc",), automatic="ddim", padded=True, unit_start=True),
    Sampler(
        "lcm",
        "LCM",
        _SIMPLE.consistency,
        ("k_lcm",),
        automatic="default",
        native=spacing.lcm,
        unit_start=True,
        noisy=True,
    ),
)


def find_sampler(name: str, more: Sequence[Sampler] = ()) -> Sampler:
    """The sampler of that name, label or alias, in any case; a schedule in the name is not looked at (see `pick`).

    Args:
        more: rows of extensions.

    Raises:
        UnknownNameError: lists those that exist.
    """
    return _split(name, (*SAMPLERS, *more))[0]


def pick(
    sampler: str, schedule: str | None = None, more: Sequence[Sampler] = ()
) -> tuple[Sampler, Schedule]:
    """The pair that two names mean. "DPM++ 2M Karras", as older programs wrote it, names both.

    Args:
        more: rows of extensions.

    Raises:
        UnknownNameError: no such sampler or schedule; lists those that exist.
        UserError: the sampler cannot follow the schedule, or two different schedules are named.
    """
    row, named = _split(sampler, (*SAMPLERS, *more))
    asked = None if schedule is None else find_schedule(schedule)
    if named and asked and asked.name not in {"default", "automatic", named.name}:
        raise UserError("error.schedule.two", sampler=sampler, schedule=asked.label)
    chosen = named or asked or find_schedule("default")
    if chosen.name not in row.schedules:
        raise UserError(
            "error.schedule.unsupported",
            sampler=row.label,
            schedule=chosen.label,
            known=", ".join(row.schedules),
        )
    return row, chosen


def spacing_of(sampler: Sampler, schedule: Schedule) -> Spacing:
    """The function that the pair stands for: "default" and "automatic" are looked up in the sampler's row."""
    if schedule.name == "automatic":
        schedule = find_schedule(sampler.automatic)
    return schedule.spacing or sampler.native


def _split(name: str, table: Sequence[Sampler]) -> tuple[Sampler, Schedule | None]:
    wanted = " ".join(name.split()).casefold()
    for schedule in SCHEDULES:
        for ending in spellings(schedule):
            if wanted.endswith(" " + ending):
                try:
                    return lookup(wanted[: -len(ending) - 1], table, ""), schedule
                except UnknownNameError:
                    continue  # the ending belongs to the sampler's own name
    return lookup(name, table, "error.sampler.unknown"), None
