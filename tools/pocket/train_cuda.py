"""Go on with a model on one graphics card: pictures drawn as they are needed, every one seen about once.

train.py and vae.py are for processors. Here some processes draw pictures all the time (data.py), the card encodes
them (AutoencoderTiny) into a ring of latents, and the UNet and the text encoder learn from random rows of that ring,
with 77 tokens from the start. At the end the KL decoder learns from the pictures that are still in memory, the
latents being the ones the UNet is made for. On an H100, seven minutes are some millions of samples.

    python train_cuda.py DATA --model FOLDER --out FOLDER --minutes 7 [--decoder-minutes 1]

FOLDER is a model of export.py. OUT gets the same folder with new weights (export.py's layout, fp16), train.jsonl and
sheets. It is not resumed: it is short, and may be run again on what it made.
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from data import contact_sheet, stream
from diffusers import AutoencoderKL, AutoencoderTiny, EulerDiscreteScheduler
from sample import Parts, generate, load
from train import PROMPTS, alphas, rate
from transformers import CLIPTokenizer
from vae import picture_loss

LENGTH = 77


def draw(given: argparse.Namespace, seed: int, focus: dict[str, float], to: Any) -> None:
    """A process that draws for ever: (pictures uint8 (50, 128, 128, 3), tokens uint16 (50, 77))."""
    torch.set_num_threads(1)
    words = CLIPTokenizer.from_pretrained(given.model / "tokenizer")
    source = stream(given.data, seed, focus, given.spread, given.shapes)
    while True:
        samples = [next(source) for _ in range(50)]
        ids = words(
            [s.caption for s in samples], padding="max_length", max_length=LENGTH, truncation=True
        ).input_ids
        to.put((np.stack([s.picture for s in samples]), np.array(ids, np.uint16)))


class Ring:
    """The newest latents and their tokens, and some of the pictures, on the card."""

    def __init__(self, tiny: AutoencoderTiny, device: torch.device, rows: int, kept: int) -> None:
        self.tiny, self.device = tiny, device
        self.latents = torch.zeros(rows, 4, 16, 16, device=device, dtype=torch.float16)
        self.ids = torch.zeros(rows, LENGTH, device=device, dtype=torch.int16)
        self.pictures = torch.zeros(kept, 3, 128, 128, device=device, dtype=torch.uint8)
        self.codes = torch.zeros(kept, 4, 16, 16, device=device, dtype=torch.float16)
        self.drawn = 0

    @torch.no_grad()
    def add(self, pictures: np.ndarray, ids: np.ndarray) -> None:
        """Encode a few pictures and put them where the oldest lay."""
        batch = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2)
        codes = self.tiny.encode(batch.float() / 127.5 - 1).latents
        codes = (codes * self.tiny.config.scaling_factor).half()
        rows = (torch.arange(len(batch), device=self.device) + self.drawn) % len(self.latents)
        self.latents[rows] = codes
        self.ids[rows] = torch.from_numpy(ids.astype(np.int16)).to(self.device)
        rows = (torch.arange(len(batch), device=self.device) + self.drawn) % len(self.pictures)
        self.pictures[rows] = batch
        self.codes[rows] = codes
        self.drawn += len(batch)

    def pick(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Random rows: latents float32, tokens int64."""
        rows = torch.randint(min(self.drawn, len(self.latents)), (count,), device=self.device)
        return self.latents[rows].float(), self.ids[rows].long()


