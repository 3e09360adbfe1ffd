"""What a run of the sampler begins with: noise alone, or a picture and noise."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image

from modules.diffusion import inpaint
from modules.diffusion.parts import Parts
from modules.diffusion.stages import Stages
from modules.errors import UserError
from modules.imaging.canvas import Canvas
from modules.imaging.resize import border
from modules.schema import Img2Img, Inpaint, Outpaint, SoftInpainting
from modules.schema.options import MaskedContent

# Longest schedule that a small denoising strength may ask for, to run its last steps.
MAX_SCHEDULE = 1000


@dataclass(frozen=True, eq=False)
class Start:
    """Handed to a pass. `n` is 1 where all pictures of the batch begin with the same."""

    clean: torch.Tensor | None = None
    """(n, channels, height, width): latents of the picture to begin with; None is noise alone."""
    strength: float = 1.0
    """Share of the way that is gone: 1 is all of it."""
    full_steps: bool = False
    """Run as many steps as asked for, of a longer schedule."""
    mask: torch.Tensor | None = None
    """(1, 1, height, width): 1 is made anew."""
    content: MaskedContent = "original"
    soft: SoftInpainting | None = None
    keeps: bool = False
    """What the mask leaves alone is held to `clean` at each step."""
    noise_multiplier: float = 1.0
    extra_noise: float = 0.0
    shown: torch.Tensor | None = None
    """(1, channels, height, width): what a special model reads beside the noisy latents."""
    pixel_mask: torch.Tensor | None = field(default=None, repr=False)
    """(1, 1, height, width) in pixels, where there is a mask."""

    def steps(self, asked: int) -> tuple[int, int]:
        """How many steps the schedule has, and how many of them, the last ones, are run.

        The A1111 family's count: a strength of 0.75 at 20 steps begins int(0.75 * 20) steps before the last one, so
        it runs 16; a strength of 0 runs the last one alone. With `full_steps` the schedule grows instead.
        """
        strength = min(self.strength, 0.999)
        if self.clean is None:
            return asked, asked
        if not self.full_steps:
            return asked, int(strength * asked) + 1
        if strength <= 0:
            return asked, 0
        return min(MAX_SCHEDULE, max(asked, int(asked / strength))), asked

    def of(self, offset: int, count: int) -> "Start":
        """The same for pictures `offset` … of the batch."""
        if self.clean is None or len(self.clean) == 1:
            return self
        return replace(self, clean=self.clean[offset : offset + count])

    def first_clean(self, noise: torch.Tensor) -> torch.Tensor:
        """The latents without noise to begin with; `noise` as in `first`."""
        if self.clean is None:
            raise ValueError("begins with noise alone")
        if self.mask is None:
            return self.clean
        return inpaint.first_latents(self.content, self.clean, self.mask, noise)

    def first(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """The noisy latents that the sampler begins with.

        Args:
            noise: (n, channels, height, width), standard normal.
            sigma: the first noise level.
        """
        if self.clean is None:
            return noise * sigma
        return self.first_clean(noise) + noise * (self.noise_multiplier * sigma + self.extra_noise)


def outline(parts: Parts, canvas: Canvas | None, group: Img2Img | None) -> Start:
    """As much of what `from_noise` or `from_picture` will give as its `steps` need: known before the model is touched."""
    if canvas is None or group is None:
        return Start()
    if parts.variant == "edit" and group.denoising_strength >= 1 and canvas.mask is None:
        return Start()
    clean = torch.zeros(1)
    return Start(clean=clean, strength=group.denoising_strength, full_steps=group.full_steps)


def from_noise(stages: Stages, width: int, height: int) -> Start:
    """txt2img. An inpainting model is told that everything is to be made anew.

    Raises:
        UserError: the model needs a picture.
    """
    parts = stages.parts
    if parts.variant == "edit":
        raise UserError("error.edit.picture", name=parts.card_name)
    if parts.variant != "inpaint":
        return Start()
    shape = stages.family.latent_shape(parts, width, height)
    return Start(shown=_hidden(stages, _grey(stages, shape), None, shape))


def from_picture(stages: Stages, canvas: Canvas, group: Img2Img) -> Start:
    """img2img, inpainting and outpainting."""
    parts, family = stages.parts, stages.family
    shape = family.latent_shape(parts, canvas.width, canvas.height)
    side = family.scale(parts)
    pixels = to_pixels(canvas.image, side).to(parts.device)
    clean = stages.encode_picture(pixels)
    if clean.shape[-2:] != shape[-2:]:  # "latent_upscale"
        clean = torch.nn.functional.interpolate(clean, size=shape[-2:], mode="bilinear")
    start = Start(
        clean=clean,
        strength=group.denoising_strength,
        full_steps=group.full_steps,
        noise_multiplier=group.noise_multiplier,
        extra_noise=group.extra_noise,
    )
    mask = None
    if canvas.mask is not None:
        mask = inpaint.pixel_mask(border(canvas.mask, shape[-1] * side, shape[-2] * side))
        start = _masked(start, mask.to(parts.device), group.inpaint, group.outpaint, parts, shape)
    if parts.variant == "inpaint":
        if pixels.shape[-2:] != (shape[-2] * side, shape[-1] * side):
            pixels = torch.nn.functional.interpolate(
                pixels, size=(shape[-2] * side, shape[-1] * side), mode="bilinear"
            )
        shown = _hidden(stages, pixels, start.pixel_mask, shape)
        return replace(start, shown=shown)
    if parts.variant == "edit":
        shown = stages.encode_picture(pixels, scaled=False)
        if shown.shape[-2:] != shape[-2:]:
            shown = torch.nn.functional.interpolate(shown, size=shape[-2:], mode="bilinear")
        if group.denoising_strength >= 1 and start.mask is None:
            # The picture comes in by channels of its own; the noise need not hold it as well.
            return Start(shown=shown)
        return replace(start, shown=shown)
    return start


def again(stages: Stages, latents: torch.Tensor, width: int, height: int, strength: float) -> Start:
    """The second pass of hires fix, which runs the steps asked for whatever its strength."""
    start = Start(clean=latents, strength=strength, full_steps=True)
    if stages.parts.variant != "inpaint":
        return start
    shape = stages.family.latent_shape(stages.parts, width, height)
    return replace(start, shown=_hidden(stages, _grey(stages, shape), None, shape))


def to_pixels(image: Image.Image, side: int) -> torch.Tensor:
    """(1, 3, height, width) from 0 to 1; the edge is continued up to multiples of `side`, evenly to both sides."""
    whole = border(image, -(-image.width // side) * side, -(-image.height // side) * side)
    levels = torch.from_numpy(np.array(whole.convert("RGB"), dtype=np.float32))
    return levels.permute(2, 0, 1)[None] / 255


def _masked(
    start: Start,
    mask: torch.Tensor,
    paint: Inpaint | None,
    outpaint: Outpaint | None,
    parts: Parts,
    shape: tuple[int, ...],
) -> Start:
    soft = paint.soft if paint is not None else None
    content: MaskedContent = paint.content if paint is not None else "original"
    small = inpaint.latent_mask(mask, shape, hard=soft is None)
    return replace(
        start,
        mask=small,
        pixel_mask=mask,
        content=content,
        soft=soft,
        # An inpainting model sees what is to stay and was trained to keep it.
        keeps=parts.variant != "inpaint",
    )


def _grey(stages: Stages, shape: tuple[int, ...]) -> torch.Tensor:
    side = stages.family.scale(stages.parts)
    return torch.full((1, 3, shape[-2] * side, shape[-1] * side), 0.5, device=stages.parts.device)


def _hidden(
    stages: Stages, pixels: torch.Tensor, mask: torch.Tensor | None, shape: tuple[int, ...]
) -> torch.Tensor:
    if mask is None:
        mask = torch.ones_like(pixels[:, :1])
    latents = stages.encode_picture(inpaint.hidden(pixels, mask))
    return inpaint.inpaint_channels(mask, latents, shape)
