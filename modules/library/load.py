"""From a model's folder to its parts, ready to run. Data only: no code of the model's is ever run, nothing is fetched."""

import gc
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from modules.diffusion.parts import Parts
from modules.errors import ModelFileError, UserError
from modules.library.folder import ModelFolder, check_folder
from modules.schema import ModelCard

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LIBRARIES = (
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.models.autoencoders.autoencoder_tiny",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
)
LARGE = 500_000_000
"""Parameters of the denoiser from which half precision is worth it on a CPU."""


def load(card: ModelCard, device: str = "auto", precision: str = "auto") -> Parts:
    """Load the model of `card`.

    Args:
        device: auto, cpu, cuda, cuda:1, mps.
        precision: auto, fp32, bf16 or fp16. "auto" is fp16 on cuda and mps; on a CPU fp32, or bf16 for a large
            model where the CPU has it, whatever precision the file has.

    Raises:
        ModelFileError: names the file and what is wrong with it.
        UserError: a device or precision that cannot be had here.
    """
    folder = check_folder(card.path, card.preview)
    where = pick_device(device)
    dtype = pick_dtype(precision, where, _parameters(folder))
    with _quiet():
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        vae_class = (
            AutoencoderTiny if folder.vae["_class_name"] == "AutoencoderTiny" else AutoencoderKL
        )
        # An autoencoder that says so computes garbage in half precision.
        exact = bool(folder.vae.get("force_upcast")) and vae_class is AutoencoderKL
        vae_dtype = torch.float32 if exact and dtype is torch.float16 else dtype
        tokenizer = _tokenizer(CLIPTokenizer, card.path / "tokenizer")
        text_encoder = _part(CLIPTextModel, card.path / "text_encoder", where, dtype)
        unet = _part(UNet2DConditionModel, card.path / "unet", where, dtype)
        vae = _part(vae_class, card.path / "vae", where, vae_dtype)
        preview = vae if vae_class is AutoencoderTiny else None
        if folder.preview:
            preview = _part(AutoencoderTiny, card.path / folder.preview, where, dtype)
    return Parts(
        family=card.family,
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        unet=unet,
        vae=vae,
        preview=preview,
        scheduler_config=folder.scheduler,
        device=where,
        dtype=dtype,
        card_name=card.name,
    )


def prepare() -> None:
    """Import what `load` and the first generation need: some seconds, better spent before somebody waits.

    A worker calls it when it starts; without it the first `load` takes that time.
    """
    with _quiet():
        for name in _LIBRARIES:
            importlib.import_module(name)


def release() -> None:
    """Give memory of dropped models back to the device (`ModelCache` calls it)."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the first of cuda, mps and cpu that is there.

    Raises:
        UserError: there is no such device.
    """
    there = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        name = next(kind for kind, number in there.items() if number)
    kind, _, number = name.partition(":")
    index = int(number) if number.isdecimal() else 0
    if kind not in there or (number and not number.isdecimal()) or index >= there[kind]:
        known = ", ".join(kind for kind, count in there.items() if count)
        raise UserError("error.device", found=name, known=known)
    return torch.device(name)


def pick_dtype(precision: str, device: torch.device, parameters: int) -> torch.dtype:
    """What to compute in; see `load`.

    Raises:
        UserError: an unknown precision, or fp16 on a CPU, which is some forty times slower than fp32 there.
    """
    if precision == "auto":
        if device.type != "cpu":
            return torch.float16
        return torch.bfloat16 if parameters > LARGE and _cpu_has_bf16() else torch.float32
    if precision not in PRECISIONS:
        raise UserError("error.precision", found=precision, known=", ".join(("auto", *PRECISIONS)))
    if precision == "fp16" and device.type == "cpu":
        raise UserError("error.precision.fp16_cpu")
    return PRECISIONS[precision]


def _cpu_has_bf16() -> bool:
    # The only question that torch has an answer for on every system, although not in its public part.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())


def _parameters(folder: ModelFolder) -> int:
    from modules.library.headers import read_header

    return sum(
        _product(shape)
        for file in folder.weights["unet"]
        for shape in read_header(file).shapes.values()
    )


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


def _part(kind: Any, path: Path, device: torch.device, dtype: torch.dtype) -> Any:
    ours = "transformers" if kind.__module__.startswith("transformers") else "diffusers"
    options: dict[str, Any] = {"dtype" if ours == "transformers" else "torch_dtype": dtype}
    if not any(path.glob("*model.safetensors*")):
        options["variant"] = "fp16"
    try:
        part, report = kind.from_pretrained(
            str(path),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    # Whatever a damaged configuration makes these libraries raise, the file is to blame and is named.
    except Exception as error:
        raise ModelFileError("error.model.load", file=path, why=_first_line(error)) from error
    missing = sorted(report["missing_keys"])
    # Left alone, tensors that a file lacks would keep random numbers.
    if missing:
        raise ModelFileError("error.model.tensors", file=path, count=len(missing), first=missing[0])
    if report["mismatched_keys"]:
        raise ModelFileError(
            "error.model.load", file=path, why=sorted(map(str, report["mismatched_keys"]))[0]
        )
    return part.to(device).eval().requires_grad_(False)


def _tokenizer(kind: Any, path: Path) -> Any:
    try:
        return kind.from_pretrained(str(path), local_files_only=True)
    except Exception as error:
        raise ModelFileError("error.model.load", file=path, why=_first_line(error)) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and notes of the two libraries off the terminal, and leave their settings as they were."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = [(log, log.get_verbosity()) for log in (diffusers_logging, transformers_logging)]
    bars = [log for log, _ in levels if log.is_progress_bar_enabled()]
    for log, _ in levels:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", category=FutureWarning, module=r"(diffusers|transformers)\."
            )
            warnings.filterwarnings(
                "ignore", category=DeprecationWarning, module=r"(diffusers|transformers)\."
            )
            yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        for log in bars:
            log.enable_progress_bar()
