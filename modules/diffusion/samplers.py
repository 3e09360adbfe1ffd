"""The table of samplers: one row each. Importable without torch; diffusers comes in when one is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.diffusion.names import lookup, spellings
from modules.diffusion.schedules import SCHEDULES, Schedule, find_schedule
from modules.errors import UnknownNameError, UserError

_PLAIN = ("default", "automatic")
_SPACED = (*_PLAIN, "uniform", "sgm_uniform")
_SIGMAS = (*_PLAIN, "karras", "exponential", "beta")
_ALL = (*_SIGMAS, "uniform", "sgm_uniform")


@dataclass(frozen=True)
class Sampler:
    """One row. `options` go over the model's scheduler configuration; `schedules` are those that the class honours."""

    name: str
    label: str
    class_name: str
    aliases: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    schedules: tuple[str, ...] = _ALL
    automatic: str = "default"
    """The schedule that "automatic" stands for."""


def _dpm(kind: str, order: int = 2, solver: str = "midpoint") -> dict[str, object]:
    return {
        "algorithm_type": kind,
        "solver_order": order,
        "solver_type": solver,
        "lower_order_final": True,
        "final_sigmas_type": "zero",
    }


_MULTI = "DPMSolverMultistepScheduler"
_SINGLE = "DPMSolverSinglestepScheduler"

SAMPLERS: tuple[Sampler, ...] = (
    Sampler(
        "euler_a",
        "Euler a",
        "EulerAncestralDiscreteScheduler",
        ("k_euler_a", "k_euler_ancestral", "euler_ancestral"),
        schedules=_SPACED,
    ),
    Sampler("euler", "Euler", "EulerDiscreteScheduler", ("k_euler",)),
    Sampler("heun", "Heun", "HeunDiscreteScheduler", ("k_heun",)),
    Sampler("lms", "LMS", "LMSDiscreteScheduler", ("k_lms",)),
    Sampler("dpm2", "DPM2", "KDPM2DiscreteScheduler", ("k_dpm_2", "dpm_2"), automatic="karras"),
    Sampler(
        "dpm2_a",
        "DPM2 a",
        "KDPM2AncestralDiscreteScheduler",
        ("k_dpm_2_a", "dpm_2_ancestral"),
        automatic="karras",
    ),
    Sampler(
        "dpmpp_2m", "DPM++ 2M", _MULTI, ("k_dpmpp_2m",), _dpm("dpmsolver++"), automatic="karras"
    ),
    Sampler(
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        _MULTI,
        ("k_dpmpp_2m_sde",),
        _dpm("sde-dpmsolver++"),
        automatic="exponential",
    ),
    Sampler(
        "dpmpp_2m_sde_heun",
        "DPM++ 2M SDE Heun",
        _MULTI,
        ("k_dpmpp_2m_sde_heun",),
        _dpm("sde-dpmsolver++", solver="heun"),
        automatic="exponential",
    ),
    Sampler(
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        _MULTI,
        ("k_dpmpp_3m_sde",),
        _dpm("sde-dpmsolver++", order=3),
        automatic="exponential",
    ),
    # The single-step class always spaces evenly, so only the schedules made from sigmas apply.
    Sampler("dpmpp_2s", "DPM++ 2S", _SINGLE, (), _dpm("dpmsolver++"), _SIGMAS, "karras"),
    # Not the class DPMSolverSDEScheduler: it needs torchsde, and draws its noise from a tree of its own.
    Sampler(
        "dpmpp_sde",
        "DPM++ SDE",
        _SINGLE,
        ("k_dpmpp_sde",),
        _dpm("sde-dpmsolver++"),
        _SIGMAS,
        "karras",
    ),
    Sampler("ddim", "DDIM", "DDIMScheduler", ("k_ddim",), schedules=_SPACED),
    Sampler("ddpm", "DDPM", "DDPMScheduler", (), {"variance_type": "fixed_small"}, _SPACED),
    Sampler("plms", "PLMS", "PNDMScheduler", ("pndm",), {"skip_prk_steps": True}, _SPACED),
    Sampler(
        "unipc",
        "UniPC",
        "UniPCMultistepScheduler",
        ("uni_pc",),
        {"solver_order": 2, "solver_type": "bh2", "predict_x0": True, "final_sigmas_type": "zero"},
    ),
    Sampler(
        "deis",
        "DEIS",
        "DEISMultistepScheduler",
        (),
        {"algorithm_type": "deis", "solver_type": "logrho", "solver_order": 2},
    ),
    Sampler("lcm", "LCM", "LCMScheduler", ("k_lcm",), schedules=_PLAIN),
)


def find_sampler(name: str) -> Sampler:
    """The sampler of that name, label or alias, in any case; a schedule in the name is not looked at (see `pick`).

    Raises:
        UnknownNameError: lists those that exist.
    """
    return _split(name)[0]


def pick(sampler: str, schedule: str | None = None) -> tuple[Sampler, Schedule]:
    """The pair that two names mean. "DPM++ 2M Karras", as older programs wrote it, names both.

    Raises:
        UnknownNameError: no such sampler or schedule; lists those that exist.
        UserError: the sampler cannot follow the schedule, or two different schedules are named.
    """
    row, named = _split(sampler)
    asked = None if schedule is None else find_schedule(schedule)
    if named is not None and asked is not None and asked.name not in {*_PLAIN, named.name}:
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


def build(sampler: Sampler, schedule: Schedule, scheduler_config: Mapping[str, Any]) -> Any:
    """A fresh diffusers scheduler: the model's configuration, then the sampler's options, then the schedule's.

    Keys that the class does not know are left out (the configuration was written for another class).

    Raises:
        UserError: the sampler cannot follow the schedule.
    """
    import inspect

    import diffusers

    if schedule.name not in sampler.schedules:
        pick(sampler.name, schedule.name)
    if schedule.name == "automatic":
        schedule = find_schedule(sampler.automatic)
    kind = getattr(diffusers, sampler.class_name)
    config = {
        **scheduler_config,
        # Latents are not pictures: clipping them to -1 … 1 ruins DDIM and DDPM, and it is their default.
        "clip_sample": False,
        "thresholding": False,
        **sampler.options,
        **schedule.config,
    }
    known = inspect.signature(kind.__init__).parameters
    return kind(**{key: value for key, value in config.items() if key in known})


def _split(name: str) -> tuple[Sampler, Schedule | None]:
    wanted = " ".join(name.split()).casefold()
    for schedule in SCHEDULES:
        for ending in spellings(schedule):
            if wanted.endswith(" " + ending):
                try:
                    return lookup(wanted[: -len(ending) - 1], SAMPLERS, ""), schedule
                except UnknownNameError:
                    continue  # the ending belongs to the sampler's own name
    return lookup(name, SAMPLERS, "error.sampler.unknown"), None
