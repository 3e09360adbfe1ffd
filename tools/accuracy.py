"""Print what the tests of samplers measure, as the tables of docs/accuracy.md: python tools/accuracy.py

For each sampler the order of convergence on a Gaussian whose solution is known, and the largest difference from the
recorded numbers of k-diffusion (tests/fixtures/k_diffusion.json) over all steps.
"""

import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modules.diffusion.samplers import find_sampler
from modules.schema import SamplerOptions
from tests.diffusion import test_reference as peer
from tests.diffusion import test_solvers as known
from tests.fixtures.mixture import follow, gaussian, mixture


def order(name: str) -> float:
    """The measured order: by how many powers of two the error falls when the steps are doubled."""
    x = torch.tensor([[2.0, -3.0, 0.5]], dtype=torch.float64) * 100
    errors = []
    first = 240 if name == "dpmpp_2m_sde_heun" else 120  # its error changes its sign on the way
    for steps in (first, 2 * first):
        sigmas = known.between(steps)
        target = gaussian(known.MEAN, known.SPREAD)
        seen = follow(find_sampler(name).solver, x, sigmas, known.SILENT, None, target)
        ratio = math.hypot(known.SPREAD, sigmas[-3]) / math.hypot(known.SPREAD, sigmas[0])
        errors.append(float((seen[-3] - known.MEAN - (x - known.MEAN) * ratio).abs().max()))
    return math.log2(errors[0] / errors[1])


def difference(case: str) -> float:
    """The largest difference from the recorded latents, those that a run ends with where steps are its own."""
    name, schedule = case.split("/")
    row = find_sampler(name.split()[0])
    sigmas = peer.GOLDEN["sigmas"][schedule]
    options = SamplerOptions(**{"eta": row.eta, **peer.OPTIONS.get(name, {})})
    torch.manual_seed(peer.GOLDEN["seed"])
    seen = follow(
        row.solver,
        torch.tensor(peer.GOLDEN["noise"]).view(1, 2, 2, 2) * sigmas[0],
        sigmas,
        options,
        lambda sigma, lower: torch.randn(1, 2, 2, 2),
        mixture,
    )
    expected = torch.tensor(peer.GOLDEN["latents"][case])
    last = len(expected) == 1 or "churn" in name
    found = torch.stack(seen[-1:] if last else seen).flatten(1)
    return float((found - (expected[-1:] if last else expected)).abs().max())


def main() -> None:
    """Both tables."""
    print("| sampler | promised order | measured |\n|---|---|---|")
    for name, promised in known.ORDER.items():
        print(f"| {find_sampler(name).label} | {promised} | {order(name):.2f} |")
    print("\n| sampler / schedule | largest difference |\n|---|---|")
    for case in peer.GOLDEN["latents"]:
        print(f"| {case} | {difference(case):.1e} |")


if __name__ == "__main__":
    main()
