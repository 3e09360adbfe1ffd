"""The autoencoders: AutoencoderTiny (which defines the latents) and AutoencoderKL (distilled from it).

    python vae.py pictures DATA --out VAEDATA          draw 6,000 pictures once (uint8, 128 px)
    python vae.py tiny --data VAEDATA --run RUN         from scratch, with the colour loss (~40 min)
    python vae.py kl --data VAEDATA --run RUN --tiny TINY   KL on the latents of TINY (~25 core-min)

tiny: L1 + 2 MSE + 0.5 gradient L1 + 0.5 L1 of 4 x 4 means, noise 0.12 on the latents. For the first
40 % an auxiliary loss ties latent channels 0-2 to 1.2 (Y, B - Y, R - Y) of the 8 x 8 means of the
picture: without it both autoencoders stay on a grey plateau.

kl: the encoder's mean regresses to the scaled latents of TINY (and its log variance to -8), the
decoder learns to draw from those latents plus noise. The two have no gradient in common, so neither
can collapse the other. Random 64 px crops for 70 % of the time, then whole pictures.

Killed? The same command goes on from RUN/last.pt. RUN/model is the EMA in diffusers' format.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from arithmetic import half
from data import contact_sheet, load_sprites, over, place, stream
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

CHANNELS = (24, 48, 96, 128)


def new_tiny() -> AutoencoderTiny:
    """0.50 M parameters, eightfold, 4 channels."""
    return AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4,
        num_encoder_blocks=(1, 1, 2, 3), num_decoder_blocks=(3, 3, 2, 1), latent_channels=4,
    )  # fmt: skip


def new_kl(scaling: float) -> AutoencoderKL:
    """3.2 M parameters, eightfold, 4 channels."""
    return AutoencoderKL(
        block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=8, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=128, scaling_factor=scaling,
    )  # fmt: skip


# -------------------------------------------------------------------------------- pictures


def draw(data: Path, out: Path, count: int) -> None:
    """Half samples as the UNet sees them, half other emoji on any colour; 1/8 with two of them."""
    rng = random.Random(5)
    source, others = stream(data, seed=5), np.load(data / "others.npy", mmap_mode="r")
    sprites = list(load_sprites(data).values())
    pictures = np.zeros((count, 128, 128, 3), np.uint8)
    for i in range(count):
        if rng.random() < 0.5:
            pictures[i] = next(source).picture
            continue
        picture = np.empty((128, 128, 3), np.float32)
        ends = np.array([[rng.random() for _ in range(3)] for _ in range(2)], np.float32)
        ramp = np.linspace(0, 1, 128, dtype=np.float32)[:, None, None] * (rng.random() < 0.3)
        picture[:] = ends[0] * (1 - ramp) + ends[1] * ramp
        for _ in range(1 if rng.random() < 0.75 else 2):
            pick = rng.random() < 0.8
            sprite = others[rng.randrange(len(others))] if pick else rng.choice(sprites)
            side = rng.uniform(50, 135)
            centre = (rng.uniform(40, 88), rng.uniform(40, 88))
            layer = place(
                np.asarray(sprite), side, centre, rng.uniform(-40, 40), rng.random() < 0.5
            )
            picture = over(layer, picture)
        pictures[i] = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "pictures.npy", pictures)
    print(f"{count} pictures in {out}")


@torch.no_grad()
def cache_latents(data: Path, tiny: AutoencoderTiny) -> np.ndarray:
    """Scaled latents of all pictures, drawn once and kept beside them."""
    file = data / "latents.npy"
    if file.exists():
        return np.load(file, mmap_mode="r")
    pictures = np.load(data / "pictures.npy", mmap_mode="r")
    found = []
    for start in range(0, len(pictures), 50):
        with half():
            found.append(tiny.encode(tensor(pictures[start : start + 50])).latents.float())
    latents = (torch.cat(found) * tiny.config.scaling_factor).half().numpy()
    np.save(file, latents)
    return latents


def tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1], channels last."""
    batch = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return (batch.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------------------------- losses


def picture_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 + 2 MSE + 0.5 gradient L1 + 0.5 L1 of 4 x 4 means."""
    found = found.float()
    gap = found - wanted
    down, across = gap.diff(dim=2).abs().mean(), gap.diff(dim=3).abs().mean()
    return (
        gap.abs().mean()
        + 2 * gap.pow(2).mean()
        + 0.5 * (down + across)
        + 0.5 * (F.avg_pool2d(gap, 4).abs().mean())
    )


def colour_loss(latents: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Distance of latent channels 0-2 to 1.2 (Y, B - Y, R - Y) of the picture's 8 x 8 means."""
    small = F.avg_pool2d(pictures, 8)
    red, green, blue = small.unbind(1)
    luma = 0.3 * red + 0.59 * green + 0.11 * blue
    return (latents[:, :3] - 1.2 * torch.stack([luma, blue - luma, red - luma], 1)).pow(2).mean()


def psnr(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Of pictures in [-1, 1]."""
    return -10 * math.log10(((found.float().clamp(-1, 1) - wanted) / 2).pow(2).mean().item())


# -------------------------------------------------------------------------------- training


class Crops:
    """Random crops of the pictures, with the crops of the latents when there are any."""

    def __init__(self, data: Path, latents: np.ndarray | None) -> None:
        self.pictures = np.load(data / "pictures.npy")
        self.latents = latents
        self.count = len(self.pictures) - 64  # the last 64 are the test set

    def draw(
        self, batch: int, cells: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``batch`` crops of ``cells`` x 8 pixels and their latents (empty without any)."""
        found, codes = [], []
        for i in rng.integers(self.count, size=batch):
            y, x = rng.integers(0, 17 - cells, size=2)
            found.append(self.pictures[i, y * 8 : (y + cells) * 8, x * 8 : (x + cells) * 8])
            if self.latents is not None:
                codes.append(self.latents[i, :, y : y + cells, x : x + cells])
        codes_found = torch.from_numpy(np.stack(codes)).float() if codes else torch.zeros(0)
        return tensor(np.stack(found)), codes_found

    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole pictures that are never trained on."""
        kept = (
            self.latents[self.count :] if self.latents is not None else np.zeros((0,), np.float32)
        )
        return tensor(self.pictures[self.count :]), torch.from_numpy(np.array(kept)).float()


def tiny_step(
    model: AutoencoderTiny, crop: torch.Tensor, codes: torch.Tensor, share: float
) -> torch.Tensor:
    """Loss of one batch for the tiny autoencoder; ``codes`` is unused."""
    with half():
        latents = model.encoder(crop).float()
        found = model.decoder(latents + 0.12 * torch.randn_like(latents))
    loss = picture_loss(found, crop)
    if share < 0.4:
        loss = loss + 0.02 ** (share / 0.4) * colour_loss(latents, crop)
    return loss


def kl_step(
    model: AutoencoderKL, crop: torch.Tensor, codes: torch.Tensor, share: float
) -> torch.Tensor:
    """Loss of one batch for the KL autoencoder: encoder to the codes, decoder from the codes."""
    scaling = model.config.scaling_factor
    noise = torch.rand(len(codes), 1, 1, 1) * 0.16 * torch.randn_like(codes)
    with half():
        moments = model.quant_conv(model.encoder(crop)).float()
        found = model.decoder(model.post_quant_conv((codes + noise) / scaling))
    mean, logvar = moments.chunk(2, 1)
    gap = mean * scaling - codes
    return (
        picture_loss(found, crop)
        + gap.pow(2).mean()
        + gap.abs().mean()
        + (0.01 * (logvar + 8).pow(2).mean())
    )


@torch.no_grad()
def report(
    model: AutoencoderTiny | AutoencoderKL, crops: Crops, run: Path, step: int
) -> dict[str, float]:
    """PSNR on the test pictures and a sheet: above the pictures, below the reconstructions."""
    model.eval()
    pictures, codes = crops.test()
    line: dict[str, float] = {}
    if isinstance(model, AutoencoderKL):
        scaling = model.config.scaling_factor
        own = DiagonalGaussianDistribution(model.quant_conv(model.encoder(pictures))).mean
        found = model.decode(codes / scaling).sample
        line["latent_error"] = (own * scaling - codes).pow(2).mean().sqrt().item()
        line["psnr_own"] = psnr(model.decode(own).sample, pictures)
    else:
        latents = model.encoder(pictures)
        line["std"] = latents.std().item()
        found = model.decoder(latents)
    line["psnr"] = psnr(found, pictures)
    both = torch.cat([pictures[:10], found[:10].clamp(-1, 1)])
    cells = ((both + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    contact_sheet(list(cells), [""] * len(cells)).save(run / f"sheet-{step:06d}.png")
    model.train()
    return line


def train(given: argparse.Namespace) -> None:
    """Train one of the two until its minutes are spent; resumes."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    given.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    if given.action == "kl":
        teacher = AutoencoderTiny.from_pretrained(given.tiny).float().eval()
        model: AutoencoderTiny | AutoencoderKL = new_kl(teacher.config.scaling_factor)
        crops, step_loss = Crops(given.data, cache_latents(given.data, teacher)), kl_step
    else:
        model, crops, step_loss = new_tiny(), Crops(given.data, None), tiny_step
    model = model.train().to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    ema = [p.detach().clone() for p in weights]
    optimiser = torch.optim.AdamW(
        weights, lr=given.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    state = {"step": 0, "spent": 0.0}
    last = given.run / "last.pt"
    if last.exists():
        kept = torch.load(last, weights_only=True)
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        ema, state = kept["ema"], kept["state"]
    began = time.time() - state["spent"]
    torch.manual_seed(state["step"])
    rng = np.random.default_rng(state["step"])
    saved = time.time()
    while True:
        # With --until the end is a moment, so that a busy machine does not delay what waits for it.
        share = (time.time() - began) / ((given.until or began + given.minutes * 60) - began)
        done = share >= 1
        small = share < given.crops
        crop, codes = crops.draw(
            given.batch if small else max(2, given.batch // 3), 8 if small else 16, rng
        )
        loss = step_loss(model, crop, codes, share)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        warm = min(1.0, (state["step"] + 1) / 100)
        now = given.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1))))
        for group in optimiser.param_groups:
            group["lr"] = now
        optimiser.step()
        optimiser.zero_grad()
        state["step"] += 1
        state["spent"] = time.time() - began
        with torch.no_grad():
            torch._foreach_lerp_(
                ema, weights, 1 - min(0.998, (1 + state["step"]) / (10 + state["step"]))
            )
        if state["step"] % 50 == 0:
            line = {"step": state["step"], "share": round(share, 3), "loss": round(loss.item(), 4)}
            with (given.run / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if done or time.time() - saved > given.save_minutes * 60:
            saved = time.time()
            save(model, ema, optimiser, state, given.run)
            held = [p.detach().clone() for p in weights]
            with torch.no_grad():
                for p, mean in zip(weights, ema, strict=True):
                    p.copy_(mean)
                line = {"step": state["step"], **report(model, crops, given.run, state["step"])}
                model.save_pretrained(given.run / "model")
                for p, kept in zip(weights, held, strict=True):
                    p.copy_(kept)
            with (given.run / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if done:
            break


def save(
    model: torch.nn.Module, ema: list[torch.Tensor], optimiser: torch.optim.Optimizer,
    state: dict[str, float], run: Path,
) -> None:  # fmt: skip
    """Everything that resuming needs, written atomically."""
    everything = {
        "model": model.state_dict(),
        "ema": ema,
        "optimiser": optimiser.state_dict(),
        "state": state,
    }
    torch.save(everything, run / "last.part")
    os.replace(run / "last.part", run / "last.pt")


def settle(run: Path, data: Path) -> None:
    """Write the scaling factor 1 / std of the latents into a fresh tiny autoencoder's config."""
    tiny = AutoencoderTiny.from_pretrained(run / "model")
    pictures = np.load(data / "pictures.npy", mmap_mode="r")[:500]
    with torch.no_grad():
        std = torch.cat(
            [tiny.encode(tensor(pictures[i : i + 50])).latents for i in range(0, 500, 50)]
        ).std()
    tiny.register_to_config(scaling_factor=round(1 / std.item(), 4))
    tiny.save_pretrained(run / "model")
    print(f"scaling_factor {tiny.config.scaling_factor}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=["pictures", "tiny", "kl"])
    parser.add_argument("source", type=Path, nargs="?", help="DATA, for pictures")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--tiny", type=Path, help="the AutoencoderTiny whose latents KL learns")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--until", type=float, help="end of the schedule, seconds since 1970")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--crops", type=float, default=0.65, help="share of the time on 64 px crops"
    )
    parser.add_argument("--save-minutes", type=float, default=5)
    given = parser.parse_args()
    if given.action == "pictures":
        draw(given.source, given.out, given.count)
        return
    train(given)
    if given.action == "tiny":
        settle(given.run, given.data)


if __name__ == "__main__":
    main()
