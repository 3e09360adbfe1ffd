"""Checking a folder of diffusers with a model whose denoiser is a transformer; see `folder` for the UNet families."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError
from modules.library.headers import read_header

_CLIP = ("CLIPTextModel",)
_CLIP_PROJECTED = ("CLIPTextModelWithProjection",)
_T5 = ("T5EncoderModel",)
_CLIP_WORDS = ("CLIPTokenizer", "CLIPTokenizerFast")
_T5_WORDS = ("T5Tokenizer", "T5TokenizerFast")
_QWEN_WORDS = ("Qwen2Tokenizer", "Qwen2TokenizerFast")
_VAE = ("AutoencoderKL",)

FLOW_CLASSES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sd3": {
        "tokenizer": _CLIP_WORDS,
        "tokenizer_2": _CLIP_WORDS,
        "tokenizer_3": _T5_WORDS,
        "text_encoder": _CLIP_PROJECTED,
        "text_encoder_2": _CLIP_PROJECTED,
        "text_encoder_3": _T5,
        "transformer": ("SD3Transformer2DModel",),
        "vae": _VAE,
    },
    "flux1": {
        "tokenizer": _CLIP_WORDS,
        "tokenizer_2": _T5_WORDS,
        "text_encoder": _CLIP,
        "text_encoder_2": _T5,
        "transformer": ("FluxTransformer2DModel",),
        "vae": _VAE,
    },
    "flux2": {
        "tokenizer": ("PixtralProcessor", *_QWEN_WORDS),
        "text_encoder": ("Mistral3ForConditionalGeneration", "Qwen3ForCausalLM"),
        "transformer": ("Flux2Transformer2DModel",),
        "vae": ("AutoencoderKLFlux2",),
    },
    "z_image": {
        "tokenizer": _QWEN_WORDS,
        "text_encoder": ("Qwen3Model", "Qwen3ForCausalLM"),
        "transformer": ("ZImageTransformer2DModel",),
        "vae": _VAE,
    },
    "qwen_image": {
        "tokenizer": _QWEN_WORDS,
        "text_encoder": ("Qwen2_5_VLForConditionalGeneration",),
        "transformer": ("QwenImageTransformer2DModel",),
        "vae": ("AutoencoderKLQwenImage",),
    },
}
"""Parts of a model by its family, and the classes that can be used for them."""
FLOW_PIPELINES: Mapping[str, str] = {
    "StableDiffusion3Pipeline": "sd3",
    "StableDiffusion3Img2ImgPipeline": "sd3",
    "StableDiffusion3InpaintPipeline": "sd3",
    "FluxPipeline": "flux1",
    "FluxImg2ImgPipeline": "flux1",
    "FluxInpaintPipeline": "flux1",
    "Flux2Pipeline": "flux2",
    "Flux2KleinPipeline": "flux2",
    "ZImagePipeline": "z_image",
    "ZImageImg2ImgPipeline": "z_image",
    "ZImageInpaintPipeline": "z_image",
    "QwenImagePipeline": "qwen_image",
    "QwenImageImg2ImgPipeline": "qwen_image",
    "QwenImageInpaintPipeline": "qwen_image",
}
OPTIONAL: Mapping[str, tuple[str, ...]] = {"sd3": ("text_encoder_3", "tokenizer_3")}
"""Parts that a model may do without."""
FLOW_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "sd3": {"steps": 28, "cfg_scale": 4.5},
    "flux1": {"steps": 28, "cfg_scale": 3.5},
    "flux2": {"steps": 50, "cfg_scale": 4.0},
    "z_image": {"steps": 9, "cfg_scale": 1.0},
    "qwen_image": {"steps": 50, "cfg_scale": 4.0},
}
"""What the models' authors recommend; a card says other things for distilled variants."""
USUAL: Mapping[str, Any] = {"width": 1024, "height": 1024, "sampler": "euler"}
SCHEDULERS = ("FlowMatchEulerDiscreteScheduler",)


def classes_of(index: Mapping[str, Any], family: str, file: Path) -> dict[str, str]:
    """The class of each part that the model has.

    Args:
        index: `model_index.json`, which is `file`.

    Raises:
        ModelFileError: a class that cannot be used, or a part that is missing.
    """
    found = {}
    for part, known in FLOW_CLASSES[family].items():
        named = index.get(part)
        module, name = named if isinstance(named, list) and len(named) == 2 else (None, None)
        if name is None and part in OPTIONAL.get(family, ()):
            continue
        if module not in ("diffusers", "transformers") or name not in known:
            raise ModelFileError(
                "error.model.class",
                file=file,
                part=part,
                found=f"{module}.{name}",
                known=", ".join(known),
            )
        found[part] = str(name)
    return found


def check_words(path: Path) -> None:
    """Whether a folder holds a tokenizer of these families.

    Raises:
        ModelFileError: there is none.
    """
    whole = any((path / name).is_file() for name in ("tokenizer.json", "spiece.model"))
    parts = (path / "vocab.json").is_file() and (path / "merges.txt").is_file()
    if not (whole or parts):
        raise ModelFileError("error.model.missing", file=path / "tokenizer.json")


def check_scheduler(config: Mapping[str, Any], file: Path) -> None:
    """Whether the model is sampled as its family is.

    Raises:
        ModelFileError: another kind of scheduler.
    """
    if config.get("_class_name") not in SCHEDULERS:
        raise ModelFileError(
            "error.model.class",
            file=file,
            part="scheduler",
            found=config.get("_class_name"),
            known=", ".join(SCHEDULERS),
        )


def check_headers(files: tuple[Path, ...]) -> None:
    """Whether weight files are whole.

    Raises:
        ModelFileError: one is not; names it.
    """
    for file in files:
        read_header(file)
