"""What somebody asked for: one frozen value from click to picture."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from modules.errors import LimitError

MAX_SEED = 2**32 - 1
RANDOM_SEED = -1

Size = Annotated[int, Field(ge=8, le=65536)]


class Limits(BaseModel):
    """The most that this installation does for one request; part of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side: int = 64
    max_side: int = 2048
    max_pixels: int = Field(
        default=64_000_000, description="width x height x pictures of one request"
    )
    max_steps: int = 150
    max_batch_size: int = 16
    max_batch_count: int = 100
    max_prompt: int = Field(default=32_768, description="characters of a prompt")


class GenerationRequest(BaseModel):
    """One txt2img request, as the page, the API and the command line submit it and the PNG keeps it.

    `None` means "what the model's card says". `extras` holds the options of extensions by extension name, as
    plain JSON; the extension's own typed class checks them (`modules.plugins`). Sizes are pixels of the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str = ""
    model: str | None = Field(
        default=None, description="name of a checkpoint; None is the default one"
    )
    width: Size | None = None
    height: Size | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    sampler: str | None = None
    schedule: str | None = None
    seed: int = Field(default=RANDOM_SEED, ge=-1, le=MAX_SEED, description="-1 draws one")
    batch_size: int = Field(default=1, ge=1, description="pictures made together")
    batch_count: int = Field(default=1, ge=1, description="how often that is repeated")
    clip_skip: int = Field(default=1, ge=1, le=12)
    extras: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _encodable(cls, text: str) -> str:
        # A lone surrogate (half an emoji from a broken client) can be neither stored nor shown.
        return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")

    @property
    def pictures(self) -> int:
        """How many pictures the request makes in all."""
        return self.batch_size * self.batch_count

    def seed_of(self, index: int) -> int:
        """The seed of picture `index` (0-based over all batches), wrapping at 2**32."""
        return (self.seed + index) % (MAX_SEED + 1)

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
        )
        for name, value, least, most in bounds:
            if value is not None and not least <= value <= most:
                raise LimitError("error.limit", field=name, found=value, least=least, most=most)
        for name, text in (("prompt", self.prompt), ("negative_prompt", self.negative_prompt)):
            if len(text) > limits.max_prompt:
                raise LimitError(
                    "error.limit.prompt", field=name, found=len(text), most=limits.max_prompt
                )
        pixels = (self.width or 0) * (self.height or 0) * self.pictures
        if pixels > limits.max_pixels:
            raise LimitError("error.limit.pixels", found=pixels, most=limits.max_pixels)
