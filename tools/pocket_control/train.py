"""Train an edge ControlNet for the pocket model; the model itself is not changed.

The ControlNet is diffusers' ControlNetModel: the U-Net's own encoder, copied, with a plain middle
block (a residual block without attention, which saves 3 MB) and zero-initialised outputs (Zhang et
al., "Adding Conditional Control to Text-to-Image Diffusion Models", arXiv 2302.05543). Killed? The
same command goes on from RUN/last.pt.

    python train.py --bank W/control/bank.npz --run W/control/run --minutes 60

RUN/last.pt     everything to resume (weights, EMA, optimiser, clock)
RUN/log.jsonl   step, loss, rate
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

HOME = Path(__file__).resolve().parents[2]
sys.path.append(str(HOME / "tools" / "pocket"))
SHARED = (
    "block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim",
    "attention_head_dim", "norm_num_groups", "norm_eps",
)  # fmt: skip


def new_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A copy of the encoder; its outputs begin as zero."""
    shape = {name: getattr(unet.config, name) for name in SHARED}
    net = ControlNetModel(
        **shape,
        mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=(8, 16, 32, 64),
    )
    theirs = unet.state_dict()
    copied = {
        name: theirs[name]
        for name, value in net.state_dict().items()
        if name in theirs and theirs[name].shape == value.shape
    }
    net.load_state_dict(copied, strict=False)
    return net


def alphas() -> torch.Tensor:
    """The cumulative alphas of the scaled-linear schedule."""
    low, high = 0.00085**0.5, 0.012**0.5
    return torch.cumprod(1 - torch.linspace(low, high, 1000, dtype=torch.float64) ** 2, 0).float()


def draw_steps(count: int) -> torch.Tensor:
    """Stratified timesteps, more of them noisy: what is where is decided there."""
    share = (torch.randperm(count) + torch.rand(count)) / count
    return (share**0.75 * 1000).long().clamp(0, 999)


def rate(share: float) -> float:
    """Learning rate as a share of the highest: flat to 40 %, then a cosine down to 3 %."""
    x = min(max((share - 0.4) / 0.6, 0.0), 1.0)
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * x))


def loss_of(unet, net, latents, edges, states, table) -> torch.Tensor:
    """v-prediction (arXiv 2202.00512), weighed by (min(snr, 5) + 1) / (snr + 1) as tools/pocket."""
    from arithmetic import half

    steps = draw_steps(len(latents))
    a = table[steps].view(-1, 1, 1, 1)
    noise = torch.randn_like(latents)
    noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
    target = a.sqrt() * noise - (1 - a).sqrt() * latents
    with half():
        down, middle = net(noisy, steps, states, controlnet_cond=edges, return_dict=False)
        found = unet(
            noisy, steps, states,
            down_block_additional_residuals=down, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
    snr = (a / (1 - a)).flatten()
    weight = (snr.clamp(max=5) + 1) / (snr + 1)
    return ((found.float() - target).pow(2).mean((1, 2, 3)) * weight).mean()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=HOME / "models" / "checkpoints" / "pocket")
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--until", type=float, help="end of the schedule, seconds since 1970")
    parser.add_argument("--steps", type=int, help="end after so many steps, to try it")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--save-minutes", type=float, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(given.seed)
    unet = UNet2DConditionModel.from_pretrained(given.model / "unet").float().eval()
    unet.requires_grad_(False)
    net = new_controlnet(unet).train()
    for model in (unet, net):
        model.set_attn_processor(AttnProcessor())  # faster backwards on sequences this short
    kept = {name: value.detach().clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=given.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    state = {"step": 0, "spent": 0.0}
    given.run.mkdir(parents=True, exist_ok=True)
    last = given.run / "last.pt"
    if last.exists():
        found = torch.load(last, weights_only=True)
        net.load_state_dict(found["values"])
        kept = found["ema"]
        optimiser.load_state_dict(found["optimiser"])
        state = found["state"]
    with np.load(given.bank) as file:
        bank = {name: file[name] for name in ("latents", "edges", "states", "empty")}
    rng = np.random.default_rng(given.seed + state["step"])
    table, losses = alphas(), []
    began = saved = time.time()
    began -= state["spent"]
    finish = given.until or began + given.minutes * 60
    done = False
    while not done:
        share = min((time.time() - began) / (finish - began), 1.0)
        if given.steps:
            share = min(state["step"] / given.steps, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = given.rate * rate(share) * min(1.0, (state["step"] + 1) / 100)
        pick = rng.integers(0, len(bank["latents"]), given.batch)
        latents = torch.from_numpy(bank["latents"][pick].astype(np.float32))
        bits = np.unpackbits(bank["edges"][pick], axis=1).reshape(-1, 1, 128, 128)
        edges = torch.from_numpy(bits.astype(np.float32)).expand(-1, 3, -1, -1)
        words = bank["states"][pick].astype(np.float32)
        # Half of the captions are emptied (the paper's share): the edges alone must say much.
        words[rng.random(given.batch) < 0.4] = bank["empty"].astype(np.float32)
        loss = loss_of(unet, net, latents, edges, torch.from_numpy(words), table)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        state["step"] += 1
        keep = min(0.998, (1 + state["step"]) / (10 + state["step"]))
        if state["step"] % 5 == 0:
            with torch.no_grad():
                for name, value in net.state_dict().items():
                    kept[name].lerp_(value, 1 - keep**5)
        losses.append(loss.item())
        state["spent"] = time.time() - began
        done = share >= 1.0
        if state["step"] % 100 == 0 or done:
            line = {**state, "loss": round(float(np.mean(losses)), 5), "share": round(share, 4)}
            losses.clear()
            with (given.run / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if done or time.time() - saved > given.save_minutes * 60:
            saved = time.time()
            everything = {
                "values": net.state_dict(), "ema": kept,
                "optimiser": optimiser.state_dict(), "state": state,
            }  # fmt: skip
            torch.save(everything, last.with_suffix(".part"))
            os.replace(last.with_suffix(".part"), last)


if __name__ == "__main__":
    main()
