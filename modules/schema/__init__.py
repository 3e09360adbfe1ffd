"""The words that all rooms share: frozen data, no torch, no gradio."""

from modules.schema.events import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    Stage,
    StageChanged,
    StepDone,
    Warned,
    event_from_dict,
)
from modules.schema.job import Job, JobState, Picture
from modules.schema.model_card import ModelCard, ModelDefaults, SizeLimits
from modules.schema.request import GenerationRequest, Limits

__all__ = [
    "Event",
    "Failed",
    "Finished",
    "GenerationRequest",
    "ImageSaved",
    "Job",
    "JobState",
    "Limits",
    "ModelCard",
    "ModelDefaults",
    "Picture",
    "SizeLimits",
    "Stage",
    "StageChanged",
    "StepDone",
    "Warned",
    "event_from_dict",
]
