"""How each part of a model is to be made: its configuration, its files, and how its tensors are called there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError
from modules.library import layouts
from modules.library.folder import ModelFolder
from modules.library.headers import read_header
from modules.library.identify import identify
from modules.library.identify.checkpoint import UNET
from modules.library.identify.checkpoint import VAES as BAKED
from modules.library.identify.vae import PREFIXES
from modules.library.single import Encoder, ModelFile, describe, unused
from modules.library.weights import Source


def _none(name: str) -> bool:
    return name.endswith(".position_ids")


@dataclass(frozen=True)
class Piece:
    """One part that holds weights."""

    config: Mapping[str, Any]
    source: Source
    layout: layouts.Layout = layouts.diffusers
    own: tuple[str, ...] = ("",)
    unused: Callable[[str], bool] = _none


@dataclass(frozen=True)
class Words:
    """A tokenizer."""

    folder: Path | None = None
    """None: CLIP's own vocabulary."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What goes over the usual, such as the word that fills up."""


@dataclass(frozen=True)
class Recipe:
    """A whole model."""

    family: str
    variant: str
    pieces: Mapping[str, Piece]
    """By the names of `Parts`, "preview" among them."""
    tokenizers: Mapping[str, Words]
    scheduler: dict[str, Any]
    prediction_known: bool = True


def of_folder(folder: ModelFolder) -> Recipe:
    """A folder of diffusers.

    Raises:
        ModelFileError: a weight file cannot be read.
    """
    pieces = {}
    for part, config in folder.configs.items():
        name = "preview" if part == folder.preview else part
        pieces[name] = Piece(config, Source.of(folder.path / part, folder.weights[part]))
    tokenizers = {
        name: Words(folder.path / name)
        for name, encoder in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
        if encoder in folder.configs
    }
    return Recipe(folder.family, folder.variant, pieces, tokenizers, folder.scheduler)


def of_file(file: ModelFile) -> Recipe:
    """A single file.

    Raises:
        ModelFileError: it cannot be read, or holds tensors that belong to no part of such a model.
    """
    source = Source.of(file.path, (file.weights,))
    unet = file.spec.unet
    if file.ema_only:
        pieces = {
            "unet": Piece(unet, source, layouts.ema_unet(unet), ("model_ema.diffusion_model",))
        }
    else:
        pieces = {"unet": Piece(unet, source, layouts.ldm_unet(unet), (UNET,), unused)}
    names = source.names()
    if file.vae is not None:
        pieces["vae"] = of_vae(file.vae, file.spec.vae)
    else:
        prefix = next(one for one in BAKED if any(name.startswith(one) for name in names))
        layout = layouts.ldm_vae(file.spec.vae, prefix)
        pieces["vae"] = Piece(file.spec.vae, source, layout, (prefix,), unused)
    for encoder in file.encoders:
        pieces[encoder.part] = _encoder(encoder, getattr(file.spec, encoder.part), source)
    known = (UNET, *BAKED, *(encoder.prefix for encoder in file.encoders))
    over = sorted(name for name in names if not name.startswith(known) and not unused(name))
    if over:
        raise ModelFileError(
            "error.model.unexpected", file=file.path, count=len(over), first=over[0]
        )
    tokenizers = {}
    for name in ("tokenizer", "tokenizer_2"):
        options = getattr(file.spec, name)
        if options is not None:
            tokenizers[name] = Words(file.tokenizer, options)
    return Recipe(
        file.spec.family,
        file.variant,
        pieces,
        tokenizers,
        file.spec.scheduler,
        prediction_known=file.prediction_type is not None,
    )


def of_vae(path: Path, config: Mapping[str, Any]) -> Piece:
    """An autoencoder that is a file of its own.

    Args:
        config: of the model that it is for; a VAE of SD 1.x cannot be told from one of SDXL by its tensors.

    Raises:
        ModelFileError: it is something else, or has latents of another number of channels.
    """
    header = read_header(path)
    found = identify(header.shapes, header.metadata)
    if found.kind == "vae" and found.variant == "tiny" and found.layout == "diffusers":
        return Piece({"_class_name": "AutoencoderTiny"}, Source.of(path, (path,)))
    if found.kind != "vae" or found.variant != str(config.get("latent_channels", 4)):
        raise ModelFileError("error.model.not_vae", file=path, found=describe(found))
    prefix = next(one for one in PREFIXES if f"{one}decoder.conv_in.weight" in header.tensors)
    source = Source.of(path, (path,))

    def unread(name: str) -> bool:
        return unused(name) or name.removeprefix(prefix).startswith(("loss.", "model_ema."))

    if found.layout == "diffusers":
        return Piece(config, source, layouts.diffusers, (prefix,), unread)
    return Piece(config, source, layouts.ldm_vae(config, prefix), (prefix,), unread)


def _encoder(encoder: Encoder, config: Mapping[str, Any], source: Source) -> Piece:
    layers = int(config["num_hidden_layers"])
    block = f"{encoder.prefix}transformer.resblocks."

    def unread(name: str) -> bool:
        # SD 2.x reads the last but one layer, so its encoder is built without the last.
        number = name.removeprefix(block).split(".", 1)[0] if name.startswith(block) else ""
        beyond = number.isdecimal() and int(number) >= layers
        return beyond or unused(name) or name == f"{encoder.prefix}text_projection"

    layout = layouts.clip if encoder.layout == "clip" else layouts.openclip
    return Piece(config, source, layout(encoder.prefix), (encoder.prefix,), unread)
