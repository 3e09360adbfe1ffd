"""The units' part in a generation: what each control model says is weighed, masked and added up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import JsonValue

from modules.plugins import GenerationRequest, Host
from modules.plugins.adapters import Adapter, Parts, Step

from .checks import check_kind
from .infotext import written
from .ip_adapter import References
from .ip_adapter_encoder import Encoders
from .maps import control_map, mask_of
from .modules_list import module_named
from .nets import Net
from .unit import Unit

_SOFT = 0.825
"""Each output further from the middle counts so much less where prompt or control come first (A1111 family)."""


@dataclass(eq=False)
class Seen:
    """What a unit's control model sees at one size of the result."""

    hint: torch.Tensor
    """(1, channels, height, width) in pixels, 0 to 1; -1 where a model for inpainting is to paint."""
    mask: torch.Tensor | None
    """(1, 1, height, width): where the unit acts."""
    features: tuple[torch.Tensor, ...] = ()
    """What a T2I-Adapter makes of the hint, once for all steps."""


@dataclass(eq=False)
class Strand:
    """A unit with its control model."""

    unit: Unit
    net: Net
    seen: dict[tuple[int, int], Seen] = field(default_factory=dict)
    map_id: str | None = None

    def within(self, share: float) -> bool:
        """Whether it acts at a share of the steps."""
        start, end = self.unit.guidance_start, self.unit.guidance_end
        return start <= share < end or (end == 1 and share >= start)


