"""`/controlnet/…`: what is here, and preprocessors, as programs of the field ask for them."""

import base64
import io
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from modules.plugins import Host, UserError, problem

from .files import models, title
from .modules_list import MODULES, module_named
from .preview import previewed, told
from .unit import MOST_UNITS, Unit

MOST_IMAGES = 16


class Detect(BaseModel):
    """The body of `/controlnet/detect`."""

    controlnet_module: str = "none"
    controlnet_input_images: list[str] = Field(default_factory=list, max_length=MOST_IMAGES)
    controlnet_images: list[str] = Field(default_factory=list, max_length=MOST_IMAGES)
    controlnet_masks: list[str] = Field(default_factory=list, max_length=MOST_IMAGES)
    controlnet_processor_res: int = Field(default=-1, ge=-1, le=4096)
    controlnet_threshold_a: float = Field(default=-1, ge=-1, le=4096)
    controlnet_threshold_b: float = Field(default=-1, ge=-1, le=4096)
    low_vram: bool = False


def router(host: Host, queue: Any) -> APIRouter:
    """The routes."""
    made = APIRouter()

    @made.get("/controlnet/version")
    def version() -> dict[str, int]:
        return {"version": 2}

    @made.get("/controlnet/settings")
    def settings() -> dict[str, int]:
        return {"control_net_unit_count": MOST_UNITS}

    @made.get("/controlnet/model_list")
    def model_list(update: bool = True) -> dict[str, list[str]]:
        return {"model_list": _titles(host)}

    @made.get("/controlnet/module_list")
    def module_list(alias_names: bool = False) -> dict[str, Any]:
        return {
            "module_list": [module.name for module in MODULES],
            "module_detail": {
                module.name: {
                    "model_free": module.weights is None,
                    "sliders": [
                        {
                            "name": slider.name,
                            "value": slider.value,
                            "min": slider.low,
                            "max": slider.high,
                            "step": slider.step,
                        }
                        for slider in module.sliders
                    ],
                }
                for module in MODULES
            },
        }

    @made.get("/controlnet/control_types")
    def control_types() -> dict[str, Any]:
        return {"control_types": _types(host)}

    @made.post("/controlnet/detect")
    def detect(sent: Detect, request: Request) -> dict[str, Any]:
        return _detected(host, queue, sent, request)

    @made.post("/controlnet/render_openpose_json")
    def render_openpose_json(sent: Annotated[list[Any], Body(max_length=MOST_IMAGES)]) -> Any:
        return _rendered(sent)

    @made.post("/controlnet/preview")
    def preview(request: Request, asked: Annotated[Any, Body()] = None) -> Response:
        try:
            image = previewed(host, asked, lambda name: queue.check(name, request))
        except UserError as error:
            # An answer like any other of the panel's: a browser would write a status into its console.
            return JSONResponse(told(error), headers={"Cache-Control": "no-store"})
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return Response(
            buffer.getvalue(), media_type="image/png", headers={"Cache-Control": "no-store"}
        )

    return made


def _titles(host: Host) -> list[str]:
    return [title(name, path) for name, path in models(host).items()]


def _types(host: Host) -> dict[str, Any]:
    titles = _titles(host)
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(module.type for module in MODULES):
        names = [module.name for module in MODULES if kind in ("All", module.type)]
        word = kind.casefold()
        fitting = [one for one in titles if kind == "All" or word in one.casefold()]
        found[kind] = {
            "module_list": names if "none" in names else ["none", *names],
            "model_list": ["None", *fitting],
            "default_option": names[0],
            "default_model": fitting[0] if fitting and kind != "All" else "None",
        }
    return found


def _detected(host: Host, queue: Any, sent: Detect, caller: Request) -> dict[str, Any]:
    from .maps import preprocessed

    module = module_named(sent.controlnet_module)
    pictures = sent.controlnet_input_images or sent.controlnet_images
    if not pictures:
        raise problem("No image selected", "未选择图片")
    answers = []
    for number, picture in enumerate(pictures):
        masks = sent.controlnet_masks
        unit = Unit(
            image=queue.keep(picture, caller),
            mask_image=queue.keep(masks[number], caller) if number < len(masks) else "",
            module=module.name,
            processor_res=sent.controlnet_processor_res,
            threshold_a=sent.controlnet_threshold_a,
            threshold_b=sent.controlnet_threshold_b,
        )
        answers.append(_base64(preprocessed(host, unit, (512, 512), aside=True)))
    return {"images": answers, "info": "Success"}


def _rendered(sent: list[Any]) -> dict[str, Any]:
    """Poses as pictures, one for each frame."""
    from .pose import Frame, drawn  # cv2: the page starts without it

    if not sent:
        raise problem("No pose data detected", "没有姿态数据")
    try:
        frames = [Frame.model_validate(each) for each in sent]
    except ValidationError as error:
        first = error.errors()[0]
        where, why = ".".join(str(each) for each in first["loc"]) or "pose", first["msg"]
        raise problem(f"{where}: {why}.", f"{where}：{why}。") from error
    return {"images": [_base64(drawn(each)) for each in frames], "info": "Success"}


def _base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
