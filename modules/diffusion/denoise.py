"""The loop: from noise to a picture's latents. Everything that makes a generation special comes in through adapters."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from modules.diffusion import guidance
from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.conditioning import Conditioning
from modules.diffusion.parts import Parts
from modules.diffusion.timeline import Timeline
from modules.schema import GenerationRequest


def denoise(
    parts: Parts,
    request: GenerationRequest,
    conditioning: Conditioning,
    latents: torch.Tensor,
    timeline: Timeline,
    generators: Sequence[torch.Generator],
    adapters: Sequence[Adapter],
    done: Callable[[Step], None],
) -> torch.Tensor:
    """Latents without noise, (n, channels, height, width), float32.

    Args:
        latents: noise at the timeline's first level, one per generator.
        generators: on the CPU, for samplers that add noise on the way.
        adapters: in the order in which they run.
        done: called after each call of the denoiser; may raise to stop.
    """
    scheduler = timeline.scheduler
    draws: dict[str, Any] = {"generator": list(generators)} if timeline.draws else {}
    told = conditioning.for_batch(len(latents))
    for index, timestep in enumerate(scheduler.timesteps):
        rows = torch.cat([latents] * conditioning.copies)
        step = Step(
            index=index,
            total=len(scheduler.timesteps),
            timestep=timestep,
            sigma=timeline.sigmas[index],
            latents=latents,
            model_input=scheduler.scale_model_input(rows, timestep),
            conditioning=told,
            request=request,
            parts=parts,
        )
        for adapter in adapters:
            adapter.before_model(step)
        (answer,) = parts.unet(
            step.model_input.to(parts.dtype),
            timestep,
            encoder_hidden_states=step.conditioning,
            return_dict=False,
            **step.model_kwargs,
        )
        step.guided = guidance.combine(
            answer.float(), conditioning.copies, request.cfg_scale or 0.0
        )
        for adapter in adapters:
            adapter.after_guidance(step)
        (step.latents, *_) = scheduler.step(
            step.guided, timestep, step.latents, return_dict=False, **draws
        )
        for adapter in adapters:
            adapter.after_step(step)
        latents = step.latents
        done(step)
    return latents
