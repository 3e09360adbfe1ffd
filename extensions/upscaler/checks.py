"""What can be said against a request before it is queued. No torch."""

from modules.plugins import GenerationRequest, Host

from .files import find
from .options import UpscalerOptions
from .sizes import target


def check_names(host: Host, options: UpscalerOptions) -> None:
    """Look up every upscaler that is named.

    Raises:
        UserError: one is not there; says which are.
    """
    for name in (options.upscaler, options.upscaler_2, options.face):
        find(host, name)


def check_result(host: Host, request: GenerationRequest, options: UpscalerOptions) -> None:
    """Look how large the result would be, where the size of the picture before is known.

    Raises:
        UserError: it would have too many pixels.
    """
    width, height = request.result_size
    if request.postprocess is not None:
        width, height = host.picture_size(request.postprocess.image)
    elif request.img2img is not None and request.img2img.inpaint is not None:
        return  # what is made may be put into a larger picture
    if width and height:
        target(options, width, height)
