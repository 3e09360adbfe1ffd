"""What img2img works on, and what becomes of what it makes: pictures only, no model."""

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from modules.errors import UserError
from modules.imaging import masks
from modules.imaging.color import match_colors
from modules.imaging.masks import Box
from modules.imaging.outpaint import extend
from modules.imaging.resize import fit, opaque
from modules.schema import GenerationRequest, Img2Img


@dataclass(frozen=True)
class Canvas:
    """The part of a picture that the model sees, at the size it makes, and the way back into the whole picture."""

    width: int
    height: int
    """Pixels that the model is to make."""
    image: Image.Image
    """RGB, what the model begins with; `width` x `height` but for "latent_upscale"."""
    mask: Image.Image | None
    """L, `width` x `height`, blurred; 255 is made anew. None: all of it."""
    whole: Image.Image
    """RGB, the picture that the result is put into: what the mask leaves alone."""
    whole_mask: Image.Image | None
    """L, of the size of `whole`."""
    box: Box | None
    """Where in `whole` the canvas lies; None: it is all of it."""
    keep_colors: bool

    def finish(self, made: Image.Image, mask: Image.Image | None = None) -> Image.Image:
        """The result for what the model made of the canvas. Pixels where the mask is 0 are those of `whole`.

        Args:
            made: `width` x `height`.
            mask: instead of the canvas's own, at its size, for soft inpainting.
        """
        if self.keep_colors:
            made = match_colors(made, self.image)
        if self.whole_mask is None:
            return made
        blend = self.whole_mask
        if mask is not None:
            blend = mask if self.box is None else masks.place(_nothing(self.whole), mask, self.box)
        if self.box is not None:
            made = masks.place(self.whole, made, self.box)
        return masks.overlay(self.whole, made, blend)


def prepare(request: GenerationRequest, pictures: Mapping[str, Image.Image]) -> Canvas:
    """The canvas of a resolved img2img request.

    Args:
        pictures: by the ids that the request names; they are left alone.

    Raises:
        UserError: a picture is missing, or the mask is empty.
        ValueError: the request is not resolved, or is no img2img request.
    """
    group = request.img2img
    if group is None or not request.width or not request.height:
        raise ValueError("not a resolved img2img request")
    size = request.width, request.height
    image = opaque(_picture(pictures, group.image))
    mask = _mask(group, pictures, image.size)
    if group.outpaint is not None:
        image, mask = _at(image, mask, size, group)
        image, mask = extend(image, mask, group.outpaint)
        size = image.size
        blur = group.outpaint.blur
    else:
        blur = group.inpaint.blur if group.inpaint is not None else 0
    if mask is None:
        shown = (
            image if group.resize_mode == "latent_upscale" else fit(image, *size, group.resize_mode)
        )
        return Canvas(*size, shown, None, shown, None, None, group.color_correction)
    if masks.is_empty(mask):
        raise UserError("error.mask.empty")
    inpaint = group.inpaint
    if inpaint is not None and inpaint.area == "only_masked" and group.outpaint is None:
        mask = masks.blur(mask, blur)
        box = masks.region(mask, inpaint.padding, *size)
        part = image.crop(box.corners()).resize(size, Image.Resampling.LANCZOS)
        part_mask = mask.crop(box.corners()).resize(size, Image.Resampling.BILINEAR)
        return Canvas(*size, part, part_mask, image, mask, box, group.color_correction)
    image, mask = _at(image, mask, size, group)
    assert mask is not None
    mask = masks.blur(mask, blur)
    return Canvas(*size, image, mask, image, mask, None, group.color_correction)


def _at(
    image: Image.Image, mask: Image.Image | None, size: tuple[int, int], group: Img2Img
) -> tuple[Image.Image, Image.Image | None]:
    """Both at the same size, moved the same way."""
    # Enlarging latents moves pixels as stretching does, and a mask has no latents.
    mode = "just_resize" if group.resize_mode == "latent_upscale" else group.resize_mode
    image = fit(image, *size, mode)
    if mask is not None:
        mask = fit(mask, *size, mode)
        if group.inpaint is None or group.inpaint.soft is None:
            mask = mask.point([0] * masks.THRESHOLD + [255] * (256 - masks.THRESHOLD))
    return image, mask


def _mask(
    group: Img2Img, pictures: Mapping[str, Image.Image], size: tuple[int, int]
) -> Image.Image | None:
    inpaint = group.inpaint
    if inpaint is None:
        return None
    mask = masks.read(_picture(pictures, inpaint.mask), hard=inpaint.soft is None)
    if mask.size != size:
        mask = mask.resize(size, Image.Resampling.NEAREST)
    return masks.invert(mask) if inpaint.mode == "not_masked" else mask


def _picture(pictures: Mapping[str, Image.Image], name: str) -> Image.Image:
    try:
        return pictures[name]
    except KeyError:
        raise UserError("error.input.missing", id=name[:12]) from None


def _nothing(image: Image.Image) -> Image.Image:
    return Image.new("L", image.size, 0)
