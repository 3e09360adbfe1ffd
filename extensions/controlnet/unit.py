"""One unit: a picture, what is made of it, and how strongly it steers.

Field names are those of the field's API; the values that its programs send (names, numbers, old names) are understood.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from modules.plugins import problem

MOST_UNITS = 16

ResizeMode = Literal["just_resize", "crop_and_resize", "resize_and_fill"]
ControlMode = Literal["balanced", "prompt", "control"]
HrOption = Literal["both", "low_res_only", "high_res_only"]

RESIZE_LABELS = ("Just Resize", "Crop and Resize", "Resize and Fill")
CONTROL_LABELS = ("Balanced", "My prompt is more important", "ControlNet is more important")
HR_LABELS = ("Both", "Low res only", "High res only")
_OLD_RESIZES = {
    "inner fit (scale to fit)": "crop_and_resize",
    "scale to fit (inner fit)": "crop_and_resize",
    "outer fit (shrink to fit)": "resize_and_fill",
    "envelope (outer fit)": "resize_and_fill",
    "just resize": "just_resize",
}


def _chosen(kind: Any, labels: tuple[str, ...], old: dict[str, str] | None = None) -> Any:
    values = get_args(kind)

    def read(given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(values):
            return values[given]
        if isinstance(given, str):
            plain = given.strip().casefold()
            for value, label in zip(values, labels, strict=True):
                if plain in (value, label.casefold()):
                    return value
            return (old or {}).get(plain, given)
        return given

    return BeforeValidator(read)


class Unit(BaseModel):
    """A picture that steers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = True
    image: str = Field(default="", max_length=64, description="Id of the picture (/ui/inputs).")
    mask_image: str = Field(
        default="",
        max_length=64,
        description="Id of the mask: white is where the unit acts, or what is to be painted anew.",
    )
    module: str = Field(default="none", max_length=80, description="The preprocessor.")
    model: str = Field(default="None", max_length=300, description="The file in models/controlnet.")
    weight: float = Field(default=1.0, ge=0, le=2)
    guidance_start: float = Field(default=0.0, ge=0, le=1)
    guidance_end: float = Field(default=1.0, ge=0, le=1)
    control_mode: Annotated[ControlMode, _chosen(ControlMode, CONTROL_LABELS)] = "balanced"
    resize_mode: Annotated[ResizeMode, _chosen(ResizeMode, RESIZE_LABELS, _OLD_RESIZES)] = (
        "crop_and_resize"
    )
    hr_option: Annotated[HrOption, _chosen(HrOption, HR_LABELS)] = "both"
    pixel_perfect: bool = Field(
        default=False, description="The preprocessor works at the size of the result."
    )
    processor_res: int = Field(
        default=-1, ge=-1, le=4096, description="Shorter side for the preprocessor; -1 is 512."
    )
    threshold_a: float = Field(default=-1, ge=-1, le=4096, description="-1 is the usual.")
    threshold_b: float = Field(default=-1, ge=-1, le=4096, description="-1 is the usual.")
    save_detected_map: bool = Field(
        default=False, description="Keep what the preprocessor made with the result."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Unit":
        if self.guidance_start > self.guidance_end:
            start, end = f"{self.guidance_start:g}", f"{self.guidance_end:g}"
            raise problem(
                f"A ControlNet unit starts (guidance_start {start}) after it ends (guidance_end {end}). Make the start the smaller one.",
                f"有 ControlNet 单元的起始步（guidance_start {start}）晚于结束步（guidance_end {end}）。请让起始步更小。",
            )
        return self

    @property
    def has_model(self) -> bool:
        """Whether a file is named."""
        return self.model.strip().casefold() not in ("", "none")

    @property
    def acts(self) -> bool:
        """Whether it changes anything: one that is switched off, or of weight 0, does not."""
        return self.enabled and self.has_model and self.weight > 0
