"""What somebody asked for: one frozen value from click to picture."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from modules.errors import LimitError
from modules.schema.options import (
    MAX_SEED,
    RANDOM_SEED,
    Guidance,
    Hires,
    Img2Img,
    Postprocess,
    Refiner,
    SamplerOptions,
    SeedResize,
    Variation,
)
from modules.schema.received import Received

Side = Annotated[
    int, Field(ge=1, description="pixels; how many are allowed is the installation's to say")
]


class Limits(BaseModel):
    """The most that this installation does for one request; part of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side: int = 64
    max_side: int = 2048
    max_result_side: int = Field(
        default=8192,
        description="after hires fix and outpainting, where a side may exceed max_side",
    )
    max_pixels: int = Field(
        default=64_000_000, description="width x height x pictures of one request"
    )
    max_steps: int = 150
    max_batch_size: int = 16
    max_batch_count: int = 100
    max_cells: int = Field(default=256, description="cells of one grid")
    max_work: int = Field(
        default=20_000, description="megapixels x steps of one request, the second pass included"
    )
    max_prompt: int = Field(default=32_768, description="characters of a prompt")


class GenerationRequest(Received):
    """One txt2img or img2img request, as the page, the API and the command line submit it and the PNG keeps it.

    `None` means "what the model's card says". `extras` holds the options of extensions by extension name, as
    plain JSON; the extension's own typed class checks them (`modules.plugins`). Sizes are pixels of the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str = ""
    model: str | None = Field(
        default=None, description="name of a checkpoint; None is the default one"
    )
    width: Side | None = None
    height: Side | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    sampler: str | None = None
    schedule: str | None = None
    seed: int = Field(default=RANDOM_SEED, ge=-1, le=MAX_SEED, description="-1 draws one")
    batch_size: int = Field(default=1, ge=1, description="pictures made together")
    batch_count: int = Field(default=1, ge=1, description="how often that is repeated")
    clip_skip: int = Field(default=1, ge=1, le=12)
    emphasis: Literal["original", "no_norm", "ignore", "none"] = "original"
    vae: str | None = Field(default=None, description="name of a VAE file; None is the model's own")
    rng: Literal["cpu", "nv"] = Field(
        default="cpu", description="nv: the noise of NVIDIA's generator, on any device"
    )
    variation: Variation | None = None
    seed_resize: SeedResize | None = None
    tiling: Literal["off", "both", "x", "y"] = "off"
    guidance: Guidance = Guidance()
    sampler_options: SamplerOptions = SamplerOptions()
    hires: Hires | None = None
    refiner: Refiner | None = None
    img2img: Img2Img | None = None
    postprocess: Postprocess | None = None
    extras: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _without_nul(cls, text: str) -> str:
        return text.replace("\x00", "")

    @property
    def pictures(self) -> int:
        """How many pictures the request makes in all."""
        return self.batch_size * self.batch_count

    @property
    def work(self) -> float:
        """Megapixels x steps of all its pictures, both passes, as far as they are known: what it costs to make them."""
        steps = self.steps or 0
        cost = (self.width or 0) * (self.height or 0) * steps
        if self.hires is not None:
            wide, high = self.result_size
            cost += wide * high * (self.hires.steps or steps)
        return cost * self.pictures / 1e6

    @property
    def varies(self) -> bool:
        """A variation seed has a say: then it counts up from picture to picture, and the seed stays."""
        return self.variation is not None and self.variation.strength > 0

    def seed_of(self, index: int) -> int:
        """The seed of picture `index` (0-based over all batches), wrapping at 2**32."""
        return self.seed if self.varies else (self.seed + index) % (MAX_SEED + 1)

    def variation_seed_of(self, index: int) -> int:
        """The variation seed of picture `index`, wrapping at 2**32; its own seed where there is no variation."""
        if self.variation is None:
            return self.seed_of(index)
        return (self.variation.seed + index * self.varies) % (MAX_SEED + 1)

    def drawn(self, draw: Callable[[], int]) -> Self:
        """With each random seed (-1) replaced by one that `draw` gives, so that a second run is the same."""
        changes: dict[str, Any] = {}
        if self.seed == RANDOM_SEED:
            changes["seed"] = draw()
        if self.variation is not None and self.variation.seed == RANDOM_SEED:
            changes["variation"] = {**self.variation.model_dump(), "seed": draw()}
        return self.replace(**changes) if changes else self

    @property
    def result_size(self) -> tuple[int, int]:
        """Width and height of what a resolved request makes, except where inpainting puts it into a larger picture."""
        if not self.width or not self.height:
            return 0, 0
        width, height = self.width, self.height
        if self.img2img is not None and self.img2img.outpaint is not None:
            sides = self.img2img.outpaint
            width, height = width + sides.left + sides.right, height + sides.up + sides.down
        return (width, height) if self.hires is None else self.hires.size(width, height)

    @property
    def input_ids(self) -> tuple[str, ...]:
        """The pictures that the request names."""
        if self.postprocess is not None:
            return (self.postprocess.image,)
        if self.img2img is None:
            return ()
        mask = self.img2img.inpaint.mask if self.img2img.inpaint is not None else None
        return (self.img2img.image,) if mask is None else (self.img2img.image, mask)

    def replace(self, **changes: Any) -> Self:
        """A copy with `changes`, validated again (pydantic's `model_copy` would not)."""
        return type(self).model_validate({**self.model_dump(), **changes})

    def check(self, limits: Limits) -> None:
        """Refuse what is beyond `limits`; unset fields are checked once the model's card has filled them.

        Raises:
            LimitError: names the field, what was asked and what is allowed.
        """
        bounds = (
            ("width", self.width, limits.min_side, limits.max_side),
            ("height", self.height, limits.min_side, limits.max_side),
            ("steps", self.steps, 1, limits.max_steps),
            ("batch_size", self.batch_size, 1, limits.max_batch_size),
            ("batch_count", self.batch_count, 1, limits.max_batch_count),
            *self._bounds_of_groups(limits),
        )
        for name, value, least, most in bounds:
            if value is not None and not least <= value <= most:
                raise LimitError("error.limit", field=name, found=value, least=least, most=most)
        texts = {"prompt": self.prompt, "negative_prompt": self.negative_prompt}
        if self.hires is not None:
            texts |= {
                "hires.prompt": self.hires.prompt or "",
                "hires.negative_prompt": self.hires.negative_prompt or "",
            }
        for name, text in texts.items():
            if len(text) > limits.max_prompt:
                raise LimitError(
                    "error.limit.prompt", field=name, found=len(text), most=limits.max_prompt
                )
        wide, high = self.result_size
        pixels = max((self.width or 0) * (self.height or 0), wide * high) * self.pictures
        if pixels > limits.max_pixels:
            raise LimitError("error.limit.pixels", found=pixels, most=limits.max_pixels)

        if self.work > limits.max_work:
            raise LimitError("error.limit.work", found=round(self.work), most=limits.max_work)

    def _bounds_of_groups(self, limits: Limits) -> Iterator[tuple[str, int | None, int, int]]:
        wide, high = self.result_size
        if self.hires is not None:
            yield "hires.steps", self.hires.steps, 0, limits.max_steps
        if self.hires is not None or (self.img2img is not None and self.img2img.outpaint):
            where = "hires" if self.hires is not None else "outpaint"
            for side, value in (("width", wide), ("height", high)):
                # An unset side is checked once it is known.
                yield f"{where}.{side}", value or None, limits.min_side, limits.max_result_side
