"""From a model's files to its parts, ready to run. Data only: no code of the model's is ever run, nothing is fetched."""

import gc
import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from modules.diffusion.parts import Embedding, Parts
from modules.errors import ModelFileError
from modules.library.families import spec
from modules.library.flow_folder import FLOW_CLASSES
from modules.library.flow_load import load_flow
from modules.library.folder import PICKLES, check_folder
from modules.library.precision import pick_device, pick_dtype
from modules.library.recipe import Piece, Recipe, Words, of_file, of_folder, of_vae
from modules.library.single import check_file
from modules.library.vocabulary import clip_tokenizer
from modules.library.weights import build, fill
from modules.schema import ModelCard

_LIBRARIES = (
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.models.autoencoders.autoencoder_tiny",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
)
_PROBE = 16
"""Latents along a side with which `predicts_noise` asks."""


def load(
    card: ModelCard,
    device: str = "auto",
    precision: str = "auto",
    embeddings: Callable[[Parts], Mapping[str, Embedding]] = lambda parts: {},
    converted: Callable[[Path], Path | None] = lambda path: None,
) -> Parts:
    """Load the model of `card`: a folder of diffusers or a single file.

    Weights are read one tensor at a time into numbers of the right kind, so that no more than the model itself and
    its largest tensor is in memory.

    Args:
        device: auto, cpu, cuda, cuda:1, mps.
        precision: auto, fp32, bf16 or fp16; see `precision.pick_dtype`.
        embeddings: textual inversions that fit the model (`embeddings.Shelf.fitting`).
        converted: where a pickle's safetensors copy is (`pickles.Converter.known`).

    Raises:
        ModelFileError: names the file and what is wrong with it.
        UserError: a device or precision that cannot be had here.
    """
    where = pick_device(device)
    if card.family in FLOW_CLASSES:
        folder = check_folder(card.path, card.preview, card.family)
        with _quiet():
            flow = load_flow(folder, card.name, where, precision)
        if flow.family == "sd3":
            flow.embeddings = embeddings(flow)
        return flow
    recipe = _recipe(card, converted)
    with _quiet():
        empty = {name: _empty(name, piece) for name, piece in recipe.pieces.items()}
        size = sum(weight.numel() for weight in empty["unet"].parameters())
        dtype = pick_dtype(precision, where, size)
        tokenizers = {name: _tokenizer(given) for name, given in recipe.tokenizers.items()}
        made = {
            name: _filled(empty.pop(name), piece, where, dtype)
            for name, piece in recipe.pieces.items()
        }
    preview = made.get("preview")
    if preview is None and type(made["vae"]).__name__ == "AutoencoderTiny":
        preview = made["vae"]
    parts = Parts(
        family=recipe.family,
        variant=recipe.variant,  # type: ignore[arg-type]  # one of INPUTS
        tokenizer=tokenizers.get("tokenizer"),
        tokenizer_2=tokenizers.get("tokenizer_2"),
        text_encoder=made.get("text_encoder"),
        text_encoder_2=made.get("text_encoder_2"),
        unet=made["unet"],
        vae=made["vae"],
        preview=preview,
        scheduler_config=dict(recipe.scheduler),
        device=where,
        dtype=dtype,
        card_name=card.name,
    )
    if not recipe.prediction_known:
        kind = "epsilon" if predicts_noise(parts) else "v_prediction"
        parts.scheduler_config["prediction_type"] = kind
    parts.embeddings = embeddings(parts)
    return parts


def load_vae(
    path: Path, parts: Parts, converted: Callable[[Path], Path] = lambda path: path
) -> Any:
    """The autoencoder in the file `path`, for use with the model `parts` (`Parts.using`).

    Args:
        converted: the safetensors copy of a pickle, made if need be (`pickles.Converter.get`).

    Raises:
        ModelFileError: it is something else, damaged, or not for this model.
    """
    if path.suffix.lower() in PICKLES:
        path = converted(path)
    config = dict(parts.vae.config)
    if (
        type(parts.vae).__name__ == "AutoencoderTiny"
    ):  # says nothing of the large one that it stands for
        config = spec(parts.family).vae
    config["_class_name"] = "AutoencoderKL"
    with _quiet():
        piece = of_vae(path, config)
        return _filled(_empty("vae", piece), piece, parts.device, parts.dtype)


def predicts_noise(parts: Parts) -> bool:
    """Whether the denoiser answers with the noise, or with the velocity (arXiv 2202.00512).

    Where the signal is almost gone, x is almost nothing but noise; then a model that predicts the noise answers with
    its input, and one that predicts the velocity, noise * 0.07 - clean, with something that has little to do with it.
    """
    noise = torch.randn(
        (1, int(parts.unet.config.in_channels), _PROBE, _PROBE),
        generator=torch.Generator().manual_seed(0),
    )
    width = int(parts.unet.config.cross_attention_dim)
    text = torch.zeros((1, 77, width), device=parts.device, dtype=parts.dtype)
    last = int(parts.scheduler_config.get("num_train_timesteps", 1000)) - 1
    with torch.inference_mode():
        (answer,) = parts.unet(
            noise.to(parts.device, parts.dtype),
            last,
            encoder_hidden_states=text,
            return_dict=False,
        )
    pair = torch.stack(
        [noise[:, : answer.shape[1]].flatten().double(), answer.flatten().double().cpu()]
    )
    return bool(torch.corrcoef(pair)[0, 1] > 0.5)


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


def _recipe(card: ModelCard, converted: Callable[[Path], Path | None]) -> Recipe:
    if card.path.is_dir():
        return of_folder(check_folder(card.path, card.preview, card.family))
    return of_file(check_file(card.path, converted))


def empty_part(name: str, config: Mapping[str, Any]) -> Callable[[], Any]:
    """A function that builds the part called `name` from its configuration, for `weights.build`."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = dict(config)
    kinds = {kind.__name__: kind for kind in (AutoencoderKL, AutoencoderTiny, UNet2DConditionModel)}
    kind = kinds.get(config.get("_class_name", ""))

    def make() -> Any:
        if kind is not None:
            return kind.from_config(config)
        text = CLIPTextModelWithProjection if name == "text_encoder_2" else CLIPTextModel
        return text(CLIPTextConfig.from_dict(config))

    return make


def _empty(name: str, piece: Piece) -> Any:
    """The part called `name`, without its weights."""
    try:
        return build(empty_part(name, piece.config))
    # Whatever a damaged configuration makes these libraries raise, the file is to blame and is named.
    except Exception as error:
        raise ModelFileError(
            "error.model.load", file=piece.source.path, why=_first_line(error)
        ) from error


def _filled(model: Any, piece: Piece, device: torch.device, dtype: torch.dtype) -> Any:
    # An autoencoder that says so computes garbage in fp16.
    if dtype is torch.float16 and _needs_fp32(piece.config):
        dtype = torch.float32
    try:
        return fill(
            model, piece.source, piece.layout, device, dtype, own=piece.own, unused=piece.unused
        )
    except KeyError as error:
        raise ModelFileError(
            "error.model.load", file=piece.source.path, why=_first_line(error)
        ) from error


def _needs_fp32(config: Mapping[str, Any]) -> bool:
    return bool(config.get("force_upcast")) and config.get("_class_name") == "AutoencoderKL"


def _tokenizer(words: Words) -> Any:
    if words.folder is None:
        return clip_tokenizer(dict(words.options))
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(  # nosec B615  # a folder of this machine
            str(words.folder), local_files_only=True, **words.options
        )
    except Exception as error:
        raise ModelFileError(
            "error.model.load", file=words.folder, why=_first_line(error)
        ) from error


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
