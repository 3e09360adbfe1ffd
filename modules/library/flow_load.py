"""From a folder of diffusers with a transformer denoiser to its parts. Data only: no code of the model's, no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from modules.diffusion.parts import Parts
from modules.errors import ModelFileError
from modules.library.flow_folder import classes_of
from modules.library.folder import INDEX, ModelFolder
from modules.library.precision import pick_dtype
from modules.library.weights import Source, build, fill

_TEXTS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_WORDS = ("tokenizer", "tokenizer_2", "tokenizer_3")


def load_flow(folder: ModelFolder, name: str, device: torch.device, precision: str) -> Parts:
    """Load a checked folder (`folder.check_folder`) of a family in `flow_folder.FLOW_CLASSES`.

    "auto" is bf16 wherever half precision is worth it: the numbers of T5 and of these denoisers are beyond fp16.

    Args:
        name: of the card.
        precision: see `precision.pick_dtype`.

    Raises:
        ModelFileError: names the file and what is wrong with it.
        UserError: a precision that cannot be had here.
    """
    classes = classes_of(folder.index, folder.family, folder.path / INDEX)
    denoiser = _empty(folder, "unet", classes["transformer"])
    size = sum(weight.numel() for weight in denoiser.parameters())
    dtype = pick_dtype(precision, device, size)
    if precision == "auto" and dtype is torch.float16:
        dtype = torch.bfloat16
    made = {"unet": _filled(folder, "unet", denoiser, device, dtype)}
    del denoiser
    made["vae"] = _filled(folder, "vae", _empty(folder, "vae", classes["vae"]), device, dtype)
    if folder.preview:
        small = _empty(folder, folder.preview, "AutoencoderTiny")
        made["preview"] = _filled(folder, folder.preview, small, device, dtype)
    for part in _TEXTS:
        if part in classes:
            made[part] = _text_encoder(folder, part, classes[part], device, dtype)
    for part in _WORDS:
        if part in classes:
            made[part] = _words(folder.path / part, classes[part])
    return Parts(
        family=folder.family,
        tokenizer=made.get("tokenizer"),
        tokenizer_2=made.get("tokenizer_2"),
        tokenizer_3=made.get("tokenizer_3"),
        text_encoder=made.get("text_encoder"),
        text_encoder_2=made.get("text_encoder_2"),
        text_encoder_3=made.get("text_encoder_3"),
        unet=made["unet"],
        vae=made["vae"],
        preview=made.get("preview"),
        scheduler_config=dict(folder.scheduler),
        pipeline_config={
            key: value for key, value in folder.index.items() if isinstance(value, bool)
        },
        device=device,
        dtype=dtype,
        card_name=name,
    )


def _place(folder: ModelFolder, part: str) -> Path:
    return folder.path / ("transformer" if part == "unet" else part)


def _empty(folder: ModelFolder, part: str, kind: str) -> Any:
    """A part of diffusers, without its weights."""
    import diffusers

    try:
        # By a name of our own table, never by one of the folder's.
        return build(lambda: getattr(diffusers, kind).from_config(folder.configs[part]))
    # Whatever a damaged configuration makes the library raise, the file is to blame and is named.
    except Exception as error:
        raise _broken(_place(folder, part), error) from error


def _filled(
    folder: ModelFolder, part: str, model: Any, device: torch.device, dtype: torch.dtype
) -> Any:
    from modules.library import layouts

    # An autoencoder that says so computes garbage in fp16.
    if dtype is torch.float16 and folder.configs[part].get("force_upcast"):
        dtype = torch.float32
    source = Source.of(_place(folder, part), folder.weights[part])
    try:
        found = fill(
            model,
            source,
            layouts.diffusers,
            device,
            dtype,
            own=("",),
        )
    except KeyError as error:
        raise _broken(source.path, error) from error
    return found


def _text_encoder(
    folder: ModelFolder, part: str, kind: str, device: torch.device, dtype: torch.dtype
) -> Any:
    """By transformers' own reader, which knows how its models' tensors were called in earlier versions."""
    import transformers

    path = folder.path / part
    half = all(".fp16" in file.name for file in folder.weights[part])
    try:
        model, found = getattr(transformers, kind).from_pretrained(
            str(path),
            dtype=dtype,
            variant="fp16" if half else None,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise _broken(path, error) from error
    # It fills what is missing with random numbers, and goes on.
    lost: Mapping[str, Any] = {
        key: found.get(key) for key in ("missing_keys", "mismatched_keys") if found.get(key)
    }
    if lost:
        names = sorted(str(each) for several in lost.values() for each in several)
        raise ModelFileError("error.model.tensors", file=path, count=len(names), first=names[0])
    return model.to(device).eval().requires_grad_(False)


def _words(path: Path, kind: str) -> Any:
    import transformers

    reader = (
        transformers.AutoProcessor if kind == "PixtralProcessor" else transformers.AutoTokenizer
    )
    try:
        return reader.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> ModelFileError:
    lines = str(error).strip().splitlines()
    why = f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
    return ModelFileError("error.model.load", file=path, why=why)
