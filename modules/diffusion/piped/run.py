"""One generation through a pipeline of diffusers."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from PIL import Image

from modules.diffusion import latents as noising
from modules.diffusion.capabilities import plain
from modules.diffusion.families import Family
from modules.diffusion.families.shared import to_images
from modules.diffusion.memory import Remedy, offloaded
from modules.diffusion.parts import Parts
from modules.diffusion.piped import flux1, flux2, qwen_image, z_image
from modules.diffusion.piped.protocol import Piped
from modules.diffusion.precision import finite
from modules.diffusion.previews import coarse, fit_colours
from modules.diffusion.progress import Progress
from modules.diffusion.stages import OutOfBounds, Stages
from modules.schema import GenerationRequest, Stage

PIPED: Mapping[str, Piped] = {
    "flux1": flux1,
    "flux2": flux2,
    "z_image": z_image,
    "qwen_image": qwen_image,
}

Told = dict[str, Any]


def run(
    parts: Parts,
    request: GenerationRequest,
    report: Callable[[Progress], None],
    *,
    first: int,
    count: int,
    preview: int,
) -> list[Image.Image]:
    """As `modules.diffusion.pipeline.generate`, for a request that the family can do (`capabilities.check`).

    The pictures of a batch are made one after the other, so each is the same to the last bit as alone: at the size
    of these models a call of the denoiser is busy enough with one.
    """
    making = _Making(parts, request, report, preview)
    told = making.encode()
    latents = making.denoise(told, first, count)
    return making.pictures(latents)


class _Making:
    def __init__(
        self,
        parts: Parts,
        request: GenerationRequest,
        report: Callable[[Progress], None],
        preview: int,
    ) -> None:
        self._parts = parts
        self._piped = PIPED[parts.family]
        self._request = request
        self._report = report
        self._preview = preview
        # Of a family the stages around the loop need `decode` and `scale` alone, and these are the same.
        self._stages = Stages(parts, cast(Family, self._piped), report)
        self._pipe = self._piped.pipeline(parts)
        self._pipe.set_progress_bar_config(disable=True)
        size = request.width or 0, request.height or 0
        self._shape = self._piped.latent_shape(parts, *size)

    def encode(self) -> Told:
        """The prompts, as the pipeline takes them."""
        parts, request = self._parts, self._request
        self._report(Progress(Stage.ENCODING))
        return self._stages.guarded(
            Stage.ENCODING,
            parts.text_encoders,
            lambda: self._piped.texts(self._pipe, plain(request.prompt), request),
            lambda found: all(finite(each) for each in _tensors(found)),
            [Remedy("notice.memory.offload", lambda: offloaded([parts.unet, parts.vae]))],
        )

    def denoise(self, told: Told, first: int, count: int) -> torch.Tensor:
        """Latents without noise, (count, channels, height, width), float32."""
        parts, steps = self._parts, self._request.steps or 0

        def work() -> torch.Tensor:
            source = noising.sources(self._request, first, count)
            noise = source.start(self._shape, self._piped.scale(parts)).to(parts.device)
            made = [
                self._one(told, one, index * steps, count * steps)
                for index, one in enumerate(noise.split(1))
            ]
            return torch.cat(made)

        return self._stages.guarded(
            Stage.DENOISING,
            [parts.unet],
            work,
            finite,
            [Remedy("notice.memory.offload", lambda: offloaded(parts.text_encoders))],
            small=False,
        )

    def pictures(self, latents: torch.Tensor) -> list[Image.Image]:
        """Decoded, and cut to the size that was asked for."""
        size = self._request.width or 0, self._request.height or 0
        return to_images(self._stages.decode(latents), *size)

    def _one(self, told: Told, noise: torch.Tensor, base: int, total: int) -> torch.Tensor:
        """The latents of one picture; `base` of `total` steps are done."""
        self._report(Progress(Stage.DENOISING, base, total))
        dtype = self._parts.unet.dtype
        last = noise

        def after(pipe: Any, index: int, timestep: Any, given: Told) -> Told:
            nonlocal last
            before, last = last, self._piped.unpack(given["latents"], self._shape).float()
            picture = None
            if base == 0 and self._preview and (index + 1) % self._preview == 0:
                now, then = (float(pipe.scheduler.sigmas[place]) for place in (index, index + 1))
                # Euler's step gives the velocity away, and that the clean picture.
                picture = self._picture(last - (last - before) * (then / (then - now)))
            self._report(Progress(Stage.DENOISING, base + index + 1, total, picture))
            if not finite(last):
                raise OutOfBounds
            return given

        side = self._piped.scale(self._parts)
        self._pipe(
            height=self._shape[1] * side,
            width=self._shape[2] * side,
            num_inference_steps=self._request.steps,
            latents=self._piped.pack(noise),
            output_type="latent",
            callback_on_step_end=after,
            **{name: _in(value, dtype) for name, value in told.items()},
            **self._piped.options(self._pipe, self._request),
        )
        return last

    def _picture(self, clean: torch.Tensor) -> Image.Image:
        parts = self._parts
        if parts.latent_rgb is None:
            parts.latent_rgb = fit_colours(
                lambda latents: self._piped.decode(parts, latents.to(parts.device)),
                self._shape[0],
            ).to(parts.device)
        return coarse(clean, parts.latent_rgb, self._piped.scale(parts))


def _in(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, list):
        return [_in(each, dtype) for each in value]
    floats = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.to(dtype) if floats else value


def _tensors(told: Told) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in told.values():
        several = value if isinstance(value, list) else [value]
        found += [each for each in several if isinstance(each, torch.Tensor)]
    return [each for each in found if each.is_floating_point()]
