"""What is known of a model without loading it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SizeLimits(BaseModel):
    """Sides in pixels that the model can make sense of."""

    model_config = ConfigDict(frozen=True)

    minimum: int = 256
    maximum: int = 2048
    multiple: int = 8


class ModelDefaults(BaseModel):
    """What a request gets where it says nothing; the values of Stable Diffusion 1.x unless a card says otherwise."""

    model_config = ConfigDict(frozen=True)

    width: int = 512
    height: int = 512
    steps: int = 20
    cfg_scale: float = 7.0
    sampler: str = "euler_a"
    schedule: str = "default"


class ModelCard(BaseModel):
    """One checkpoint as `library.scan` found it (`card.json` in its folder, or what its header shows)."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="unique; what requests and the command line use")
    title: str
    family: str
    variant: str = Field(
        default="base",
        description="inpaint: reads a mask and the masked picture too; edit: the picture to be edited",
    )
    path: Path
    size_bytes: int
    prediction_type: str = "epsilon"
    defaults: ModelDefaults = ModelDefaults()
    size_limits: SizeLimits = SizeLimits()
    preview: str | None = Field(
        default=None, description="sub-folder with an AutoencoderTiny for previews"
    )
    licence: str = ""
    description: dict[str, str] = Field(default_factory=dict, description="by language")
    examples: tuple[str, ...] = ()
