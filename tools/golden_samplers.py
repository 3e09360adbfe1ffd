"""Write tests/fixtures/k_diffusion.json: what the package k-diffusion (MIT) makes of a known target.

It is a peer for tests only and no dependency. In a folder of its own:

    pip install --no-deps --target PEER k-diffusion torchsde torchdiffeq trampoline boltons
    PYTHONPATH=. python tools/golden_samplers.py PEER
"""

import importlib
import importlib.metadata
import json
import sys
import types
from pathlib import Path

import torch

from tests.fixtures.mixture import mixture

FILE = Path(__file__).parents[1] / "tests" / "fixtures" / "k_diffusion.json"
STEPS, SEED = 10, 123
SHAPE = (1, 2, 2, 2)
SAMPLERS: dict[str, tuple[str, dict[str, object]]] = {
    "euler": ("euler", {}),
    "euler churn": ("euler", {"s_churn": 4.0, "s_noise": 1.01}),
    "euler_a": ("euler_ancestral", {}),
    "heun": ("heun", {}),
    "heun churn": ("heun", {"s_churn": 4.0}),
    "lms": ("lms", {}),
    "dpm2": ("dpm_2", {}),
    "dpm2_a": ("dpm_2_ancestral", {}),
    "dpmpp_2s_a": ("dpmpp_2s_ancestral", {}),
    "dpmpp_2m": ("dpmpp_2m", {}),
    "dpmpp_sde": ("dpmpp_sde", {}),
    "dpmpp_sde eta": ("dpmpp_sde", {"eta": 0.6}),
    "dpmpp_2m_sde": ("dpmpp_2m_sde", {}),
    "dpmpp_2m_sde_heun": ("dpmpp_2m_sde", {"solver_type": "heun"}),
    "dpmpp_3m_sde": ("dpmpp_3m_sde", {}),
    "dpm_fast": ("dpm_fast", {"eta": 1.0}),
    "dpm_adaptive": ("dpm_adaptive", {"eta": 0.0}),
}


def main(peer: str) -> None:
    """Run each sampler of the peer on the mixture, with the schedules "default" and Karras."""
    sys.path.append(peer)
    # Its own __init__ imports training code that is not needed here.
    package = types.ModuleType("k_diffusion")
    package.__path__ = [str(Path(peer, "k_diffusion"))]
    sys.modules["k_diffusion"] = package
    sampling = importlib.import_module("k_diffusion.sampling")
    external = importlib.import_module("k_diffusion.external")

    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    trained = external.DiscreteSchedule(((1 - alphas) / alphas).sqrt().float(), False)
    low, high = trained.sigma_min.item(), trained.sigma_max.item()
    schedules = {
        "uniform": trained.get_sigmas(STEPS),
        "karras": sampling.get_sigmas_karras(STEPS, low, high),
        "exponential": sampling.get_sigmas_exponential(STEPS, low, high),
        "polyexponential": sampling.get_sigmas_polyexponential(STEPS, low, high, rho=2.0),
    }
    torch.manual_seed(0)
    noise = torch.randn(SHAPE)
    found: dict[str, object] = {
        "provenance": {
            "package": f"k-diffusion {_version(peer)}",
            "made_by": "tools/golden_samplers.py",
            "torch": torch.__version__,
        },
        "noise": noise.flatten().tolist(),
        "seed": SEED,
        "sigmas": {name: sigmas.tolist() for name, sigmas in schedules.items()},
        "timesteps": {
            name: trained.sigma_to_t(sigmas[:-1]).tolist() for name, sigmas in schedules.items()
        },
        "latents": {
            f"{name}/{schedule}": _run(sampling, *SAMPLERS[name], schedules[schedule], noise)
            for name in SAMPLERS
            for schedule in ("uniform", "karras")
        },
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _run(
    sampling: types.ModuleType,
    name: str,
    options: dict[str, object],
    sigmas: torch.Tensor,
    noise: torch.Tensor,
) -> list[list[float]]:
    """The latents at the begin of each step, and at the end."""
    steps: list[list[float]] = []

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return mixture(x, float(sigma[0]))

    def note(info: dict[str, torch.Tensor]) -> None:
        steps.append(_plain(info["x"]))

    torch.manual_seed(SEED)
    function = getattr(sampling, f"sample_{name}")
    x = noise * sigmas[0]
    if "sde" in name:  # else it walks along a path of torchsde's
        options = {**options, "noise_sampler": lambda sigma, lower: torch.randn_like(x)}
    ends = float(sigmas[-2]), float(sigmas[0])
    if name == "dpm_fast":
        return [_plain(function(model, x, *ends, STEPS, disable=True, **options))]
    if name == "dpm_adaptive":
        return [_plain(function(model, x, *ends, disable=True, **options))]
    last = function(model, x, sigmas, callback=note, disable=True, **options)
    return [*steps, _plain(last)]


def _plain(x: torch.Tensor) -> list[float]:
    return [round(value, 6) for value in x.flatten().tolist()]


def _version(peer: str) -> str:
    (found,) = importlib.metadata.distributions(name="k-diffusion", path=[peer])
    return found.version


if __name__ == "__main__":
    main(sys.argv[1])
