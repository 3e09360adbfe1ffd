"""Train one upscaler: a ``Compact`` net (SRVGGNetCompact of Real-ESRGAN), 48 features, 12 convolutions.

    python train.py W --scale 2 --out W/x2 --minutes 18
    python train.py W --scale 4 --out W/x4 --minutes 25 --init W/x2/last.pt

Small pictures are made from crops by one of five filters drawn anew each time, so that the net fits no single one.
Charbonnier loss plus the same of both gradients, Adam, cosine by the clock, an average of the weights is kept. Runs on
one thread; can be killed and started again by the same command.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from spandrel.architectures.Compact import Compact

FEATURES, CONVOLUTIONS, BATCH, PATCH = 48, 12, 8, 40
RATE = 8e-4
FILTERS = (
    Image.Resampling.BICUBIC,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
)


def net_of(scale: int) -> Compact:
    """A new net."""
    return Compact(
        num_in_ch=3, num_out_ch=3, num_feat=FEATURES, num_conv=CONVOLUTIONS, upscale=scale
    )


def batch_of(
    pictures: np.ndarray, scale: int, dice: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    """Small and large crops, in [0, 1], turned and mirrored at random."""
    small, large = [], []
    side = PATCH * scale
    while len(large) < BATCH:
        picture = pictures[dice.randrange(len(pictures))]
        top, left = (dice.randint(0, picture.shape[0] - side) for _ in range(2))
        crop = picture[top : top + side, left : left + side]
        if crop.std() < 4 and dice.random() < 0.95:  # plain ground teaches little
            continue
        crop = np.rot90(crop, dice.randrange(4))
        if dice.random() < 0.5:
            crop = crop[:, ::-1]
        crop = np.ascontiguousarray(crop)
        less = Image.fromarray(crop).resize((PATCH, PATCH), dice.choice(FILTERS))
        large.append(crop)
        small.append(np.asarray(less))
    return tensor(np.stack(small)), tensor(np.stack(large))


def tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w, 3) -> float (n, 3, h, w) in [0, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().contiguous() / 255


def loss_of(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Charbonnier of the values and, for edges, of both gradients."""

    def near(difference: torch.Tensor) -> torch.Tensor:
        return (difference.square() + 1e-6).sqrt().mean()

    error = found - wanted
    across = near(error[..., 1:] - error[..., :-1]) + near(error[..., 1:, :] - error[..., :-1, :])
    return near(error) + 0.3 * across


def train(given: argparse.Namespace) -> None:
    """Until the time is up."""
    torch.set_num_threads(1)
    pictures = np.load(given.data / "train.npy", mmap_mode="r")
    given.out.mkdir(parents=True, exist_ok=True)
    last = given.out / "last.pt"
    torch.manual_seed(0)
    net = net_of(given.scale)
    average = net_of(given.scale)
    optimizer = torch.optim.Adam(net.parameters(), RATE, betas=(0.9, 0.99))
    step, spent = 0, 0.0
    if last.exists():
        state = torch.load(last, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    else:
        if given.init:
            _begin_with(net, torch.load(given.init, weights_only=True)["average"])
        average.load_state_dict(net.state_dict())
    dice = random.Random(f"{given.scale} {step}")
    began, budget, losses, saved = time.time(), given.minutes * 60, [], time.time()
    while (now := spent + time.time() - began) < budget:
        share = now / budget
        rate = RATE * min(1, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        small, large = batch_of(pictures, given.scale, dice)
        loss = loss_of(net(small), large)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        keep = min(0.998, step / (step + 10))
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, 1 - keep)
        losses.append(loss.item())
        if time.time() - saved > 60 or spent + time.time() - began >= budget:
            saved = time.time()
            state = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent + time.time() - began,
            }
            torch.save(state, last.with_suffix(".part"))
            os.replace(last.with_suffix(".part"), last)
            print(
                f"step {step}  {state['spent'] / 60:.1f} min  loss {np.mean(losses):.5f}",
                flush=True,
            )
            losses.clear()


def _begin_with(net: Compact, other: dict[str, torch.Tensor]) -> None:
    """Take over what has the same shape: all but the last convolution of another factor."""
    mine = net.state_dict()
    net.load_state_dict(
        {
            key: other[key] if key in other and other[key].shape == value.shape else value
            for key, value in mine.items()
        }
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder that data.py filled")
    parser.add_argument("--scale", type=int, choices=[2, 4], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--init", type=Path, help="last.pt of the other factor")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
