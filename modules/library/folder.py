"""Checking a folder of diffusers before anything of it is loaded: is it whole, and does it hold nothing but data?"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError, reason
from modules.library.families import INPUTS
from modules.library.flow_folder import (
    FLOW_CLASSES,
    FLOW_PIPELINES,
    check_headers,
    check_scheduler,
    check_words,
    classes_of,
)
from modules.library.headers import read_header

INDEX = "model_index.json"
CARD = "card.json"
_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
_TEXT = ("CLIPTextModel",)
_TEXT_2 = ("CLIPTextModelWithProjection",)
_COMMON = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
}
_SD = {"tokenizer": _TOKENIZERS, "text_encoder": _TEXT, **_COMMON}
_SDXL = {
    "tokenizer": _TOKENIZERS,
    "tokenizer_2": _TOKENIZERS,
    "text_encoder": _TEXT,
    "text_encoder_2": _TEXT_2,
    **_COMMON,
}
_REFINER = {"tokenizer_2": _TOKENIZERS, "text_encoder_2": _TEXT_2, **_COMMON}
CLASSES = {"sd1": _SD, "sd2": _SD, "sdxl": _SDXL, "sdxl_refiner": _REFINER}
"""Parts of a model by its family, and the classes that can be used for them."""
PIPELINES = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionImg2ImgPipeline": "sd",
    "StableDiffusionInpaintPipeline": "sd",
    "StableDiffusionInstructPix2PixPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
    "StableDiffusionXLInstructPix2PixPipeline": "sdxl",
}
"""Kinds of `model_index.json`, and whose parts they have."""
STEMS = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "text_encoder_3": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
"""What the weight files of a part are called."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5")
MAX_FILES = 2000
MAX_JSON = 50_000_000

# Keys by which a configuration asks for code from elsewhere.
_CODE_KEYS = ("auto_map", "trust_remote_code", "custom_pipeline")
_ATTENTION_KEYS = ("attn_implementation", "_attn_implementation")


@dataclass(frozen=True)
class ModelFolder:
    """A folder that was checked: its configurations, and its weight files by part."""

    path: Path
    family: str
    index: dict[str, Any]
    scheduler: dict[str, Any]
    configs: dict[str, dict[str, Any]]
    """Of the parts that hold weights."""
    weights: dict[str, tuple[Path, ...]]
    preview: str | None

    @property
    def unet(self) -> dict[str, Any]:
        """The denoiser's configuration."""
        return self.configs["unet"]

    @property
    def vae(self) -> dict[str, Any]:
        """The autoencoder's configuration."""
        return self.configs["vae"]

    @property
    def variant(self) -> str:
        """base, inpaint or edit."""
        if self.family in FLOW_CLASSES:
            return "base"
        return INPUTS[int(self.unet.get("in_channels", 4))]

    @property
    def size_bytes(self) -> int:
        """Bytes of all weight files."""
        return sum(file.stat().st_size for files in self.weights.values() for file in files)


