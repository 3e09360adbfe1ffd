"""One generation, from a request to pictures."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from PIL import Image

from modules.diffusion import capabilities, hires, soft, start
from modules.diffusion.adapter import Adapter
from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families import FAMILIES, Family
from modules.diffusion.inputs import Inputs
from modules.diffusion.memory import free, ran_out
from modules.diffusion.parts import Parts
from modules.diffusion.passes import Counter, Passes, Sampling, lay_out
from modules.diffusion.piped.run import PIPED
from modules.diffusion.piped.run import run as run_piped
from modules.diffusion.progress import Progress
from modules.diffusion.prompts.cache import text_key
from modules.diffusion.prompts.condition import first_pass
from modules.diffusion.prompts.schedule import Pass
from modules.diffusion.stages import Stages
from modules.diffusion.start import Start
from modules.diffusion.tiling import seamless
from modules.diffusion.timeline import Timeline
from modules.diffusion.upscalers import LATENT_UPSCALERS, find_latent_upscaler
from modules.errors import UnknownNameError, UserError
from modules.imaging import canvas as canvases
from modules.imaging.canvas import Canvas
from modules.imaging.resize import cut
from modules.imaging.upscale import Upscaler
from modules.schema import GenerationRequest, Hires, Stage


def generate(
    parts: Parts,
    request: GenerationRequest,
    adapters: Sequence[Adapter] = (),
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    first: int = 0,
    count: int = 1,
    preview: int = 0,
    inputs: Inputs | None = None,
) -> list[Image.Image]:
    """Make `count` pictures together, with the seeds of the request's pictures `first`, `first + 1` …

    The same request gives the same bytes on the same machine; a picture is the same alone as in a batch, but for
    the rounding of other matrix sizes. Whatever the adapters changed in `parts` is put back on every way out.

    Args:
        request: resolved: no field that the model's card can fill is None, seeds are drawn.
        report: called at each change of stage, after each step, before each tile; may raise `Cancelled` to stop.
        preview: a preview picture every so many steps; 0 is none.
        inputs: the pictures that the request names, the refiner, the upscalers. Adapters do not apply to a refiner.

    Raises:
        UserError: an unknown name, a combination that does not exist, a picture that is missing, memory that does
            not suffice, or numbers that ran out of bounds (the text names the stage).
    """
    inputs = inputs or Inputs()
    _check(parts, request, inputs)
    capabilities.check(
        request, parts.family, parts.card_name, [adapter.name for adapter in adapters]
    )
    canvas = None
    if request.img2img is not None:
        canvas = canvases.prepare(request, inputs.pictures)
        request = request.replace(width=canvas.width, height=canvas.height)
    ordered = sorted(adapters, key=lambda adapter: adapter.order)
    try:
        with ExitStack() as changes:
            for adapter in ordered:
                changes.enter_context(adapter.applied(parts))
            # After the adapters: their convolutions wrap around too.
            for each in [parts] if inputs.refiner is None else [parts, inputs.refiner]:
                changes.enter_context(seamless(each, request.tiling))
            with torch.inference_mode():
                if parts.family in PIPED:
                    return run_piped(
                        parts, request, report, first=first, count=count, preview=preview
                    )
                making = _Making(parts, request, ordered, report, first, count, preview, inputs)
                return making.run(canvas)
    except (RuntimeError, MemoryError) as error:
        if parts.device.type != "cpu":
            free()
        if not ran_out(error):
            raise
        wide, high = request.result_size
        raise UserError(
            "error.memory.device", width=wide, height=high, count=count, device=parts.device
        ) from error
    except BaseException:
        # Only then: what a good run leaves in torch's store serves the next one, and emptying it takes a fifth of a second.
        if parts.device.type != "cpu":
            free()
        raise


class _Making:
    """The story of one generation, while the adapters' changes hold."""

    def __init__(
        self,
        parts: Parts,
        request: GenerationRequest,
        adapters: Sequence[Adapter],
        report: Callable[[Progress], None],
        first: int,
        count: int,
        preview: int,
        inputs: Inputs,
    ) -> None:
        self._parts = parts
        self._family: Family = FAMILIES[parts.family]
        self._request = request
        self._adapters = adapters
        self._report = report
        self._inputs = inputs
        self._first, self._count, self._preview = first, count, preview
        self._stages = Stages(parts, self._family, report)
        self._dtype = parts.dtype

    def run(self, canvas: Canvas | None) -> list[Image.Image]:
        """The pictures."""
        request, group = self._request, self._request.hires
        # Both passes are laid out before the model is touched: what cannot be done is said at once.
        track = self._laid_out(request, start.outline(self._parts, canvas, request.img2img))
        larger = None if group is None else hires.second_pass(request, group)
        second = None
        if group is not None and larger is not None:
            again = Start(clean=torch.zeros(1), strength=group.denoising_strength, full_steps=True)
            second = self._laid_out(larger, again)
        passes = self._passes(sum(each.steps for each in (track, second) if each is not None))
        run = first_pass(request)
        told = self._told(request, run)
        begin = self._begin(canvas)
        # As the A1111 family has it: with hires fix the refiner ends the second pass.
        refiner = None if group is not None else self._inputs.refiner
        plan = Sampling(request, told, begin, track, run, refiner)
        if group is None or larger is None:
            return self._pictures(canvas, begin, passes.run(plan))
        run = Pass(larger.steps or 0, first_pass_steps=request.steps)
        told = self._told(larger, run)
        latents = self._enlarged(passes.run(plan), larger, group)
        size = larger.width or 0, larger.height or 0
        begin = start.again(self._stages, latents, *size, group.denoising_strength)
        made = passes.run(Sampling(larger, told, begin, second, run, self._inputs.refiner))
        return self._family.to_images(self._stages.decode(made), *size)

    def _laid_out(self, request: GenerationRequest, begin: Start) -> Timeline | None:
        return lay_out(self._parts, request, begin, self._inputs.samplers)

    def _told(self, request: GenerationRequest, run: Pass) -> Conditioning:
        key = text_key(self._adapters)

        def work() -> Conditioning:
            # Another precision is not what the cache's texts were encoded in.
            known = key if self._parts.dtype == self._dtype else None
            return self._family.encode(self._parts, request, run, known)

        return self._stages.encode_text(work)

    def _begin(self, canvas: Canvas | None) -> Start:
        request = self._request
        if canvas is None or request.img2img is None:
            return start.from_noise(self._stages, request.width or 0, request.height or 0)
        return start.from_picture(self._stages, canvas, request.img2img)

    def _passes(self, steps: int) -> Passes:
        counter = Counter(self._parts, steps, self._preview, self._report)
        return Passes(self._stages, self._adapters, counter, self._first, self._count)

    def _pictures(
        self, canvas: Canvas | None, begin: Start, latents: torch.Tensor
    ) -> list[Image.Image]:
        size = self._request.width or 0, self._request.height or 0
        images = self._family.to_images(self._stages.decode(latents), *size)
        if canvas is None:
            return images
        masks = self._soft_masks(begin, latents, size)
        return [canvas.finish(image, mask) for image, mask in zip(images, masks, strict=True)]

    def _soft_masks(
        self, begin: Start, latents: torch.Tensor, size: tuple[int, int]
    ) -> list[Image.Image | None]:
        if begin.soft is None or begin.clean is None or begin.pixel_mask is None:
            return [None] * len(latents)
        mask = begin.pixel_mask
        shares = soft.composite_mask(
            begin.clean, latents, mask, (mask.shape[-2], mask.shape[-1]), begin.soft
        )
        levels = (shares[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
        return [cut(Image.fromarray(each), *size) for each in levels]

    def _enlarged(
        self, latents: torch.Tensor, larger: GenerationRequest, group: Hires
    ) -> torch.Tensor:
        """The first pass's pictures at the size of the second, as latents."""
        width, height = larger.width or 0, larger.height or 0
        shape = self._family.latent_shape(self._parts, width, height)
        row = find_latent_upscaler(group.upscaler)
        if row is not None:
            self._report(Progress(Stage.UPSCALING))
            tiling = self._request.tiling
            wrap = (tiling in ("both", "x"), tiling in ("both", "y"))
            return hires.enlarge_latents(latents, row, shape, wrap)
        upscaler = find_upscaler(group.upscaler, self._inputs)
        small = self._request.width or 0, self._request.height or 0
        images = self._family.to_images(self._stages.decode(latents), *small)
        covering = hires.covering(small, (width, height))
        side = self._family.scale(self._parts)
        pixels = []
        for image in images:
            large = self._upscaled(upscaler, image, covering)
            pixels.append(start.to_pixels(cut(large, width, height), side))
        return self._stages.encode_picture(torch.cat(pixels).to(self._parts.device))

    def _upscaled(
        self, upscaler: Upscaler, image: Image.Image, size: tuple[int, int]
    ) -> Image.Image:
        def check() -> None:
            self._report(Progress(Stage.UPSCALING))

        check()
        large = upscaler.upscale(image, *size, check)
        if large.size != size:
            found = f"{large.width} x {large.height}"
            expected = f"{size[0]} x {size[1]}"
            raise UserError(
                "error.upscaler.failed", name=upscaler.name, found=found, expected=expected
            )
        return large.convert("RGB")


def find_upscaler(name: str, inputs: Inputs) -> Upscaler:
    """The upscaler of pictures of that name, in any case.

    Raises:
        UnknownNameError: lists those that exist.
    """
    wanted = " ".join(name.split()).casefold()
    for known, upscaler in inputs.upscalers.items():
        if known.casefold() == wanted:
            return upscaler
    names = [*(row.name for row in LATENT_UPSCALERS), *inputs.upscalers]
    raise UnknownNameError("error.upscaler.unknown", found=name, known=", ".join(names))


def _check(parts: Parts, request: GenerationRequest, inputs: Inputs) -> None:
    """Everything that can be known before the model is touched."""
    if not (request.width and request.height and request.steps and request.sampler):
        raise ValueError(f"the request is not resolved: {request!r}")
    if request.cfg_scale is None:
        raise ValueError(f"the request is not resolved: {request!r}")
    varied = request.varies and request.variation is not None and request.variation.seed < 0
    if request.seed < 0 or varied:
        raise ValueError("the seed is not drawn")
    if request.hires is not None:
        if request.img2img is not None:
            raise UserError("error.hires.img2img")
        if find_latent_upscaler(request.hires.upscaler) is None:
            find_upscaler(request.hires.upscaler, inputs)
    if request.refiner is not None and inputs.refiner is None:
        raise ValueError("the refiner is not handed in")
    if inputs.refiner is not None:
        capabilities.check_refiner(parts.family, inputs.refiner.family, inputs.refiner.card_name)
        own, other = parts.unet.config.in_channels, inputs.refiner.unet.config.in_channels
        if own != other:
            raise UserError(
                "error.refiner.parts", name=inputs.refiner.card_name, found=other, expected=own
            )