class Control(Adapter):
    """All units of a request together."""

    text_key = ""
    order = 100  # after LoRAs, whose part in the queries IP-Adapters read

    def __init__(
        self,
        host: Host,
        request: GenerationRequest,
        parts: Parts,
        strands: Sequence[Strand],
        encoders: Encoders,
    ) -> None:
        """Makes each map once, so that a picture that cannot be read is told of before the first step.

        Raises:
            UserError: a picture, a preprocessor's weights or an image encoder is missing.
        """
        self._host = host
        self._strands = tuple(strands)
        self._parts = parts
        self._hires = request.hires is not None
        self._factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        width, height = request.width or 512, request.height or 512
        rows, columns = -(-height // self._factor), -(-width // self._factor)
        for strand in self._strands:
            check_kind(strand.unit, strand.net.name, strand.net.kind)
            if strand.net.kind != "ip_adapter":
                self._see(strand, (rows, columns))
        self._referring = [each for each in self._strands if each.net.kind == "ip_adapter"]
        pairs = [(each.unit, each.net) for each in self._referring]
        self._references = References(host, encoders, pairs, parts, self._factor)

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """IP-Adapters' layers in the denoiser; control models stay outside."""
        if not self._referring:
            yield
            return
        with self._references.applied(parts):
            yield

    def before_model(self, step: Step) -> None:
        """Ask each control model that acts now, and add what it says to the denoiser's blocks."""
        if step.parts is not self._parts:  # a refiner has taken over
            return
        second = self._hires and step.request.hires is None
        share = step.step / step.steps
        intra: list[torch.Tensor] | None = None
        acting = [
            strand
            for strand in self._strands
            if strand.within(share) and _in_pass(strand.unit, self._hires, second)
        ]
        self._references.give(
            step, [place for place, each in enumerate(self._referring) if each in acting]
        )
        for strand in acting:
            if strand.net.kind == "ip_adapter":
                continue
            seen = self._see(strand, (step.latents.shape[-2], step.latents.shape[-1]))
            if strand.net.kind == "t2i_adapter":
                found = self._features(strand, step, seen)
                intra = (
                    found if intra is None else [a + b for a, b in zip(intra, found, strict=True)]
                )
            else:
                step.add_residuals(*self._residuals(strand, step, seen))
        if intra is not None:
            step.model_kwargs["down_intrablock_additional_residuals"] = intra

    def infotext(self) -> dict[str, str]:
        """One line for each unit, as the A1111 family writes it."""
        return {
            f"ControlNet {number}": written(strand.unit, strand.net.name, strand.net.hash)
            for number, strand in enumerate(self._strands)
        }

    def receipt(self) -> JsonValue:
        """What each unit used; the id of its map where that is kept."""
        return [
            {
                "model": strand.net.name,
                "hash": strand.net.hash,
                "kind": strand.net.kind,
                "module": strand.unit.module,
                "weight": strand.unit.weight,
                **({"map": strand.map_id} if strand.map_id else {}),
            }
            for strand in self._strands
        ]

    # -------------------------------------------------------------------------------------- one unit

    def _residuals(
        self, strand: Strand, step: Step, seen: Seen
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        net, rows = strand.net.model, len(step.model_input)
        # The picture and mask that an inpainting model reads beside the latents are not for the control model.
        noisy = step.model_input[:, : net.config.in_channels].to(step.parts.dtype)
        more: dict[str, Any] = {}
        if step.added:
            more["added_cond_kwargs"] = dict(step.added)
        down, mid = net(
            noisy,
            step.timestep,
            encoder_hidden_states=step.conditioning.to(step.parts.dtype),
            controlnet_cond=seen.hint.expand(rows, -1, -1, -1),
            return_dict=False,
            **more,
        )
        weights = _weights(strand.unit, len(down) + 1)
        weighed = [
            _masked(one, seen.mask) * (weight * self._rows(strand.unit, step, one))
            for one, weight in zip((*down, mid), weights, strict=True)
        ]
        return weighed[:-1], weighed[-1]

    def _features(self, strand: Strand, step: Step, seen: Seen) -> list[torch.Tensor]:
        weights = _weights(strand.unit, len(seen.features))
        return [
            (_masked(one, seen.mask) * weight).expand(len(step.model_input), -1, -1, -1)
            * self._rows(strand.unit, step, one)
            for one, weight in zip(seen.features, weights, strict=True)
        ]

    @staticmethod
    def _rows(unit: Unit, step: Step, like: torch.Tensor) -> torch.Tensor:
        """(rows, 1, 1, 1): 0 for the negative prompt where the control comes first, so that guidance amplifies it."""
        count = len(step.model_input) // len(step.rows)
        kept = [
            0.0 if unit.control_mode == "control" and row.kind != "positive" else 1.0
            for row in step.rows
            for _ in range(count)
        ]
        return torch.tensor(kept, device=like.device, dtype=like.dtype).view(-1, 1, 1, 1)

    def _see(self, strand: Strand, latents: tuple[int, int]) -> Seen:
        """The map for latents of a size, made once."""
        if latents not in strand.seen:
            # A T2I-Adapter's levels count from eight pixels to a latent, whatever the autoencoder does.
            factor = 8 if strand.net.kind == "t2i_adapter" else self._factor
            size = (latents[1] * factor, latents[0] * factor)
            image = control_map(self._host, strand.unit, size)
            mask = mask_of(self._host, strand.unit, size)
            pixels = np.asarray(image, np.float32) / 255
            if module_named(strand.unit.module).name == "inpaint_only" and mask is not None:
                pixels = np.where(mask[..., None] > 0.5, np.float32(-1), pixels)
                mask = None
            if strand.unit.save_detected_map and strand.map_id is None:
                strand.map_id = self._kept(image)
            strand.seen[latents] = self._ready(strand.net, pixels, mask)
        return strand.seen[latents]

    def _kept(self, image: Image.Image) -> str:
        """The id of a map that stays: what was only handed in goes after some days."""
        name = self._host.keep_picture(image)
        target = self._host.data / "maps" / f"{name}.png"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(f".{os.getpid()}.part")
            image.save(part, "PNG")
            os.replace(part, target)
        return name

    @torch.no_grad()
    def _ready(self, net: Net, pixels: Any, mask: Any) -> Seen:
        parts = self._parts
        hint = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        if net.channels == 1:
            hint = hint.mean(1, keepdim=True)
        hint = hint.to(parts.device, parts.dtype)
        covers = None
        if mask is not None:
            covers = torch.from_numpy(np.ascontiguousarray(mask))[None, None].to(parts.device)
        features: tuple[torch.Tensor, ...] = ()
        if net.kind == "t2i_adapter":
            features = tuple(net.model(hint))
        return Seen(hint, covers, features)


def _in_pass(unit: Unit, hires: bool, second: bool) -> bool:
    """Whether it acts in this pass of hires fix; without it there is one pass, in which all act."""
    wanted = {"both": (True, True), "low_res_only": (True, False), "high_res_only": (False, True)}
    return not hires or wanted[unit.hr_option][1 if second else 0]


def _weights(unit: Unit, count: int) -> list[float]:
    """For each output, from the largest to the middle."""
    soft = unit.control_mode != "balanced"
    return [unit.weight * (_SOFT ** (count - 1 - n) if soft else 1.0) for n in range(count)]


def _masked(one: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return one
    sized = F.interpolate(mask, size=one.shape[-2:], mode="area")
    return one * sized.to(one.dtype)