def check_folder(path: Path, preview: str | None = None, family: str | None = None) -> ModelFolder:
    """Read and check a folder in the layout of diffusers.

    Args:
        preview: sub-folder with an AutoencoderTiny for previews.
        family: what the card says; None goes by the model's own configuration.

    Raises:
        ModelFileError: something is missing, damaged, of another kind, or would run code; the text names the file.
    """
    _refuse_code(path)
    index = read_json(path / INDEX)
    kind = index.get("_class_name")
    if isinstance(kind, str) and kind in FLOW_PIPELINES:
        return _check_flow(path, index, FLOW_PIPELINES[kind], preview, family)
    unet = read_json(path / "unet" / "config.json")
    own = _family(path, index, unet)
    # Two families with the same parts are one to the engine: a card may name either.
    if family not in (None, own) and CLASSES.get(str(family)) is not CLASSES[own]:
        raise ModelFileError("error.card.family", file=path / CARD, found=family, expected=own)
    parts = CLASSES[own]
    for part, known in parts.items():
        module, name = _class_of(index, part)
        if module not in ("diffusers", "transformers") or name not in known:
            raise ModelFileError(
                "error.model.class",
                file=path / INDEX,
                part=part,
                found=f"{module}.{name}",
                known=", ".join(known),
            )
    for part in parts:
        if part.startswith("tokenizer"):
            check_tokenizer(path / part)
    configs = {part: read_json(path / part / "config.json") for part in parts if part in STEMS}
    _check_widths(path, configs)
    _check_class(path, "vae", configs["vae"], _COMMON["vae"])
    scheduler = read_json(path / "scheduler" / "scheduler_config.json")
    stems = {part: STEMS[part] for part in configs}
    if preview:
        config = read_json(inside(path, preview) / "config.json")
        _check_class(path, preview, config, ("AutoencoderTiny",))
        configs[preview] = config
        stems[preview] = STEMS["vae"]
    weights = {part: weight_files(path / part, stem) for part, stem in stems.items()}
    for files in weights.values():
        for file in files:
            read_header(file)
    return ModelFolder(path, family or own, index, scheduler, configs, weights, preview)


