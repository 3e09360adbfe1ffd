"""From the words of `txt2img` and `img2img` to a request: one table of options, one way to read them."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from modules.errors import UserError, reason
from modules.schema import GenerationRequest, ModelCard
from modules.schema.problems import explain
from modules.schema.shape import size_like

Say = Callable[[str], str]
Numbers = tuple[Callable[[str], int], Callable[[str], float]]
"""What reads a whole number, and any number."""


class Inputs(Protocol):
    """Where pictures are handed in: `services.handed_in.OwnInputs`, or a server far away."""

    def add(self, data: bytes, name: str = ...) -> str: ...
    def size(self, name: str) -> tuple[int, int]: ...


RESIZE_MODES = ("just_resize", "crop_and_resize", "resize_and_fill", "latent_upscale")
CONTENTS = ("original", "fill", "latent_noise", "latent_nothing")
SIDES = ("left", "right", "up", "down")

_PLAIN = {
    "prompt": "prompt",
    "negative": "negative_prompt",
    "model": "model",
    "vae": "vae",
    "width": "width",
    "height": "height",
    "steps": "steps",
    "cfg": "cfg_scale",
    "sampler": "sampler",
    "schedule": "schedule",
    "seed": "seed",
    "rng": "rng",
    "batch": "batch_count",
    "batch_size": "batch_size",
    "clip_skip": "clip_skip",
    "tiling": "tiling",
}
"""Options by the field that they are."""

_GROUPED = {
    "hires": ("hires", "scale"),
    "hires_upscaler": ("hires", "upscaler"),
    "hires_steps": ("hires", "steps"),
    "hires_denoise": ("hires", "denoising_strength"),
    "refiner": ("refiner", "model"),
    "refiner_at": ("refiner", "switch_at"),
    "variation_seed": ("variation", "seed"),
    "variation_strength": ("variation", "strength"),
    "denoise": ("img2img", "denoising_strength"),
    "resize_mode": ("img2img", "resize_mode"),
}
"""Options by the group and its field; one of them turns the group on."""


def add_arguments(parser: argparse.ArgumentParser, say: Say, numbers: Numbers) -> None:
    """What `txt2img` and `img2img` have in common."""
    whole, real = numbers
    number: dict[str, Any] = {"type": whole, "metavar": "N"}
    share: dict[str, Any] = {"type": real, "metavar": "X"}
    parser.add_argument("--negative", default="", metavar="TEXT", help=say("negative"))
    parser.add_argument("--model", metavar="NAME", help=say("model"))
    parser.add_argument("--vae", metavar="NAME", help=say("vae"))
    parser.add_argument("--width", type=whole, metavar="PIXELS", help=say("width"))
    parser.add_argument("--height", type=whole, metavar="PIXELS", help=say("height"))
    parser.add_argument("--steps", **number, help=say("steps"))
    parser.add_argument("--cfg", **share, help=say("cfg"))
    parser.add_argument("--sampler", metavar="NAME", help=say("sampler"))
    parser.add_argument("--schedule", metavar="NAME", help=say("schedule"))
    parser.add_argument("--seed", default=-1, **number, help=say("seed"))
    parser.add_argument("--rng", choices=("cpu", "nv"), help=say("rng"))
    parser.add_argument("--variation-seed", **number, help=say("variation_seed"))
    parser.add_argument("--variation-strength", **share, help=say("variation_strength"))
    parser.add_argument("--batch", "--batch-count", default=1, **number, help=say("batch"))
    parser.add_argument("--batch-size", default=1, **number, help=say("batch_size"))
    parser.add_argument("--clip-skip", default=1, **number, help=say("clip_skip"))
    parser.add_argument("--tiling", choices=("off", "both", "x", "y"), help=say("tiling"))
    parser.add_argument("--refiner", metavar="MODEL", help=say("refiner"))
    parser.add_argument("--refiner-at", **share, help=say("refiner_at"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME.OPTION=VALUE", help=say("set")
    )
    parser.add_argument("--output", metavar="FILE_OR_FOLDER", help=say("output"))
    parser.add_argument("--json", action="store_true", help=say("json"))


def add_txt2img(parser: argparse.ArgumentParser, say: Say, numbers: Numbers) -> None:
    """What `txt2img` has beyond that."""
    whole, real = numbers
    parser.add_argument("prompt", help=say("prompt"))
    parser.add_argument("--hires", type=real, metavar="SCALE", help=say("hires"))
    parser.add_argument("--hires-upscaler", metavar="NAME", help=say("hires_upscaler"))
    parser.add_argument("--hires-steps", type=whole, metavar="N", help=say("hires_steps"))
    parser.add_argument("--hires-denoise", type=real, metavar="X", help=say("denoise"))


def add_img2img(parser: argparse.ArgumentParser, say: Say, numbers: Numbers) -> None:
    """What `img2img` has beyond that."""
    whole, real = numbers
    parser.add_argument("image", type=Path, help=say("image"))
    parser.add_argument("prompt", help=say("prompt"))
    parser.add_argument("--denoise", type=real, metavar="X", help=say("denoise"))
    parser.add_argument("--resize-mode", choices=RESIZE_MODES, help=say("resize_mode"))
    parser.add_argument("--mask", type=Path, metavar="FILE", help=say("mask"))
    parser.add_argument("--invert-mask", action="store_true", help=say("invert_mask"))
    parser.add_argument("--mask-blur", type=whole, metavar="PIXELS", help=say("mask_blur"))
    parser.add_argument("--content", choices=CONTENTS, help=say("content"))
    parser.add_argument("--only-masked", action="store_true", help=say("only_masked"))
    parser.add_argument("--padding", type=whole, metavar="PIXELS", help=say("padding"))
    for side in SIDES:
        parser.add_argument(f"--{side}", type=whole, metavar="PIXELS", help=say(f"out_{side}"))


def txt2img(options: argparse.Namespace) -> GenerationRequest:
    """The request of `txt2img`.

    Raises:
        UserError: names the option and what was found.
    """
    return _request(_values(options), options.set)


def img2img(options: argparse.Namespace, inputs: Inputs, card: ModelCard) -> GenerationRequest:
    """The request of `img2img`; its pictures are handed in. Without a size it has the picture's shape.

    Raises:
        UserError: a file cannot be read as a picture, or an option is wrong.
    """
    values = _values(options)
    group = values.setdefault("img2img", {})
    group["image"] = _handed_in(options.image, inputs)
    if options.mask is not None:
        group["inpaint"] = _inpaint(options, inputs)
    outside = {side: getattr(options, side) for side in SIDES if getattr(options, side)}
    if outside:
        group["outpaint"] = outside
    if options.width is None and options.height is None:
        shape = size_like(*inputs.size(group["image"]), card)
        values["width"], values["height"] = shape
    return _request(values, options.set)


def _inpaint(options: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    given = {
        "mask": _handed_in(options.mask, inputs),
        "mode": "not_masked" if options.invert_mask else "masked",
        "area": "only_masked" if options.only_masked else "whole_picture",
        "blur": options.mask_blur,
        "content": options.content,
        "padding": options.padding,
    }
    return {name: value for name, value in given.items() if value is not None}


def _handed_in(file: Path, inputs: Inputs) -> str:
    try:
        data = file.expanduser().read_bytes()
    except OSError as error:
        raise UserError("error.picture.read", name=file, why=reason(error)) from error
    return inputs.add(data, str(file))


def _values(options: argparse.Namespace) -> dict[str, Any]:
    """What was said, as the request wants it; what was not said is left to its defaults."""
    said = {name: value for name, value in vars(options).items() if value is not None}
    values: dict[str, Any] = {_PLAIN[name]: said[name] for name in _PLAIN if name in said}
    for name, (group, field) in _GROUPED.items():
        if name in said:
            values.setdefault(group, {})[field] = said[name]
    return values


def _request(values: dict[str, Any], assignments: list[str]) -> GenerationRequest:
    for assignment in assignments:
        _assign(values, assignment)
    try:
        return GenerationRequest.model_validate(values)
    except ValidationError as error:
        wrong = explain(error)
        raise UserError(
            "cli.request.value", field=wrong.field, found=wrong.found, why=wrong.why
        ) from error


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Put `freeu.b1=1.3` (an extension's option, which enables it) or `hires.scale=2` (the request's own) in its place.

    Raises:
        UserError: it has another form.
    """
    name, equals, text = assignment.partition("=")
    first, *inner = name.strip().split(".")
    own = first in GenerationRequest.model_fields and first != "extras"
    if not equals or not all((first, *inner)) or not (own or len(inner) == 1):
        raise UserError("cli.set", found=assignment)
    try:
        value = json.loads(text)
    except ValueError:
        value = text  # a word
    if not own:
        options = values.setdefault("extras", {}).setdefault(first, {"enabled": True})
        options[inner[0]] = value
        return
    *groups, field = first, *inner
    for group in groups:
        held = values.get(group)
        values[group] = held = held if isinstance(held, dict) else {}
        values = held
    values[field] = value
