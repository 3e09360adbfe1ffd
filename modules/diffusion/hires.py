"""Between the two passes of hires fix: how large, how enlarged, and what the second pass is told."""

import torch
import torch.nn.functional as F

from modules.diffusion.upscalers import LatentUpscaler
from modules.schema import GenerationRequest, Hires


def second_pass(request: GenerationRequest, hires: Hires) -> GenerationRequest:
    """The request of the second pass alone: what `hires` leaves open is as in the first."""
    width, height = hires.size(request.width or 0, request.height or 0)
    return request.replace(
        width=width,
        height=height,
        steps=hires.steps or request.steps,
        sampler=hires.sampler or request.sampler,
        schedule=hires.schedule or request.schedule,
        prompt=request.prompt if hires.prompt is None else hires.prompt,
        negative_prompt=(
            request.negative_prompt if hires.negative_prompt is None else hires.negative_prompt
        ),
        cfg_scale=request.cfg_scale if hires.cfg_scale is None else hires.cfg_scale,
        hires=None,
    )


def covering(size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """`size` enlarged in its own shape until it covers `frame`; what is over is cut off later."""
    scale = max(frame[0] / size[0], frame[1] / size[1])
    return max(frame[0], round(size[0] * scale)), max(frame[1], round(size[1] * scale))


def enlarge_latents(
    latents: torch.Tensor,
    upscaler: LatentUpscaler,
    shape: tuple[int, ...],
    wrap: tuple[bool, bool] = (False, False),
) -> torch.Tensor:
    """(n, c, h, w) to (n, c, *shape[-2:]): enlarged until they cover it, then the middle of that.

    Args:
        wrap: along x, along y the picture's edges meet, so what lies beyond an edge is the far side.
    """
    height, width = latents.shape[-2:]
    wide, high = covering((width, height), (shape[-1], shape[-2]))
    sized: dict[str, bool] = {"antialias": True} if upscaler.antialias else {}
    around = (min(4, width) if wrap[0] else 0, min(4, height) if wrap[1] else 0)
    if any(around):
        # At factors that are not whole the far side lies off the grid by less than half a latent.
        x, y = around
        latents = F.pad(latents, (x, x, 0, 0), mode="circular")
        latents = F.pad(latents, (0, 0, y, y), mode="circular")
        more_x, more_y = round(x * wide / width), round(y * high / height)
        found = F.interpolate(
            latents, size=(high + 2 * more_y, wide + 2 * more_x), mode=upscaler.mode, **sized
        )
        found = found[..., more_y : more_y + high, more_x : more_x + wide]
    else:
        found = F.interpolate(latents, size=(high, wide), mode=upscaler.mode, **sized)
    top, left = (high - shape[-2]) // 2, (wide - shape[-1]) // 2
    return found[..., top : top + shape[-2], left : left + shape[-1]]
