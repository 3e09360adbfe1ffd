"""PAG's part in a generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from modules.plugins import GenerationRequest, hookimpl, problem
from modules.plugins.adapters import Adapter, Parts, Step, ask_again, clean

from .plugin import Layers, PagOptions

if TYPE_CHECKING:
    from modules.plugins.adapters import Row


class PagWorker:
    """The worker part."""

    @hookimpl
    def prepare_generation(
        self, request: GenerationRequest, options: PagOptions, parts: Parts
    ) -> Adapter | None:
        return Pag(options) if options.scale else None


@dataclass(frozen=True, eq=False)
class _Call:
    """What one call of the denoiser was given."""

    rows: tuple[Row, ...]
    model_input: torch.Tensor
    conditioning: torch.Tensor
    added: Mapping[str, torch.Tensor]
    model_kwargs: dict[str, Any]


class Pag(Adapter):
    """Asks the denoiser once more with the self-attention of some layers replaced by identity, and moves away from that.

    With CFG: denoised + s * (clean(positive) - clean(positive, perturbed)), the paper's equation 16 in clean latents.
    """

    order = 1000  # after those that add residuals
    text_key = ""

    def __init__(self, options: PagOptions) -> None:
        self._options = options
        self._calls: list[_Call] = []
        self._answers: list[torch.Tensor] = []
        self._step: Step | None = None
        self._perturbs = False
        self._parts: Parts | None = None

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """Listen at the denoiser and at the layers while the generation runs.

        Raises:
            UserError: the model has no such layers.
        """
        layers = self_attention(parts.unet, self._options.layers)
        self._parts = parts
        with ExitStack() as hooks:
            for layer in layers:
                handle = layer.register_forward_hook(self._perturb, with_kwargs=True)
                hooks.callback(handle.remove)
            hooks.callback(parts.unet.register_forward_hook(self._listen).remove)
            yield

    def before_model(self, step: Step) -> None:
        """Keep what the call is given."""
        if step is not self._step:
            self._step, self._calls, self._answers = step, [], []
        self._calls.append(
            _Call(step.rows, step.model_input, step.conditioning, step.added, step.model_kwargs)
        )

    def after_guidance(self, step: Step) -> None:
        """Add the difference that self-attention makes."""
        share = step.step / step.steps
        within = self._options.start <= share < self._options.end
        if not within or step.parts is not self._parts:  # a refiner has taken over
            return
        total = sum(row.weight for call in self._calls for row in call.rows if _counts(row))
        for call, answer in zip(self._calls, self._answers, strict=True):
            count = len(call.model_input) // len(call.rows)
            for place, row in enumerate(call.rows):
                if not _counts(row) or not total:
                    continue
                mine = slice(place * count, (place + 1) * count)
                plain = clean(step, answer[mine].float())
                perturbed = clean(step, self._ask(step, call, mine))
                pull = (plain - perturbed) * (row.weight / total)
                step.denoised = step.denoised + pull * self._options.scale

    def _ask(self, step: Step, call: _Call, mine: slice) -> torch.Tensor:
        rows = len(call.model_input)
        self._perturbs = True
        try:
            return ask_again(
                step,
                call.model_input[mine],
                call.conditioning[mine],
                {name: each[mine] for name, each in call.added.items()},
                {name: _part(each, rows, mine) for name, each in call.model_kwargs.items()},
            )
        finally:
            self._perturbs = False

    def _listen(self, module: nn.Module, given: object, answer: Any) -> None:
        if not self._perturbs:
            self._answers.append(answer[0])

    def _perturb(
        self, layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any], answer: Any
    ) -> Any:
        if not self._perturbs:
            return None
        hidden = given[0] if given else named["hidden_states"]
        found = layer.to_v(hidden)  # attention with the identity as its map
        for each in layer.to_out:
            found = each(found)
        return found


def self_attention(unet: Any, which: Layers) -> list[nn.Module]:
    """The self-attention layers of a part of a U-Net.

    Raises:
        UserError: it has none there.
    """
    match which:
        case "mid":
            blocks = [getattr(unet, "mid_block", None)]
        case "deep_down":
            blocks = list(reversed(getattr(unet, "down_blocks", [])))
        case "deep_up":
            blocks = list(getattr(unet, "up_blocks", []))
    for block in blocks:
        found = [
            module
            for name, module in (block.named_modules() if block is not None else ())
            if name.endswith("attn1") and hasattr(module, "to_v")
        ]
        if found:
            return found
    raise problem(
        "This model has no self-attention there. Choose other layers, or switch it off for this model.",
        "该模型在此处没有自注意力。请选择其他层，或为该模型关闭它。",
    )


def _counts(row: Row) -> bool:
    return row.kind == "positive"


def _part(value: Any, rows: int, mine: slice) -> Any:
    """The part of an argument that belongs to some of the rows."""
    if isinstance(value, torch.Tensor):
        return value[mine] if value.ndim and len(value) == rows else value
    if isinstance(value, tuple | list):
        return type(value)(_part(each, rows, mine) for each in value)
    if isinstance(value, dict):
        return {name: _part(each, rows, mine) for name, each in value.items()}
    return value
