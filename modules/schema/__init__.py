"""The words that all rooms share: frozen data, no torch, no gradio."""

from modules.schema.events import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    InputsKept,
    Stage,
    StageChanged,
    StepDone,
    Warned,
    event_from_dict,
)
from modules.schema.job import Job, JobState, Picture
from modules.schema.layout import Cell, Layout, LayoutAxis
from modules.schema.model_card import ModelCard, ModelDefaults, SizeLimits
from modules.schema.options import (
    Guidance,
    Hires,
    Img2Img,
    Inpaint,
    Outpaint,
    Postprocess,
    Refiner,
    SamplerOptions,
    SeedResize,
    SoftInpainting,
    Variation,
)
from modules.schema.request import GenerationRequest, Limits

__all__ = [
    "Cell",
    "Event",
    "Failed",
    "Finished",
    "GenerationRequest",
    "Guidance",
    "Hires",
    "ImageSaved",
    "Img2Img",
    "Inpaint",
    "InputsKept",
    "Job",
    "JobState",
    "Layout",
    "LayoutAxis",
    "Limits",
    "ModelCard",
    "ModelDefaults",
    "Outpaint",
    "Picture",
    "Postprocess",
    "Refiner",
    "SamplerOptions",
    "SeedResize",
    "SizeLimits",
    "SoftInpainting",
    "Stage",
    "StageChanged",
    "StepDone",
    "Variation",
    "Warned",
    "event_from_dict",
]