def draw_steps(count: int, device: torch.device) -> torch.Tensor:
    """The timesteps of train.py, on the card."""
    share = (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count
    middle = torch.sigmoid(torch.special.ndtri(share.clamp(1e-4, 1 - 1e-4)) * 0.9 - 0.3)
    share = torch.where(torch.rand(count, device=device) < 0.4, share, middle)
    return (share * 1000).long().clamp(0, 999)


def refine_decoder(
    vae: AutoencoderKL, ring: Ring, minutes: float, batch: int, log: Path
) -> AutoencoderKL:
    """The decoder's EMA after some minutes on the pictures in memory; the encoder stays as it is."""
    decoder = torch.nn.ModuleDict({"post": vae.post_quant_conv, "decoder": vae.decoder})
    decoder = decoder.float().train().to(memory_format=torch.channels_last)
    weights = list(decoder.parameters())
    ema = [p.detach().clone() for p in weights]
    optimiser = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    began, step = time.time(), 0
    while (share := (time.time() - began) / (minutes * 60)) < 1:
        pick = torch.randint(min(ring.drawn, len(ring.pictures)), (batch,), device=ring.device)
        wanted = ring.pictures[pick].float() / 127.5 - 1
        codes = ring.codes[pick].float()
        # The UNet's latents are not quite the encoder's: a little noise makes the decoder forgive that.
        noise = torch.rand(batch, 1, 1, 1, device=ring.device) * 0.12 * torch.randn_like(codes)
        with torch.autocast(ring.device.type, torch.bfloat16):
            hidden = decoder["post"]((codes + noise) / vae.config.scaling_factor)
            found = decoder["decoder"](hidden)
        loss = picture_loss(found, wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = (
                6e-4 * min(1, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(ema, weights, 1 - min(0.998, (1 + step) / (10 + step)))
        step += 1
        if step % 200 == 0:
            line = {"decoder": step, "loss": round(loss.item(), 5), "share": round(share, 3)}
            print(line, flush=True)
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
    with torch.no_grad():
        for p, mean in zip(weights, ema, strict=True):
            p.copy_(mean)
    return vae.eval()


def train(given: argparse.Namespace) -> None:
    """Everything, start to end."""
    device = torch.device(given.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    given.out.mkdir(parents=True, exist_ok=True)
    log = given.out / "train.jsonl"
    focus = json.loads(given.focus.read_text()) if given.focus else {}
    # Forked before the card is touched: a spawned process would first import everything again.
    context = mp.get_context("fork")
    line: Any = context.Queue(maxsize=40)
    processes = [
        context.Process(target=draw, args=(given, 9000 + k, focus, line), daemon=True)
        for k in range(given.workers)
    ]
    for process in processes:
        process.start()
    parts = load(given.model)
    tiny = AutoencoderTiny.from_pretrained(given.model / "vae_tiny").float().eval().to(device)
    unet, text = parts.unet.train().to(device), parts.text.train().to(device)
    unet = unet.to(memory_format=torch.channels_last)
    ring = Ring(tiny, device, given.rows, given.kept)
    weights = [p for m in (unet, text) for p in m.parameters()]
    ema = [p.detach().clone() for p in weights]
    groups = [
        {"params": list(unet.parameters()), "scale": 1.0},
        {"params": list(text.parameters()), "scale": 0.5},
    ]
    optimiser = torch.optim.AdamW(
        groups, lr=given.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    table, end = alphas().to(device), parts.tokenizer.eos_token_id

    def loss_of(latents: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        steps = draw_steps(len(latents), device)
        a = table[steps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
        target = a.sqrt() * noise - (1 - a).sqrt() * latents
        with torch.autocast(device.type, torch.bfloat16):
            found = unet(noisy, steps, text(ids)[0]).sample
        snr = (a / (1 - a)).flatten()
        weight = (snr.clamp(max=5) + 1) / (snr + 1)
        return ((found.float() - target).pow(2).mean((1, 2, 3)) * weight).mean()

    stop = threading.Event()
    arrived: queue.Queue[Any] = queue.Queue(maxsize=40)

    def fetch() -> None:
        while not stop.is_set():
            try:
                arrived.put(line.get(timeout=1), timeout=5)
            except (queue.Empty, queue.Full):
                continue

    threading.Thread(target=fetch, daemon=True).start()
    began = time.time()
    while ring.drawn < given.batch * 8:
        ring.add(*arrived.get())
    print(f"{ring.drawn} pictures after {time.time() - began:.0f} s", flush=True)
    step, said, losses = 0, time.time(), []
    start = time.time()
    finish = max(began + given.minutes * 60, start + 1)
    while True:
        share = (time.time() - start) / (finish - start)
        if share >= 1:
            break
        for _ in range(6):
            if arrived.empty():
                break
            ring.add(*arrived.get())
        latents, ids = ring.pick(given.batch)
        ids[torch.rand(len(ids), device=device) < 0.1, 1:] = end
        loss = loss_of(latents, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
        now = given.rate * rate(share, given.flat) * min(1.0, (step + 1) / 200)
        for group in optimiser.param_groups:
            group["lr"] = now * group["scale"]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(ema, weights, 1 - min(0.9985, (1 + step) / (10 + step)))
        losses.append(loss.detach())
        step += 1
        if step == 20:
            start_speed = time.time()
            print(f"20 steps after {time.time() - began:.0f} s", flush=True)
        if step % 200 == 0:
            told = {
                "step": step, "samples": step * given.batch, "drawn": ring.drawn,
                "loss": round(torch.stack(losses).mean().item(), 5), "rate": round(now, 6),
                "per_second": round((step - 20) * given.batch / (time.time() - start_speed)),
                "share": round(share, 3),
            }  # fmt: skip
            losses.clear()
            print(told, flush=True)
            with log.open("a") as file:
                file.write(json.dumps(told) + "\n")
            said = time.time()
    print(f"{step} steps, {step * given.batch} samples, last word {time.time() - said:.0f} s ago")
    with torch.no_grad():
        for p, mean in zip(weights, ema, strict=True):
            p.copy_(mean)
    if given.decoder_minutes:
        vae = parts.vae.to(device)
        parts.vae = refine_decoder(vae, ring, given.decoder_minutes, given.decoder_batch, log)
    stop.set()
    for process in processes:
        process.terminate()
    write(parts, given)


def write(parts: Parts, given: argparse.Namespace) -> None:
    """The model's folder with the new weights, fp16, and a sheet."""
    target = given.out / "model"
    shutil.copytree(given.model, target, dirs_exist_ok=True)
    for name, model in (
        ("unet", parts.unet),
        ("text_encoder", parts.text),
        ("vae", parts.vae),
    ):
        plain = model.cpu().eval().to(memory_format=torch.contiguous_format)
        plain.half().save_pretrained(given.out / "part")
        for file in (given.out / "part").glob("*.safetensors"):
            file.replace(target / name / file.name)
    shutil.rmtree(given.out / "part")
    parts = load(target)
    scheduler = EulerDiscreteScheduler.from_pretrained(target / "scheduler")
    parts.scheduler = scheduler
    pictures = generate(parts, list(PROMPTS), list(range(len(PROMPTS))))
    contact_sheet(list(pictures), list(PROMPTS)).save(given.out / "sheet.png")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--decoder-minutes", type=float, default=1)
    parser.add_argument("--decoder-batch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument(
        "--flat", type=float, default=0.3, help="share of the time at the full rate"
    )
    parser.add_argument(
        "--spread", type=float, default=0.75, help="of size, place and angle, 0 to 1"
    )
    parser.add_argument("--focus", type=Path, help="JSON of things and weights")
    parser.add_argument("--workers", type=int, default=14, help="processes that draw")
    parser.add_argument("--rows", type=int, default=600_000, help="latents in memory")
    parser.add_argument("--kept", type=int, default=60_000, help="pictures in memory")
    parser.add_argument("--shapes", type=float, default=0.22, help="share of shapes")
    parser.add_argument("--device", default="cuda")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