def _check_flow(
    path: Path, index: dict[str, Any], own: str, preview: str | None, family: str | None
) -> ModelFolder:
    """A model whose denoiser is a transformer; it takes the place of the UNet, so that is what it is called."""
    if family not in (None, own):
        raise ModelFileError("error.card.family", file=path / CARD, found=family, expected=own)
    classes = classes_of(index, own, path / INDEX)
    configs: dict[str, dict[str, Any]] = {}
    weights: dict[str, tuple[Path, ...]] = {}
    for part, name in classes.items():
        if part.startswith("tokenizer"):
            check_words(path / part)
            continue
        place = "unet" if part == "transformer" else part
        configs[place] = read_json(path / part / "config.json")
        if not part.startswith("text_encoder"):
            _check_class(path, part, configs[place], (name,))
        weights[place] = weight_files(path / part, STEMS.get(part, "diffusion_pytorch_model"))
    scheduler_file = path / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file)
    check_scheduler(scheduler, scheduler_file)
    if preview:
        configs[preview] = read_json(inside(path, preview) / "config.json")
        _check_class(path, preview, configs[preview], ("AutoencoderTiny",))
        weights[preview] = weight_files(path / preview, STEMS["vae"])
    for files in weights.values():
        check_headers(files)
    return ModelFolder(path, own, index, scheduler, configs, weights, preview)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ModelFileError: there is no such file, or it holds something else.
    """
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError("too large")
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ModelFileError("error.model.missing", file=path) from error
    except OSError as error:
        raise ModelFileError("error.model.read", file=path, why=reason(error)) from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError("error.model.json", file=path, why=error) from error
    if not isinstance(data, dict):
        raise ModelFileError("error.model.json", file=path, why="not a JSON object")
    return data


def inside(path: Path, name: str) -> Path:
    """The sub-folder `name`, which must not lead out of `path`.

    Raises:
        ModelFileError: it does.
    """
    found = path / name
    if found == path or not found.resolve().is_relative_to(path.resolve()):
        raise ModelFileError("error.model.outside", file=path / CARD, found=name)
    return found


def weight_files(path: Path, stem: str) -> tuple[Path, ...]:
    """The safetensors files of one part: one, or the pieces that an index names. fp32 is taken before fp16.

    Raises:
        ModelFileError: there is none; says so when there are pickles instead.
    """
    for name in (stem, f"{stem}.fp16"):
        if (path / f"{name}.safetensors").is_file():
            return (path / f"{name}.safetensors",)
    listing = path / f"{stem}.safetensors.index.json"
    if listing.is_file():
        names = read_json(listing).get("weight_map")
        if not isinstance(names, dict):
            raise ModelFileError("error.model.json", file=listing, why="no weight_map")
        files = tuple(inside(path, str(name)) for name in sorted(set(map(str, names.values()))))
        for file in files:
            if not file.is_file():
                raise ModelFileError("error.model.missing", file=file)
        return files
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.suffix.lower() in PICKLES:
                raise ModelFileError("error.model.pickle", file=file)
    raise ModelFileError("error.model.missing", file=path / f"{stem}.safetensors")


def check_tokenizer(path: Path) -> None:
    """Whether a folder holds a tokenizer.

    Raises:
        ModelFileError: a file of it is missing or damaged.
    """
    if (path / "tokenizer.json").is_file():
        read_json(path / "tokenizer.json")
        return
    read_json(path / "vocab.json")
    if not (path / "merges.txt").is_file():
        raise ModelFileError("error.model.missing", file=path / "merges.txt")


def _family(path: Path, index: dict[str, Any], unet: dict[str, Any]) -> str:
    kind = index.get("_class_name")
    parts = PIPELINES.get(kind) if isinstance(kind, str) else None
    if parts is None:
        raise ModelFileError(
            "error.model.kind",
            file=path / INDEX,
            found=kind,
            known=", ".join((*PIPELINES, *FLOW_PIPELINES)),
        )
    if parts == "sd":
        return "sd2" if unet.get("cross_attention_dim") == 1024 else "sd1"
    return "sdxl_refiner" if _class_of(index, "text_encoder") == (None, None) else "sdxl"


def _check_widths(path: Path, configs: dict[str, dict[str, Any]]) -> None:
    file = path / "unet" / "config.json"
    inputs = configs["unet"].get("in_channels", 4)
    if inputs not in INPUTS:
        raise ModelFileError("error.model.channels", file=file, found=inputs)
    texts = [configs[part] for part in ("text_encoder", "text_encoder_2") if part in configs]
    sides = [text.get("hidden_size") for text in texts]
    wide = configs["unet"].get("cross_attention_dim")
    width = sum(side if isinstance(side, int) else 0 for side in sides)
    if wide != width:
        raise ModelFileError("error.model.width", file=file, found=wide, expected=width)


def _check_class(path: Path, part: str, config: dict[str, Any], known: tuple[str, ...]) -> None:
    if config.get("_class_name") not in known:
        raise ModelFileError(
            "error.model.class",
            file=path / part / "config.json",
            part=part,
            found=config.get("_class_name"),
            known=", ".join(known),
        )


def _class_of(index: dict[str, Any], part: str) -> tuple[Any, Any]:
    named = index.get(part)
    return (named[0], named[1]) if isinstance(named, list) and len(named) == 2 else (None, None)


def _refuse_code(path: Path) -> None:
    """Only data is loaded, so code is never run; but a folder that brings some is not what it says it is."""
    seen = 0
    for root, folders, files in os.walk(path):
        folders[:] = [
            name for name in folders if not name.startswith(".")
        ]  # .git, .cache: never read
        for name in sorted(files):
            seen += 1
            if seen > MAX_FILES:
                raise ModelFileError("error.model.files", file=path, most=MAX_FILES)
            file = Path(root) / name
            if file.suffix.lower() in (".py", ".pyc", ".so", ".pyd", ".dll"):
                raise ModelFileError("error.model.code", file=file, found=name)
            if name in ("config.json", INDEX, "tokenizer_config.json", "scheduler_config.json"):
                key = _code_key(read_json(file))
                if key:
                    raise ModelFileError("error.model.code", file=file, found=key)


def _code_key(data: Any) -> str | None:
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key in _CODE_KEYS or (key.startswith(_ATTENTION_KEYS) and _names_a_place(inner)):
                    return str(key)
                waiting.append(inner)
    return None


def _names_a_place(attention: Any) -> bool:
    """Attention is chosen by a plain word ("sdpa"), by a yes or no, or by a place on the hub to fetch code from."""
    if isinstance(attention, dict):
        return any(_names_a_place(value) for value in attention.values())
    return isinstance(attention, str) and not attention.isidentifier()
