"""Checking a diffusers folder before anything of it is loaded: is it whole, and does it hold nothing but data?"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError
from modules.library.headers import read_header

INDEX = "model_index.json"
CARD = "card.json"
CLASSES = {
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "text_encoder": ("CLIPTextModel",),
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
}
"""Parts of a Stable Diffusion 1.x model and the classes that can be used for them."""
WEIGHTS = {
    "text_encoder": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
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
    index: dict[str, Any]
    scheduler: dict[str, Any]
    unet: dict[str, Any]
    vae: dict[str, Any]
    weights: dict[str, tuple[Path, ...]]
    preview: str | None

    @property
    def size_bytes(self) -> int:
        """Bytes of all weight files."""
        return sum(file.stat().st_size for files in self.weights.values() for file in files)


def check_folder(path: Path, preview: str | None = None) -> ModelFolder:
    """Read and check a Stable Diffusion 1.x folder in the layout of diffusers.

    Args:
        preview: sub-folder with an AutoencoderTiny for previews.

    Raises:
        ModelFileError: something is missing, damaged, of another kind, or would run code; the text names the file.
    """
    _refuse_code(path)
    index = read_json(path / INDEX)
    kind = index.get("_class_name")
    if kind != "StableDiffusionPipeline":
        raise ModelFileError("error.model.kind", file=path / INDEX, found=kind)
    for part, known in CLASSES.items():
        module, name = _class_of(index, part)
        if module not in ("diffusers", "transformers") or name not in known:
            raise ModelFileError(
                "error.model.class",
                file=path / INDEX,
                part=part,
                found=f"{module}.{name}",
                known=", ".join(known),
            )
    _check_tokenizer(path / "tokenizer")
    unet = read_json(path / "unet" / "config.json")
    vae = read_json(path / "vae" / "config.json")
    _check_sd1(path, unet, read_json(path / "text_encoder" / "config.json"))
    if vae.get("_class_name") not in CLASSES["vae"]:
        raise ModelFileError(
            "error.model.class",
            file=path / "vae" / "config.json",
            part="vae",
            found=vae.get("_class_name"),
            known=", ".join(CLASSES["vae"]),
        )
    scheduler = read_json(path / "scheduler" / "scheduler_config.json")
    stems = WEIGHTS | ({preview: "diffusion_pytorch_model"} if preview else {})
    if preview:
        kind = read_json(inside(path, preview) / "config.json").get("_class_name")
        if kind != "AutoencoderTiny":
            raise ModelFileError(
                "error.model.class",
                file=path / preview / "config.json",
                part=preview,
                found=kind,
                known="AutoencoderTiny",
            )
    weights = {part: weight_files(path / part, stem) for part, stem in stems.items()}
    for files in weights.values():
        for file in files:
            read_header(file)
    return ModelFolder(path, index, scheduler, unet, vae, weights, preview)


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
        raise ModelFileError("error.model.read", file=path, why=error.strerror or error) from error
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


def _check_tokenizer(path: Path) -> None:
    if (path / "tokenizer.json").is_file():
        read_json(path / "tokenizer.json")
        return
    read_json(path / "vocab.json")
    if not (path / "merges.txt").is_file():
        raise ModelFileError("error.model.missing", file=path / "merges.txt")


def _check_sd1(path: Path, unet: dict[str, Any], text: dict[str, Any]) -> None:
    inputs = unet.get("in_channels", 4)
    if inputs != 4:
        raise ModelFileError(
            "error.model.channels", file=path / "unet" / "config.json", found=inputs
        )
    wide, width = unet.get("cross_attention_dim"), text.get("hidden_size")
    if wide != width:
        raise ModelFileError(
            "error.model.width", file=path / "unet" / "config.json", found=wide, expected=width
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
