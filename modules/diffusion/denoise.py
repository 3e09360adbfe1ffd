"""The loop: from noise to a picture's latents. Everything that makes a generation special comes in through adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modules.diffusion import guidance
from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families import FAMILIES
from modules.diffusion.latents import Sources
from modules.diffusion.parts import Parts
from modules.diffusion.solvers.protocol import Ask, Event, Run
from modules.diffusion.timeline import Timeline
from modules.schema import GenerationRequest


@dataclass(frozen=True, eq=False)
class Handover:
    """Another model takes over on the way; the sampler goes on as if nothing had happened."""

    step: int
    """The first step, 0-based, that is the other model's."""
    take: Callable[[], tuple[Parts, Conditioning]]
    """Called once, at that step."""


def denoise(
    parts: Parts,
    request: GenerationRequest,
    conditioning: Conditioning,
    latents: torch.Tensor,
    track: Timeline,
    noise: Sources,
    adapters: Sequence[Adapter],
    done: Callable[[Step], None],
    *,
    first_step: int = 0,
    extra_channels: torch.Tensor | None = None,
    handover: Handover | None = None,
) -> torch.Tensor:
    """Latents without noise, (n, channels, height, width), float32, on the scale of the model's autoencoder.

    Args:
        latents: clean + sigma * noise at the timeline's first level; from noise alone that is
            noise * `track.noise_scale`.
        noise: where samplers that add noise on the way take it from.
        adapters: in the order in which they run.
        done: called after each call of the sampler's, may raise to stop.
        first_step: of `conditioning` and of guidance, where the timeline is the tail of a longer one.
        extra_channels: (n, channels, height, width) that the denoiser reads beside the latents: the mask and the
            masked picture of an inpainting model, the picture of an InstructPix2Pix model.
        handover: another model from some step on.
    """
    run = track.run(latents, noise.draws(track, latents))
    reply: Any = None
    step: Step | None = None
    calls = 0
    while (event := _next(run, reply)) is not None:
        if isinstance(event, Ask):
            if step is not None:
                done(step)
            if handover is not None and first_step + event.step >= handover.step:
                (parts, conditioning), handover = handover.take(), None
            step = Step(
                index=calls,
                total=max(len(track.calls), calls + 1),
                step=first_step + event.step,
                steps=first_step + track.steps,
                timestep=torch.tensor(track.timestep(event.sigma), device=event.x.device),
                sigma=event.sigma,
                latents=event.x,
                request=request,
                parts=parts,
            )
            lone = _look(step, conditioning, track, adapters, extra_channels)
            reply = step.denoised
            if event.negative:
                family = FAMILIES[parts.family]
                reply = (reply, family.to_denoised(parts, event.x, lone, event.sigma))
            calls += 1
        else:
            assert step is not None
            step.latents = event.x
            for adapter in adapters:
                adapter.after_step(step)
            reply = latents = step.latents
    if step is not None:
        done(step)
    return latents * track.scale if track.scale != 1 else latents


def _next(run: Run, reply: Any) -> Event | None:
    try:
        return run.send(reply)
    except StopIteration:
        return None


def _look(
    step: Step,
    conditioning: Conditioning,
    track: Timeline,
    adapters: Sequence[Adapter],
    extra_channels: torch.Tensor | None,
) -> torch.Tensor:
    """Set `step.denoised`; returned is the denoiser's answer to the negative prompt alone (or, without one, to all)."""
    parts, request, count = step.parts, step.request, len(step.latents)
    family = FAMILIES[parts.family]
    positive, negative = conditioning.at(step.step)
    if not guidance.within(step.step / step.steps, request.guidance.start, request.guidance.end):
        negative = None
    asked = guidance.rows(positive, negative, edits=parts.variant == "edit")
    seen = family.model_input(step.latents, step.sigma)
    answers: list[tuple[guidance.Row, torch.Tensor]] = []
    for rows in _together(asked):
        step.rows = rows
        step.model_input = _inputs(seen, rows, extra_channels)
        step.conditioning = _repeated([row.encoded.tokens for row in rows], count)
        step.added = {
            name: _repeated([row.encoded.added[name] for row in rows], count)
            for name in rows[0].encoded.added
        }
        step.model_kwargs = {}
        for adapter in adapters:
            adapter.before_model(step)
        answer = family.predict(
            parts,
            step.model_input,
            step.timestep,
            step.conditioning,
            step.added,
            step.model_kwargs,
        )
        answers += zip(rows, answer.chunk(len(rows)), strict=True)
    image = request.img2img
    guided = guidance.combine(
        answers,
        (request.cfg_scale or 0.0) * track.sampler.cfg_factor,
        image_cfg_scale=image.image_cfg_scale if image else 1.0,
        rescale=request.guidance.rescale,
    )
    step.denoised = family.to_denoised(parts, step.latents, guided, step.sigma)
    for adapter in adapters:
        adapter.after_guidance(step)
    return next((answer for row, answer in answers if row.kind == "negative"), guided)


def _together(rows: Sequence[guidance.Row]) -> list[tuple[guidance.Row, ...]]:
    """Rows whose texts are equally long go through the denoiser together, others in a call of their own."""
    lengths: dict[int, list[guidance.Row]] = {}
    for row in rows:
        lengths.setdefault(row.encoded.tokens.shape[1], []).append(row)
    return [tuple(group) for group in lengths.values()]


def _inputs(
    seen: torch.Tensor, rows: Sequence[guidance.Row], extra: torch.Tensor | None
) -> torch.Tensor:
    if extra is None:
        return torch.cat([seen] * len(rows))
    blank = torch.zeros_like(extra)
    beside = [blank if row.kind == "blind" else extra for row in rows]
    return torch.cat([torch.cat([seen, one], dim=1) for one in beside])


def _repeated(texts: Sequence[torch.Tensor], count: int) -> torch.Tensor:
    """(1, ...) each, to (len(texts) * count, ...)."""
    return torch.cat([text.expand(count, *text.shape[1:]) for text in texts])
