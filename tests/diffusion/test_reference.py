"""Samplers, schedules and time steps against k-diffusion's numbers (tests/fixtures/k_diffusion.json, which says where from)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.diffusion.levels import from_config
from modules.diffusion.samplers import find_sampler, spacing_of
from modules.diffusion.schedules import find_schedule
from modules.diffusion.spacing import Span
from modules.schema import SamplerOptions
from tests.fixtures.mixture import follow, mixture

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "k_diffusion.json").read_text(encoding="utf-8")
)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OPTIONS = {
    "euler churn": {"s_churn": 4.0, "s_noise": 1.01},
    "heun churn": {"s_churn": 4.0},
    "dpmpp_sde eta": {"eta": 0.6},
    "dpm_adaptive": {"eta": 0.0},
}


@pytest.mark.parametrize("case", GOLDEN["latents"])
def test_every_step_is_that_of_the_reference(case):
    """Within 1e-3 in latents, in fact within 1e-4: theirs are in float32 to the last factor."""
    name, schedule = case.split("/")
    row = find_sampler(name.split()[0])
    noise = torch.tensor(GOLDEN["noise"]).view(1, 2, 2, 2)
    sigmas = GOLDEN["sigmas"][schedule]
    options = SamplerOptions(**{"eta": row.eta, **OPTIONS.get(name, {})})
    torch.manual_seed(GOLDEN["seed"])
    seen = follow(
        row.solver,
        noise * sigmas[0],
        sigmas,
        options,
        lambda sigma, lower: torch.randn(1, 2, 2, 2),
        mixture,
    )
    expected = torch.tensor(GOLDEN["latents"][case])
    if len(expected) == 1:  # those with steps of their own: only the end is known
        seen = seen[-1:]
    found = torch.stack(seen).flatten(1)
    assert found.shape == expected.shape
    if "churn" in name:  # theirs notes the latents after the noise is added
        found, expected = found[-1], expected[-1]
    assert (found - expected).abs().max() <= 2e-4 * max(1, sigmas[0] / 10)


@pytest.mark.parametrize("name", GOLDEN["sigmas"])
def test_schedules_are_those_of_the_reference(name):
    rho = 2.0 if name == "polyexponential" else None
    span = Span(from_config(SD), 10, SamplerOptions(rho=rho))
    found = spacing_of(find_sampler("euler"), find_schedule(name))(span)
    assert np.allclose(found, GOLDEN["sigmas"][name][:-1], rtol=2e-5)


@pytest.mark.parametrize("name", GOLDEN["timesteps"])
def test_a_level_lies_at_the_reference_s_fraction_of_a_time_step(name):
    found = from_config(SD).timestep(GOLDEN["sigmas"][name][:-1])
    assert np.allclose(found, GOLDEN["timesteps"][name], atol=2e-2)
    if name != "uniform":  # 999 in nine even parts
        assert any(abs(value - round(value)) > 0.1 for value in found[1:-1])
