"""The rows' part in a generation: weights of each LoRA, block, step and picture, and the receipt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from modules.plugins import UserError
from modules.plugins.adapters import Adapter, Parts, Step

from .architecture import TEXT, TEXT_2, UNET
from .blocks import block_weight, order
from .changed import Scale, applied
from .curve import factor
from .infotext import HASHES, UNREAD, written_rows
from .loaded import Lora, part_modules
from .rows import Row

Weights = Mapping[int, Mapping[str, Scale]]


@dataclass(frozen=True)
class Strand:
    """One row with what it stands for."""

    row: Row
    lora: Lora

    def text_weights(self) -> dict[str, Scale]:
        """By block; a row for some pictures only leaves the text alone, which all pictures share."""
        weight = 0.0 if self.row.pictures else self.row.text_weight
        return {"te": weight, "te2": weight}

    def unet_weights(self, share: float, pictures: int, rows: int) -> dict[str, Scale]:
        """By block, at a share of the steps; the batch holds its pictures in order, `rows / pictures` times over."""
        weight = self.row.weight * factor(share, self.row.start, self.row.end, self.row.curve)
        found: dict[str, Scale] = {}
        for block in self.lora.relative:
            there = weight * block_weight(block, self.row.blocks)
            if self.row.pictures and there:
                chosen = [there if place in self.row.pictures else 0.0 for place in range(pictures)]
                found[block] = tuple(chosen * (rows // pictures)) if any(chosen) else 0.0
            else:
                found[block] = there
        return found


class Mix(Adapter):
    """All rows of a request together."""

    order = -10  # before what looks at the model, such as guidance that runs it a second time

    def __init__(
        self,
        strands: Sequence[Strand],
        unread: Sequence[str] = (),
        *,
        untagged: Sequence[Row] = (),
        refined: bool = False,
        warnings: Sequence[UserError] = (),
    ) -> None:
        """`untagged`: rows that no tag of the prompt says, which the text has to. `warnings`: told with the job.

        `refined`: a refiner ends the picture; it is left as it is, which the receipt says.
        """
        self._untagged = tuple(untagged)
        self._refined = refined
        self._strands = tuple(strands)
        self._unread = tuple(unread)
        self._warnings = tuple(warnings)
        self._scale: Callable[[Weights, Sequence[str]], None] | None = None
        self.text_key = _text_key(self._strands)

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """Put the LoRAs in, the text encoders at once at their weights, the U-Net as at the first step."""
        modules = part_modules(parts)
        loras = [strand.lora.changes for strand in self._strands]
        with applied(modules, loras) as scale:
            self._scale = scale
            try:
                scale(self._text(), [part for part in (TEXT, TEXT_2) if part in modules])
                yield
            finally:
                self._scale = None

    def before_model(self, step: Step) -> None:
        """Set the weights of this call."""
        if self._scale is None:
            raise RuntimeError("the LoRAs are not in the model")
        pictures, rows = len(step.latents), len(step.model_input)
        share = step.step / step.steps
        weights: dict[int, Mapping[str, Scale]] = {
            number: strand.unet_weights(share, pictures, rows)
            for number, strand in enumerate(self._strands)
        }
        self._scale(weights, (UNET,))

    def warnings(self) -> Sequence[UserError]:
        """What of the tags changes nothing."""
        return self._warnings

    def receipt(self) -> JsonValue:
        """After the run: what each row did, as plain JSON."""
        more: dict[str, JsonValue] = {"refiner": "unchanged"} if self._refined else {}
        return [{**receipt(strand), **more} for strand in self._strands]

    def infotext(self) -> dict[str, str]:
        """What the picture's text says of it: A1111's "Lora hashes", rows without a tag, and what of the tags went unused."""
        hashes = dict.fromkeys(
            f"{_plain(strand.lora.file.path.stem)}: {strand.lora.hash}" for strand in self._strands
        )
        found = {HASHES: ", ".join(hashes)} if hashes else {}
        found |= written_rows(self._untagged)
        if self._unread:
            found[UNREAD] = ", ".join(self._unread)
        return found

    def _text(self) -> Weights:
        return {number: strand.text_weights() for number, strand in enumerate(self._strands)}


def _text_key(strands: Sequence[Strand]) -> str:
    """Differs where the text encoders give other answers; nothing where no row reaches them."""
    acting = [
        f"{strand.lora.hash}:{strand.row.text_weight!r}"
        for strand in strands
        if strand.lora.changes_text and any(strand.text_weights().values())
    ]
    return "lora " + " ".join(acting) if acting else ""


def receipt(strand: Strand) -> dict[str, JsonValue]:
    """Which share of the file's keys was applied, and how large the change was, by block, at its strongest."""
    lora, row = strand.lora, strand.row
    heights = [abs(factor(step / 100, row.start, row.end, row.curve)) for step in range(101)]
    strongest = max(heights)
    blocks: dict[str, JsonValue] = {}
    for block in sorted(lora.relative, key=order):
        text = block in ("te", "te2")
        weight = strand.text_weights()[block] if text else row.weight * strongest
        if isinstance(weight, tuple):
            weight = max(weight, key=abs)
        at = 1.0 if text else block_weight(block, row.blocks)
        blocks[block] = round(abs(weight * at) * lora.relative[block], 6)
    return {
        "name": lora.file.name,
        "hash": lora.hash,
        "weight": row.weight,
        "te": row.text_weight,
        "applied": round(lora.reading.fraction, 4),
        "keys": lora.reading.total,
        "unknown": len(lora.reading.unknown),
        "misfits": len(lora.reading.misfits),
        "kinds": list(lora.reading.kinds),
        "blocks": blocks,
    }


def _plain(name: str) -> str:
    return name.replace(":", "").replace(",", "")
