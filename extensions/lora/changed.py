"""Putting changes into a model and taking them out again, bit by bit.

Weights are never written to. Low-rank changes are added by a forward hook, all LoRAs of a module in one pair of
matrices; a whole difference puts another parameter in the place of the model's own, which comes back as the very same
object. So the undo costs nothing and cannot round, and a new weight needs no more than a few small multiplications.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # its usual name
from torch import Tensor, nn

from .changes import Change

Scale = float | tuple[float, ...]
"""What a change is multiplied by: one number, or one for each row of the batch."""


class ChangedModule:
    """One module of a model with the changes of all LoRAs that have one for it."""

    def __init__(self, module: nn.Module, changes: Sequence[tuple[int, Change]]) -> None:
        self._module = module
        self._changes = changes
        self._scales: tuple[Scale, ...] | None = None
        self._down: Tensor | None = None
        self._up: Tensor | None = None
        self._rows: Tensor | None = None
        self._by_row: tuple[tuple[tuple[float, ...], Change], ...] = ()
        self._downs: dict[tuple[int, ...], Tensor] = {}
        names = sorted({name for _, change in changes for name in change.full})
        self._own = {name: getattr(module, name) for name in names}
        self._parallel = isinstance(module, nn.Linear | nn.Conv2d)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Hook the module; on leaving it has its own parameters and hooks again."""
        handle = self._module.register_forward_hook(self._add)
        try:
            yield
        finally:
            handle.remove()
            self._put_back()

    def scale(self, scales: Mapping[int, Mapping[str, Scale]]) -> None:
        """Set the weights, by LoRA and block; takes effect at the next call of the module."""
        wanted = tuple(scales[lora][change.block] for lora, change in self._changes)
        if wanted == self._scales:
            return
        self._scales = wanted
        acting = [
            (place, change, scale)
            for place, ((_, change), scale) in enumerate(zip(self._changes, wanted, strict=True))
            if (any(scale) if isinstance(scale, tuple) else scale)
        ]
        self._set_low([each for each in acting if each[1].down is not None])
        self._set_full([(change, scale) for _, change, scale in acting if change.full])

    def _set_low(self, acting: Sequence[tuple[int, Change, Scale]]) -> None:
        self._down = self._up = self._rows = None
        if not acting:
            return
        key = tuple(place for place, _, _ in acting)
        if key not in self._downs:
            downs = [change.down for _, change, _ in acting if change.down is not None]
            self._downs[key] = downs[0] if len(downs) == 1 else torch.cat(downs)
        self._down = self._downs[key]
        by_row = any(isinstance(scale, tuple) for _, _, scale in acting)
        ups = []
        columns = []
        for _, change, scale in acting:
            assert change.up is not None
            if isinstance(scale, tuple):
                ups.append(change.up)
                columns.append(_column(change.up, scale))
            else:
                ups.append(change.up * scale)
                if by_row:
                    columns.append(change.up.new_ones(1, change.up.shape[1]))
        self._up = ups[0] if len(ups) == 1 else torch.cat(ups, 1)
        if by_row:
            rows = max(len(column) for column in columns)
            self._rows = torch.cat([column.expand(rows, -1) for column in columns], 1)

    def _set_full(self, acting: Sequence[tuple[Change, Scale]]) -> None:
        self._by_row = tuple(
            (scale, change) for change, scale in acting if isinstance(scale, tuple)
        )
        if self._by_row and not self._parallel:
            kind = type(self._module).__name__
            raise ValueError(f"a {kind} cannot be changed for some pictures of a batch only")
        constant = [(change, scale) for change, scale in acting if isinstance(scale, float | int)]
        for name, own in self._own.items():
            differences = [
                (change.full[name], scale) for change, scale in constant if name in change.full
            ]
            if not differences:
                setattr(self._module, name, own)
                continue
            # A module without a bias gets one.
            total = (
                own.float()
                if own is not None
                else torch.zeros_like(differences[0][0], dtype=torch.float32)
            )
            for difference, scale in differences:
                total = torch.add(total, difference.float(), alpha=scale)
            changed = nn.Parameter(total.to(differences[0][0].dtype), requires_grad=False)
            setattr(self._module, name, changed)

    def _put_back(self) -> None:
        for name, own in self._own.items():
            setattr(self._module, name, own)
        self._scales = None
        self._down = self._up = self._rows = None
        self._by_row = ()

    def _add(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self._down is None and not self._by_row:
            return None  # the output as it is, to the bit
        given: Tensor = args[0]
        if self._down is not None and self._up is not None:
            inner = _through(module, given.to(self._down.dtype), self._down)
            if self._rows is not None:
                inner = inner * _beside(self._rows, inner)
            output = output + _out(module, inner, self._up).to(output.dtype)
        for scale, change in self._by_row:
            column = output.new_tensor(scale)
            if "weight" in change.full:
                added = _through(module, given, change.full["weight"])
                output = output + added * _beside(column[:, None], added)
            if "bias" in change.full:
                bias = change.full["bias"]
                shape = (1, -1, 1, 1) if output.dim() == 4 else (-1,)
                output = output + bias.reshape(shape) * _beside(column[:, None], output)
        return output


@contextmanager
def applied(
    parts: Mapping[str, nn.Module], loras: Sequence[Sequence[Change]]
) -> Iterator[Callable[[Mapping[int, Mapping[str, Scale]], Sequence[str]], None]]:
    """Put the changes of several LoRAs into the parts of a model; on leaving everything is as before.

    Yields a function that sets the weights, `weights[lora][block]`, of some of the parts; before it is called the
    model works as it did without.
    """
    by_module: dict[tuple[str, str], list[tuple[int, Change]]] = {}
    for number, changes in enumerate(loras):
        for change in changes:
            by_module.setdefault((change.part, change.path), []).append((number, change))
    with ExitStack() as stack:
        modules: dict[str, list[ChangedModule]] = {}
        for (part, path), own in by_module.items():
            changed = ChangedModule(parts[part].get_submodule(path), own)
            stack.enter_context(changed.applied())
            modules.setdefault(part, []).append(changed)

        def scale(weights: Mapping[int, Mapping[str, Scale]], which: Sequence[str]) -> None:
            for part in which:
                for changed in modules.get(part, ()):
                    changed.scale(weights)

        yield scale


def _through(module: nn.Module, given: Tensor, weight: Tensor) -> Tensor:
    """What the module would do with this weight and without a bias."""
    if isinstance(module, nn.Conv2d):
        # The module's own way, so that its stride and padding (which tiling turns) hold here too.
        return module._conv_forward(given, weight, None)
    return F.linear(given, weight)


def _out(module: nn.Module, inner: Tensor, up: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return F.conv2d(inner, up[..., None, None])
    return F.linear(inner, up)


def _beside(rows: Tensor, tensor: Tensor) -> Tensor:
    """(rows, n) shaped to multiply (rows, n, height, width), (rows, …, n), or the same for n = 1."""
    if len(rows) not in (1, len(tensor)):
        raise ValueError(f"weights for {len(rows)} rows meet a batch of {len(tensor)}")
    if tensor.dim() == 4:
        return rows[..., None, None]
    return rows.reshape(rows.shape[0], *[1] * (tensor.dim() - 2), rows.shape[1])


def _column(up: Tensor, scale: tuple[float, ...]) -> Tensor:
    return up.new_tensor(scale)[:, None].expand(-1, up.shape[1])
