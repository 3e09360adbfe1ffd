"""Finding models on the disk. Never raises for what lies there: what cannot be used becomes a `Problem`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modules.errors import ModelFileError, UserError, reason
from modules.library.cards import Problem, ScanResult
from modules.library.flow_folder import FLOW_CLASSES, FLOW_DEFAULTS, USUAL
from modules.library.folder import CARD, INDEX, PICKLES, ModelFolder, check_folder, read_json
from modules.library.headers import read_header
from modules.library.identify import Identity, identify
from modules.library.single import CARD_END, VAE_ENDS, ModelFile, beside, check_file, readable
from modules.schema import ModelCard
from modules.schema.problems import explain

CHECKPOINTS = "checkpoints"
MAX_DEPTH = 8
NO_VELOCITY_SIDE = 512
"""Pixels of those SD 2.x models that predict the noise."""


@dataclass(frozen=True)
class WeightFile:
    """One file of a folder for other kinds than checkpoints: VAEs, embeddings, LoRAs …"""

    name: str
    """Its path below the folder without the end, as requests and prompts name it."""
    path: Path
    identity: Identity
    metadata: dict[str, str]
    size_bytes: int


def scan(
    models_dir: Path, converted: Callable[[Path], Path | None] = lambda path: None
) -> ScanResult:
    """Every checkpoint below `models_dir/checkpoints`, at any depth; links are followed, loops are not.

    Args:
        converted: where a pickle's safetensors copy is (`pickles.Converter.known`); None if there is none.
    """
    cards: dict[str, ModelCard] = {}
    problems: list[Problem] = []
    root = models_dir / CHECKPOINTS
    for path in _candidates(root, problems, set(), 0, _is_model):
        try:
            card = _card(path, root, converted)
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


def scan_files(
    root: Path, converted: Callable[[Path], Path | None] = lambda path: None
) -> tuple[tuple[WeightFile, ...], tuple[Problem, ...]]:
    """Every weight file below `root`, with what it is by its header, and those that cannot be read.

    Args:
        converted: as for `scan`.
    """
    found: list[WeightFile] = []
    problems: list[Problem] = []
    for path in _candidates(root, problems, set(), 0, lambda folder: False):
        try:
            file = readable(path, converted)
            header = read_header(file)
            name = path.relative_to(root).with_suffix("").as_posix()
            what = identify(header.shapes, header.metadata)
            found.append(WeightFile(name, file, what, header.metadata, file.stat().st_size))
        except UserError as error:
            problems.append(Problem(path, error))
        except OSError as error:
            why = ModelFileError("error.model.read", file=path, why=reason(error))
            problems.append(Problem(path, why))
    return tuple(found), tuple(problems)


def read_card(path: Path, root: Path | None = None) -> ModelCard:
    """The card of one model, a folder or a file: its `card.json` where there is one, the rest from the model itself.

    Raises:
        ModelFileError: the model or the card cannot be used.
    """
    return _card(path, root, lambda pickle: None)


def _card(path: Path, root: Path | None, converted: Callable[[Path], Path | None]) -> ModelCard:
    if path.is_dir():
        return _folder_card(path, root)
    file = check_file(path, converted)
    name = (path.relative_to(root) if root else Path(path.name)).with_suffix("").as_posix()
    usual = {"name": name, "title": path.stem, **_from_file(file)}
    own = {
        "path": file.path,
        "family": file.spec.family,
        "variant": file.variant,
        "size_bytes": file.size_bytes,
        "prediction_type": file.spec.scheduler["prediction_type"],
        "preview": None,
    }
    return _valid({**usual, **file.card}, own, beside(path, CARD_END))


def _folder_card(path: Path, root: Path | None) -> ModelCard:
    given: dict[str, Any] = read_json(path / CARD) if (path / CARD).exists() else {}
    folder = check_folder(path, _preview(path, given), given.get("family"))
    if folder.family in FLOW_CLASSES and isinstance(given.get("defaults"), dict):
        given = {**given, "defaults": {**_from_config(folder)["defaults"], **given["defaults"]}}
    usual_kind = "flow" if folder.family in FLOW_CLASSES else "epsilon"
    trained = folder.scheduler.get("prediction_type", usual_kind)
    # A card that contradicts the model would mean a wrong picture; the engine goes by the model.
    if given.get("prediction_type", trained) != trained:
        raise ModelFileError(
            "error.card.prediction",
            file=path / CARD,
            found=given["prediction_type"],
            expected=trained,
        )
    name = path.relative_to(root).as_posix() if root else path.name
    own = {
        "path": path,
        "family": folder.family,
        "variant": folder.variant,
        "size_bytes": folder.size_bytes,
        "prediction_type": trained,
        "preview": folder.preview,
    }
    usual = {"name": name, "title": path.name, **_from_config(folder)}
    return _valid({**usual, **given}, own, path / CARD)


def _valid(found: dict[str, Any], own: dict[str, Any], card: Path) -> ModelCard:
    """Raises: ModelFileError: a value of the card is none."""
    fields = {key: value for key, value in found.items() if key in ModelCard.model_fields}
    try:
        return ModelCard.model_validate({**fields, **own})
    except ValidationError as error:
        wrong = explain(error)
        raise ModelFileError(
            "error.card.value",
            file=card,
            field=wrong.field,
            found=wrong.found,
            why=wrong.why,
        ) from error


def _from_file(file: ModelFile) -> dict[str, Any]:
    defaults = dict(file.spec.defaults)
    side = file.identity.side
    predicts_noise = file.spec.scheduler["prediction_type"] == "epsilon"
    if side is None and file.spec.family == "sd2" and predicts_noise:
        side = NO_VELOCITY_SIDE
    if side is not None:
        defaults |= {"width": side, "height": side}
    return {"defaults": defaults, "size_limits": file.spec.size_limits}


def _preview(path: Path, given: dict[str, Any]) -> str | None:
    preview = given.get("preview")
    if preview is None:
        return "vae_tiny" if (path / "vae_tiny" / "config.json").is_file() else None
    return str(preview)


def _from_config(folder: ModelFolder) -> dict[str, Any]:
    """What a model without a card is asked for: pictures of the size that its denoiser was made for."""
    if folder.family in FLOW_CLASSES:
        return {"defaults": {**USUAL, **FLOW_DEFAULTS[folder.family]}}
    sample = folder.unet.get("sample_size") or 64
    blocks = folder.vae.get("block_out_channels") or (0,) * 4
    side = (sample if isinstance(sample, int) else 64) * 2 ** (len(blocks) - 1)
    return {
        "defaults": {"width": side, "height": side},
        "size_limits": {"minimum": min(256, max(8, side // 2))},
    }


def _candidates(
    path: Path,
    problems: list[Problem],
    seen: set[Path],
    depth: int,
    is_model: Callable[[Path], bool],
) -> Iterator[Path]:
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
            if entry.suffix == ".tokenizer":
                continue
            if is_model(entry):
                yield entry
            else:
                yield from _candidates(entry, problems, seen, depth + 1, is_model)
        elif entry.suffix.lower() in (".safetensors", *PICKLES) and not _companion(entry):
            yield entry


def _companion(path: Path) -> bool:
    """An autoencoder that belongs to the checkpoint beside it."""
    stem = next((path.name.removesuffix(end) for end in VAE_ENDS if path.name.endswith(end)), None)
    if stem is None:
        return False
    return any(path.with_name(stem + end).is_file() for end in (".safetensors", ".ckpt"))


def _is_model(path: Path) -> bool:
    return any(
        (path / name).exists() for name in (INDEX, CARD, "unet", "transformer", "text_encoder")
    )
