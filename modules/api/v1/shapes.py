"""What clients send. Unknown keys are ignored, null is the default, numbers may be sent as text and the other way round.

The defaults are those of the A1111 family's API, which differ from its page's.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from modules.schema.received import Received

MOST_TEXT = 200_000
MOST_IMAGES = 100


Text = Annotated[str, Field(max_length=MOST_TEXT)]
Name = Annotated[str, Field(max_length=500)]
Whole = Annotated[int, Field(ge=-(2**63), le=2**63)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Image = Annotated[str, Field(description="base64, with or without `data:image/…;base64,`")]


class Sent(Received):
    """What all bodies share."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=False)


class Generate(Sent):
    """The fields that txt2img and img2img share."""

    prompt: Text | None = ""
    negative_prompt: Text | None = ""
    styles: list[Name] | None = Field(None, max_length=100)
    seed: Whole | None = -1
    subseed: Whole | None = -1
    subseed_strength: Number | None = 0
    seed_resize_from_h: Whole | None = -1
    seed_resize_from_w: Whole | None = -1
    sampler_name: Name | None = None
    sampler_index: Name | None = Field("Euler", description="where sampler_name is null")
    scheduler: Name | None = None
    batch_size: Whole | None = 1
    n_iter: Whole | None = 1
    steps: Whole | None = 50
    cfg_scale: Number | None = 7.0
    distilled_cfg_scale: Number | None = 3.5
    width: Whole | None = 512
    height: Whole | None = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool | None = False
    do_not_save_grid: bool | None = False
    eta: Number | None = None
    denoising_strength: Number | None = 0.75
    s_min_uncond: Number | None = None
    s_churn: Number | None = None
    s_tmax: Number | None = None
    s_tmin: Number | None = None
    s_noise: Number | None = None
    override_settings: dict[str, JsonValue] | None = None
    override_settings_restore_afterwards: bool | None = True
    refiner_checkpoint: Name | None = None
    refiner_switch_at: Number | None = None
    disable_extra_networks: bool | None = False
    comments: dict[str, JsonValue] | None = None
    script_name: Name | None = None
    script_args: list[JsonValue] | None = Field(default_factory=list)
    alwayson_scripts: dict[str, JsonValue] | None = Field(default_factory=dict)
    send_images: bool | None = True
    save_images: bool | None = False
    force_task_id: Annotated[str, Field(max_length=200)] | None = None
    infotext: Text | None = None


class Txt2Img(Generate):
    """`/txt2img`."""

    enable_hr: bool | None = False
    firstphase_width: Whole | None = 0
    firstphase_height: Whole | None = 0
    hr_scale: Number | None = 2.0
    hr_upscaler: Name | None = None
    hr_second_pass_steps: Whole | None = 0
    hr_resize_x: Whole | None = 0
    hr_resize_y: Whole | None = 0
    hr_checkpoint_name: Name | None = None
    hr_sampler_name: Name | None = None
    hr_scheduler: Name | None = None
    hr_prompt: Text | None = ""
    hr_negative_prompt: Text | None = ""
    hr_cfg: Number | None = None
    hr_distilled_cfg: Number | None = None
    hr_additional_modules: list[Name] | None = None
    firstpass_image: Image | None = None


class Img2Img(Generate):
    """`/img2img`."""

    init_images: list[Image] | None = Field(None, max_length=MOST_IMAGES)
    resize_mode: Whole | None = 0
    image_cfg_scale: Number | None = None
    mask: Image | None = None
    mask_blur_x: Whole | None = 4
    mask_blur_y: Whole | None = 4
    mask_blur: Whole | None = None
    mask_round: bool | None = True
    inpainting_fill: Whole | None = 0
    inpaint_full_res: bool | None = True
    inpaint_full_res_padding: Whole | None = 0
    inpainting_mask_invert: Whole | bool | None = 0  # a switch that began as a number
    initial_noise_multiplier: Number | None = None
    latent_mask: Image | None = None
    include_init_images: bool | None = False


Share = Annotated[float, Field(ge=0, le=1)]


class Extras(Sent):
    """What `/extra-single-image` and `/extra-batch-images` share."""

    resize_mode: Annotated[int, Field(ge=0, le=1)] = 0
    show_extras_results: bool = True
    gfpgan_visibility: Share = 0
    codeformer_visibility: Share = 0
    codeformer_weight: Share = 0
    upscaling_resize: Annotated[float, Field(gt=0, le=100)] = 2
    upscaling_resize_w: Annotated[int, Field(ge=1, le=65536)] = 512
    upscaling_resize_h: Annotated[int, Field(ge=1, le=65536)] = 512
    upscaling_crop: bool = True
    upscaler_1: Name = "None"
    upscaler_2: Name = "None"
    extras_upscaler_2_visibility: Share = 0
    upscale_first: bool = False


class ExtrasSingle(Extras):
    """`/extra-single-image`."""

    image: Image = ""


class NamedImage(Sent):
    """One picture of a batch."""

    data: Image
    name: Name = ""


class ExtrasBatch(Extras):
    """`/extra-batch-images`."""

    imageList: Annotated[list[NamedImage], Field(max_length=MOST_IMAGES)]


class PngInfo(Sent):
    """`/png-info`."""

    image: Image


class Interrogate(Sent):
    """`/interrogate`."""

    image: Image | None = ""
    model: Name | None = "clip"


class Created(Sent):
    """`/create/…` and `/train/…`, which are refused whatever they ask."""


class Watched(Sent):
    """`/internal/progress`."""

    id_task: Annotated[str, Field(max_length=200)] | None = None
    id_live_preview: Whole | None = -1
    live_preview: bool | None = True


class Generated(BaseModel):
    """The answer of txt2img and img2img."""

    images: list[str] = Field(description="bare base64, the infotext in each")
    parameters: dict[str, Any] = Field(description="the request")
    info: str = Field(description="JSON")
