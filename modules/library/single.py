"""Checking a checkpoint that is one file, before anything of it is loaded: what is it, and is it whole?

Beside `name.safetensors` there may be `name.card.json` (see docs of `card.json`; its `config` changes values of
parts: `{"unet": {"sample_size": 96}}`), `name.vae.safetensors` (the autoencoder, taken before one in the file) and
a folder `name.tokenizer` with a vocabulary of its own. A pickle (`name.ckpt`, `name.vae.pt`) is read from its
safetensors copy, which lies elsewhere; companions lie beside the original.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError
from modules.library.families import FAMILIES, INPUTS, PARTS, Spec, spec
from modules.library.folder import PICKLES, check_tokenizer, read_json
from modules.library.headers import read_header
from modules.library.identify import Identity, identify

CARD_END = ".card.json"
FOLDERS_ONLY = ("sd3", "flux1", "flux2", "z_image", "qwen_image")
"""Beginnings of families that are read from folders of diffusers alone."""
VAE_ENDS = (".vae.safetensors", ".vae.pt", ".vae.ckpt")
UNUSED = (
    "model_ema.",
    "betas",
    "alphas_cumprod",
    "sqrt_",
    "log_one_minus_alphas_cumprod",
    "posterior_",
    "logvar",
    "lvlb_weights",
    "global_step",
    "scale_factor",
    "v_pred",
    "ztsnr",
    "denoiser.",
    "embedding_manager.",
    "embedding_ranker.",
    "first_stage_model.loss.",
    "first_stage_model.model_ema.",
    "cond_stage_model.logit_scale",
    "cond_stage_model.text_projection",
    "cond_stage_model.transformer.text_projection",
    "cond_stage_model.transformer.logit_scale",
    "cond_stage_model.transformer.vision_model.",
    "cond_stage_model.transformer.visual_projection",
    "conditioner.embedders.0.transformer.text_projection",
    "conditioner.embedders.0.logit_scale",
)
"""Beginnings of names that checkpoints bring along and that no picture needs: tables that follow from the schedule,
the averaged weights of training, the half of CLIP that looks at pictures."""
_UNUSED_ENDS = (".position_ids", ".attn_mask", ".logit_scale")
_ENCODERS = {
    "sd1": (("text_encoder", "cond_stage_model.transformer.", "clip"),),
    "sd2": (("text_encoder", "cond_stage_model.model.", "openclip"),),
    "sdxl": (
        ("text_encoder", "conditioner.embedders.0.transformer.", "clip"),
        ("text_encoder_2", "conditioner.embedders.1.model.", "openclip"),
    ),
    "sdxl_refiner": (("text_encoder_2", "conditioner.embedders.0.model.", "openclip"),),
}


@dataclass(frozen=True)
class Encoder:
    """Where a checkpoint keeps one text encoder, and in which layout."""

    part: str
    prefix: str
    layout: str


@dataclass(frozen=True)
class ModelFile:
    """A single file that was checked."""

    path: Path
    """As people know it."""
    weights: Path
    """What is read: the file, or the safetensors copy of a pickle."""
    identity: Identity
    spec: Spec
    card: dict[str, Any]
    encoders: tuple[Encoder, ...]
    vae: Path | None
    """A file beside it with the autoencoder, or its copy; None: it is in the checkpoint."""
    tokenizer: Path | None
    prediction_type: str | None
    """None: only a look at what the denoiser answers can tell."""

    @property
    def ema_only(self) -> bool:
        """The denoiser is there as training averaged it, and not otherwise."""
        return "unet_ema" in self.identity.holds and "unet" not in self.identity.holds

    @property
    def size_bytes(self) -> int:
        """Bytes of the weight files."""
        files = (self.weights, self.vae) if self.vae else (self.weights,)
        return sum(file.stat().st_size for file in files)

    @property
    def variant(self) -> str:
        """base, inpaint or edit."""
        return INPUTS[int(self.spec.unet["in_channels"])]


def check_file(
    path: Path, converted: Callable[[Path], Path | None] = lambda path: None
) -> ModelFile:
    """Read the header of a checkpoint and decide how it is to be loaded.

    Args:
        converted: where a pickle's safetensors copy is (`pickles.Converter.known`); None if there is none.

    Raises:
        ModelFileError: it is damaged, of another kind or family, or a part of it is missing; says what was found. Or
            it is a pickle that was not converted yet.
    """
    weights = readable(path, converted)
    header = read_header(weights)
    card_path = beside(path, CARD_END)
    card = read_json(card_path) if card_path.exists() else {}
    found = identify(header.shapes, header.metadata)
    family = str(card.get("family", found.family))
    if found.kind not in ("checkpoint", "denoiser"):
        raise ModelFileError("error.model.not_checkpoint", file=path, found=describe(found))
    if family.startswith(FOLDERS_ONLY):
        raise ModelFileError("error.model.folder_only", file=path, found=describe(found))
    if family not in FAMILIES:
        raise ModelFileError(
            "error.model.family", file=path, found=describe(found), known=", ".join(FAMILIES)
        )
    if found.layout != "ldm":
        raise ModelFileError("error.model.part_of_folder", file=path, found=describe(found))
    inputs = next((count for count, name in INPUTS.items() if name == found.variant), None)
    if inputs is None:
        raise ModelFileError("error.model.channels", file=path, found=found.variant)
    encoders = tuple(Encoder(*row) for row in _ENCODERS[family])
    for encoder in encoders:
        if not any(name.startswith(encoder.prefix) for name in header.tensors):
            raise ModelFileError("error.model.no_part", file=path, part=encoder.part)
    vae = next((file for file in (beside(path, end) for end in VAE_ENDS) if file.is_file()), None)
    if vae is None and "vae" not in found.holds:
        raise ModelFileError("error.model.no_vae", file=path, beside=beside(path, VAE_ENDS[0]).name)
    if vae is not None:
        vae = readable(vae, converted)
    tokenizer = beside(path, ".tokenizer")
    if tokenizer.is_dir():
        check_tokenizer(tokenizer)
    prediction = _prediction(card, found, family)
    carried = spec(family).changed({"unet": {"in_channels": inputs}})
    carried = carried.changed(_config(card, card_path))
    carried = carried.changed(
        {
            "scheduler": {
                **({"prediction_type": prediction} if prediction else {}),
                **(
                    {"rescale_betas_zero_snr": True}
                    if found.zero_snr or card.get("zero_snr")
                    else {}
                ),
            }
        }
    )
    return ModelFile(
        path=path,
        weights=weights,
        identity=found,
        spec=carried,
        card=card,
        encoders=encoders,
        vae=vae,
        tokenizer=tokenizer if tokenizer.is_dir() else None,
        prediction_type=prediction,
    )


def readable(path: Path, converted: Callable[[Path], Path | None]) -> Path:
    """The file, or its safetensors copy where it is a pickle.

    Raises:
        ModelFileError: there is no copy yet; says how to make one.
    """
    if path.suffix.lower() not in PICKLES:
        return path
    copy = converted(path)
    if copy is None:
        raise ModelFileError("error.model.pickle", file=path)
    return copy


def check_vae(path: Path, family: str, converted: Callable[[Path], Path | None]) -> None:
    """See from its header that a file is a VAE for models of `family`; a pickle is seen when it is converted.

    Raises:
        ModelFileError: it is something else, has latents of another number of channels, or is damaged.
    """
    weights = path if path.suffix.lower() not in PICKLES else converted(path)
    if weights is None:
        return
    header = read_header(weights)
    found = identify(header.shapes, header.metadata)
    wanted = str(spec(family).vae.get("latent_channels", 4)) if family in FAMILIES else ""
    fits = found.variant == "tiny" or not wanted or found.variant == wanted
    if found.kind != "vae" or not fits:
        raise ModelFileError("error.model.not_vae", file=path, found=describe(found))


def companions(path: Path) -> tuple[Path, ...]:
    """The pickles that belong to the checkpoint `path`: its autoencoder, where that is one."""
    ends = (end for end in VAE_ENDS if Path(end).suffix in PICKLES)
    return tuple(file for file in (beside(path, end) for end in ends) if file.is_file())


def beside(path: Path, end: str) -> Path:
    """The companion of a weight file: `a/name.safetensors` and ".vae.pt" give `a/name.vae.pt`."""
    return path.with_name(path.stem + end)


def unused(name: str) -> bool:
    """Whether a checkpoint may well bring a tensor of this name though nothing reads it."""
    return name.startswith(UNUSED) or name.endswith(_UNUSED_ENDS)


def describe(found: Identity) -> str:
    """An identity in a few words, for errors."""
    words = [found.family, found.variant if found.variant != "base" else "", found.kind]
    return " ".join(word for word in words if word)


def _prediction(card: Mapping[str, Any], found: Identity, family: str) -> str | None:
    given = card.get("prediction_type", found.prediction_type)
    if given is not None:
        return str(given)
    # SD 2.0 and 2.1 came in both kinds, with the same names and shapes; its special variants predict the noise.
    return None if family == "sd2" and found.variant == "base" else "epsilon"


def _config(card: Mapping[str, Any], path: Path) -> dict[str, Any]:
    changes = card.get("config", {})
    good = isinstance(changes, dict) and all(
        name in (*PARTS, "scheduler") and isinstance(values, dict)
        for name, values in changes.items()
    )
    if not good:
        raise ModelFileError(
            "error.card.value",
            file=path,
            field="config",
            found=repr(changes)[:200],
            why="parts by name",
        )
    return dict(changes)
