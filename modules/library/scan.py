"""Finding models on the disk. Never raises for what lies there: what cannot be used becomes a `Problem`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modules.errors import ModelFileError, UserError
from modules.library.cards import Problem, ScanResult
from modules.library.folder import CARD, INDEX, PICKLES, ModelFolder, check_folder, read_json
from modules.library.headers import read_header
from modules.schema import ModelCard

CHECKPOINTS = "checkpoints"
MAX_DEPTH = 8


def scan(models_dir: Path) -> ScanResult:
    """Every checkpoint below `models_dir/checkpoints`, at any depth; links are followed, loops are not."""
    cards: dict[str, ModelCard] = {}
    problems: list[Problem] = []
    root = models_dir / CHECKPOINTS
    for path in _candidates(root, problems, set(), 0):
        try:
            card = read_card(path, root) if path.is_dir() else _single_file(path)
        except UserError as error:
            problems.append(Problem(path, error))
            continue
        if card.name in cards:
            other = cards[card.name].path
            doubled = ModelFileError("error.model.doubled", file=path, name=card.name, other=other)
            problems.append(Problem(path, doubled))
        else:
            cards[card.name] = card
    return ScanResult(
        tuple(sorted(cards.values(), key=lambda card: card.name.casefold())),
        tuple(sorted(problems, key=lambda problem: problem.path)),
    )


def read_card(path: Path, root: Path | None = None) -> ModelCard:
    """The card of one model folder: `card.json` where there is one, the rest from the model's own configuration.

    Raises:
        ModelFileError: the folder or the card cannot be used.
    """
    given: dict[str, Any] = read_json(path / CARD) if (path / CARD).exists() else {}
    folder = check_folder(path, _preview(path, given))
    trained = folder.scheduler.get("prediction_type", "epsilon")
    # A card that contradicts the model would mean a wrong picture; the engine goes by the model.
    if given.get("prediction_type", trained) != trained:
        raise ModelFileError(
            "error.card.prediction",
            file=path / CARD,
            found=given["prediction_type"],
            expected=trained,
        )
    name = path.relative_to(root).as_posix() if root else path.name
    found = {"name": name, "title": path.name, "family": "sd1", **_from_config(folder), **given}
    if found["family"] != "sd1":
        raise ModelFileError("error.model.family", file=path / CARD, found=found["family"])
    own = {
        "path": path,
        "size_bytes": folder.size_bytes,
        "prediction_type": trained,
        "preview": folder.preview,
    }
    fields = {key: value for key, value in found.items() if key in ModelCard.model_fields}
    try:
        return ModelCard.model_validate({**fields, **own})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(
            "error.card.value",
            file=path / CARD,
            field=field,
            found=repr(first["input"]),
            why=first["msg"],
        ) from error


def _preview(path: Path, given: dict[str, Any]) -> str | None:
    preview = given.get("preview")
    if preview is None:
        return "vae_tiny" if (path / "vae_tiny" / "config.json").is_file() else None
    return str(preview)


def _from_config(folder: ModelFolder) -> dict[str, Any]:
    """What a model without a card is asked for: pictures of the size that its denoiser was made for."""
    sample = folder.unet.get("sample_size") or 64
    blocks = folder.vae.get("block_out_channels") or (0,) * 4
    side = (sample if isinstance(sample, int) else 64) * 2 ** (len(blocks) - 1)
    return {
        "defaults": {"width": side, "height": side},
        "size_limits": {"minimum": min(256, max(8, side // 2))},
    }


def _candidates(path: Path, problems: list[Problem], seen: set[Path], depth: int) -> Iterator[Path]:
    """Model folders and weight files below `path`; a folder that is no model is looked into."""
    try:
        real = path.resolve()
        entries = sorted(path.iterdir()) if path.is_dir() else []
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        problems.append(Problem(path, ModelFileError("error.model.read", file=path, why=error)))
        return
    if real in seen or depth > MAX_DEPTH:
        return
    seen.add(real)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if _is_model(entry):
                yield entry
            else:
                yield from _candidates(entry, problems, seen, depth + 1)
        elif entry.suffix.lower() in (".safetensors", *PICKLES):
            yield entry


def _is_model(path: Path) -> bool:
    return any((path / name).exists() for name in (INDEX, CARD, "unet", "text_encoder"))


def _single_file(path: Path) -> ModelCard:
    """Say what a single weight file is; none can be loaded yet.

    Raises:
        ModelFileError: always, with the reason.
    """
    if path.suffix.lower() in PICKLES:
        raise ModelFileError("error.model.pickle", file=path)
    shapes = read_header(path).shapes
    raise ModelFileError("error.model.single", file=path, found=identify(shapes))


def identify(shapes: dict[str, tuple[int, ...]]) -> str:
    """What a single file holds, by the names and shapes of its tensors."""
    attention = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    deeper = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    width = (shapes.get(attention) or shapes.get(deeper) or (0, 0))[-1]
    families = {
        768: "Stable Diffusion 1.x",
        1024: "Stable Diffusion 2.x",
        2048: "Stable Diffusion XL",
    }
    if any(name.startswith(("lora_", "lycoris_")) or ".lora_" in name for name in shapes):
        return "LoRA"
    return families.get(width, "unknown")
