"""What a sampler of an extension is written with; importable without torch.

A solver is a generator: it yields `Ask(x, sigma, step)` and is sent the clean latents that the model sees in `x`, and
yields `Stepped(x, sigma, step)` after each step and is sent what to go on with.
"""

from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import intervals
from modules.schema import SamplerOptions

__all__ = ["Ask", "Draw", "Latents", "Run", "SamplerOptions", "Stepped", "intervals"]
