"""The groups of a request that a plain txt2img leaves alone: each is one frozen value, None where it is not used."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from modules.schema.received import Received

MAX_SEED = 2**32 - 1
RANDOM_SEED = -1
MIN_SIGMA, MAX_SIGMA = 1e-5, 1e5
"""Noise levels that a request may name: beyond them powers and logarithms run out of bounds."""
MAX_TEXT = 200_000
"""Characters of another picture's text that a request carries."""

Size = Annotated[int, Field(ge=8, le=65536)]
InputId = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of a picture in the inputs folder")
]
Share = Annotated[float, Field(ge=0, le=1)]

ResizeMode = Literal["just_resize", "crop_and_resize", "resize_and_fill", "latent_upscale"]
MaskMode = Literal["masked", "not_masked"]
MaskedContent = Literal["fill", "original", "latent_noise", "latent_nothing"]
InpaintArea = Literal["whole_picture", "only_masked"]


class Group(Received):
    """What all groups share: frozen, no unknown keys, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SoftInpainting(Group):
    """Blend by how much the picture really changes, instead of by a hard mask."""

    schedule_bias: float = Field(default=1.0, ge=0, le=8)
    preservation_strength: float = Field(default=0.5, ge=0, le=8)
    transition_contrast_boost: float = Field(default=4.0, ge=1, le=32)
    mask_influence: Share = 0.0
    difference_threshold: float = Field(default=0.5, ge=0, le=8)
    difference_contrast: float = Field(default=2.0, ge=0, le=8)


class Inpaint(Group):
    """Which part of `Img2Img.image` is made anew. White (255) in the mask is what changes, unless `mode` turns it."""

    mask: InputId
    mode: MaskMode = "masked"
    blur: int = Field(default=4, ge=0, le=64, description="pixels, Gaussian")
    content: MaskedContent = "original"
    area: InpaintArea = "whole_picture"
    padding: int = Field(default=32, ge=0, le=256, description="pixels around, for only_masked")
    soft: SoftInpainting | None = None


class Outpaint(Group):
    """Pixels to add at each side of the picture at `width` x `height`; what is added is made anew, the rest stays.

    The mask of what is made anew is blurred, so a seam `blur` pixels wide goes into the picture as well.
    """

    left: int = Field(default=0, ge=0, le=2048)
    right: int = Field(default=0, ge=0, le=2048)
    up: int = Field(default=0, ge=0, le=2048)
    down: int = Field(default=0, ge=0, le=2048)
    blur: int = Field(default=8, ge=0, le=64)


class Img2Img(Group):
    """Begin with a picture instead of noise alone. It is brought to the request's `width` x `height` first.

    The result has that size, or with `Inpaint.area` "only_masked" the size of the picture itself.
    """

    image: InputId
    denoising_strength: Share = 0.75
    resize_mode: ResizeMode = "just_resize"
    inpaint: Inpaint | None = None
    outpaint: Outpaint | None = None
    full_steps: bool = Field(
        default=False,
        description="run `steps` steps; else int(steps x denoising strength) + 1, as the A1111 family does",
    )
    image_cfg_scale: float = Field(
        default=1.5, ge=0, le=100, description="InstructPix2Pix models only"
    )
    noise_multiplier: float = Field(default=1.0, ge=0, le=1.5)
    extra_noise: Share = 0.0
    color_correction: bool = False


class Hires(Group):
    """A second pass at a larger size. Fields that are None or 0 are as in the first pass."""

    upscaler: str = "Latent"
    scale: float = Field(default=2.0, ge=1, le=8)
    width: int = Field(default=0, ge=0, le=65536, description="0: from `scale`")
    height: int = Field(default=0, ge=0, le=65536)
    steps: int = Field(default=0, ge=0, description="0: as many as the first pass")
    denoising_strength: Share = 0.7
    sampler: str | None = None
    schedule: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels of the second pass, for a first one of `width` x `height`. One given side keeps the shape."""
        match self.width, self.height:
            case 0, 0:
                return int(width * self.scale), int(height * self.scale)
            case wide, 0:
                return wide, max(8, wide * height // width)
            case 0, high:
                return max(8, high * width // height), high
            case wide, high:
                return wide, high


class Refiner(Group):
    """Another checkpoint takes over once a share of the noise levels that models are trained on is passed.

    With a schedule that follows these levels evenly that is the share of the steps.
    """

    model: str
    switch_at: Annotated[float, Field(gt=0, le=1)] = 0.8


class Variation(Group):
    """Blend the noise of `seed` towards that of another seed."""

    seed: int = Field(default=RANDOM_SEED, ge=-1, le=MAX_SEED)
    strength: Share = 0.0


class SeedResize(Group):
    """Draw the noise at this size, so that a picture of another size resembles the one of this size."""

    width: Size
    height: Size


class SamplerOptions(Group):
    """Fine settings of samplers and schedules; None is what the sampler does by itself."""

    eta: Annotated[float, Field(ge=0, le=2)] | None = None
    s_churn: float = Field(default=0.0, ge=0, le=100)
    s_tmin: float = Field(default=0.0, ge=0, le=MAX_SIGMA)
    s_tmax: float | None = Field(default=None, ge=0, le=MAX_SIGMA)
    s_noise: float = Field(default=1.0, ge=0, le=2)
    sigma_min: Annotated[float, Field(ge=MIN_SIGMA, le=MAX_SIGMA)] | None = None
    sigma_max: Annotated[float, Field(ge=MIN_SIGMA, le=MAX_SIGMA)] | None = None
    rho: Annotated[float, Field(ge=0.1, le=100)] | None = None
    beta_alpha: Annotated[float, Field(ge=0.01, le=10)] | None = None
    beta_beta: Annotated[float, Field(ge=0.01, le=10)] | None = None
    discard_next_to_last_sigma: bool = False
    eta_noise_seed_delta: int = Field(default=0, ge=0, le=MAX_SEED, description="ENSD")


class Postprocess(Group):
    """A picture that is there already goes through the steps of extensions (finishers), and no other is made.

    What it said of itself stays in the result's text.
    """

    image: InputId
    name: str = Field(default="", max_length=200, description="of its file, for people")
    infotext: str = Field(default="", max_length=MAX_TEXT)


class Guidance(Group):
    """How the prompt's pull acts beyond `cfg_scale`."""

    rescale: Share = Field(default=0.0, description="arXiv 2305.08891, section 3.4")
    start: Share = Field(default=0.0, description="share of the steps before which there is none")
    end: Share = Field(default=1.0, description="share of the steps after which there is none")
