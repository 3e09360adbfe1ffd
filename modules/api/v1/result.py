"""The answer: pictures as base64, and `info`, the JSON in which clients look for seeds and texts."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from modules.api.v1.answers import plain
from modules.errors import UserError
from modules.imaging import export, infotext
from modules.schema import GenerationRequest, Job, JobState, Picture

if TYPE_CHECKING:
    from modules.services.front import Studio

_IN_THE_TEXT = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Seed",
    "Size",
    "Model hash",
    "Model",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Version",
)
"""What has a place of its own in `info`."""


class Info(BaseModel):
    """What stands in it beside what `info` puts there."""

    model_config = ConfigDict(extra="allow")

    styles: list[str] = Field(
        default_factory=list, description="empty: their words are in the prompt by then"
    )


def check_ended(jobs: Sequence[Job]) -> None:
    """Refuse to call it a success when a job failed.

    Raises:
        UserError: what became of it.
    """
    for job in jobs:
        if job.state is JobState.FAILED:
            raise UserError.from_dict(job.error or {"key": "error.job.silent"})


def encoded(studio: "Studio", picture: Picture, suffix: str) -> str:
    """The file of a picture in base64, as it is or in another format."""
    path = studio.picture_file(picture.id)
    data = path.read_bytes() if suffix == ".png" else export.convert(path, suffix)
    return base64.b64encode(data).decode("ascii")


def encoded_image(image: Image.Image) -> str:
    """A picture in memory, as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def info(jobs: Sequence[Job], warnings: Iterable[UserError], version: str) -> str:
    """The JSON text."""
    pictures = [picture for job in jobs for picture in job.pictures]
    first = jobs[0]
    request = first.request
    texts = [infotext.read(picture.infotext) for picture in pictures]
    said = dict(texts[0].parameters) if texts else {}
    told = [each.message() for each in warnings]
    told += [UserError.from_dict(each).message() for job in jobs for each in job.warnings]
    strength = request.img2img or request.hires
    found: dict[str, Any] = {
        "prompt": texts[0].prompt if texts else request.prompt,
        "all_prompts": [text.prompt for text in texts] or [request.prompt],
        "negative_prompt": texts[0].negative_prompt if texts else request.negative_prompt,
        "all_negative_prompts": [text.negative_prompt for text in texts]
        or [request.negative_prompt],
        "seed": request.seed,
        "all_seeds": [picture.seed for picture in pictures] or [request.seed],
        "subseed": request.variation_seed_of(0),
        "all_subseeds": _subseeds(jobs) or [request.variation_seed_of(0)],
        "subseed_strength": request.variation.strength if request.variation else 0,
        "width": request.width,
        "height": request.height,
        "sampler_name": said.get("Sampler", request.sampler),
        "cfg_scale": request.cfg_scale,
        "steps": request.steps,
        "batch_size": request.batch_size if len(jobs) == 1 else len(jobs),
        "restore_faces": any("face restoration" in key.casefold() for key in said),
        "face_restoration_model": said.get("Postprocess face restoration"),
        "sd_model_name": request.model,
        "sd_model_hash": said.get("Model hash", ""),
        "sd_vae_name": request.vae,
        "sd_vae_hash": said.get("VAE hash"),
        **_resize(request),
        "denoising_strength": strength.denoising_strength if strength else None,
        "extra_generation_params": {
            key: value for key, value in said.items() if key not in _IN_THE_TEXT
        },
        "index_of_first_image": 0,
        "infotexts": [picture.infotext for picture in pictures],
        "job_timestamp": timestamp(first),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": bool(request.img2img and request.img2img.inpaint),
        "version": version,
        "warnings": told,
        "interrupted": any(job.state is JobState.CANCELLED for job in jobs),
        "job_ids": [job.id for job in jobs],
    }
    whole = Info.model_validate(found).model_dump()
    return json.dumps(plain(whole), allow_nan=False)


def timestamp(job: Job) -> str:
    """When it was asked for, as the family writes it."""
    return datetime.fromtimestamp(job.created).strftime("%Y%m%d%H%M%S")


def _subseeds(jobs: Sequence[Job]) -> list[int]:
    return [
        job.request.variation_seed_of(picture.index) for job in jobs for picture in job.pictures
    ]


def _resize(request: GenerationRequest) -> dict[str, int]:
    found = request.seed_resize
    return {
        "seed_resize_from_w": found.width if found else -1,
        "seed_resize_from_h": found.height if found else -1,
    }
