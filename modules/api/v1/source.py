"""The picture, the mask and what belongs to them, of img2img."""

from collections.abc import Mapping
from typing import Any

from modules.api.v1.shapes import Img2Img
from modules.errors import UserError
from modules.plugins.script import Keep

_RESIZE = ("just_resize", "crop_and_resize", "resize_and_fill", "latent_upscale")
_CONTENT = ("fill", "original", "latent_noise", "latent_nothing")


def img2img_groups(
    body: Img2Img, usual: Mapping[str, Any], keep: Keep, warnings: list[UserError]
) -> list[dict[str, Any]]:
    """The `img2img` group for each picture that was sent; `usual` is what options say.

    Raises:
        UserError: there is no picture, or one is none.
    """
    if not body.init_images:
        raise UserError("error.v1.init_images")
    if body.latent_mask:
        raise UserError("error.v1.unsupported", field="latent_mask")
    group: dict[str, Any] = {
        **usual,
        "denoising_strength": 0.75 if body.denoising_strength is None else body.denoising_strength,
        "resize_mode": _one_of("resize_mode", body.resize_mode, _RESIZE),
    }
    if body.image_cfg_scale is not None:
        group["image_cfg_scale"] = body.image_cfg_scale
    if body.initial_noise_multiplier is not None:
        group["noise_multiplier"] = body.initial_noise_multiplier
    if body.mask:
        group["inpaint"] = _inpaint(body, keep, warnings)
    return [{**group, "image": keep(image)} for image in body.init_images]


def _inpaint(body: Img2Img, keep: Keep, warnings: list[UserError]) -> dict[str, Any]:
    assert body.mask is not None  # who calls has looked
    whole = body.inpaint_full_res is False
    if body.mask_round is False:
        warnings.append(UserError("error.v1.mask_round"))
    return {
        "mask": keep(body.mask),
        "mode": "not_masked" if body.inpainting_mask_invert else "masked",
        "blur": _blur(body, warnings),
        "content": _one_of("inpainting_fill", body.inpainting_fill, _CONTENT),
        "area": "whole_picture" if whole else "only_masked",
        "padding": body.inpaint_full_res_padding or 0,
    }


def _blur(body: Img2Img, warnings: list[UserError]) -> int:
    if body.mask_blur is not None:
        return body.mask_blur
    across = 4 if body.mask_blur_x is None else body.mask_blur_x
    down = 4 if body.mask_blur_y is None else body.mask_blur_y
    if across != down:
        warnings.append(UserError("error.v1.mask_blur", used=max(across, down)))
    return max(across, down)


def _one_of(name: str, number: int | None, known: tuple[str, ...]) -> str:
    number = 0 if number is None else number
    if not 0 <= number < len(known):
        raise UserError("error.v1.number", field=name, found=number, most=len(known) - 1)
    return known[number]
