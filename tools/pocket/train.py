"""Train the UNet and the text encoder together on the latent bank; v-prediction.

Two processes by default, one thread each. Each takes its own steps; every --meet steps the weights
of all are averaged: on a shared machine one does not wait for the other at every step. All weights
lie in one flat tensor. The learning rate follows the clock: it is flat to a share of the time
between the start and --until, then a cosine down to 3 %. New shards are picked up at each epoch.
Killed? The same command goes on from RUN/last.pt.

    python train.py --run RUN --bank BANK --tokenizer FOLDER --vae FOLDER --minutes 110 [--init MODEL]

RUN/last.pt     everything to resume (weights, EMA, optimiser, clock)
RUN/log.jsonl   step, samples, loss, rate
RUN/sheet-*.png samples of the EMA weights for fixed prompts and seeds
RUN/focus.json  optional, read at each epoch: {"thing": weight}; 0 leaves one out; "caption:WORDS"
                weighs every picture whose caption holds these words
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from arithmetic import half
from data import contact_sheet
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from sample import SCHEDULER, Parts, generate, load_vae
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

UNET = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (48, 96, 192),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 192,
    "attention_head_dim": (1, 3, 6),
    "norm_num_groups": 16,
}
PROMPTS = (
    "a cat on a blue background", "an apple", "a blue cat", "two green squares on a white background",
    "a hamburger, 3d render", "flat icon of a castle on a yellow background", "a green rocket",
    "pixel art of a fox", "a guitar on a white background", "a turtle on a pink background, 3d render",
    "flat icon of an umbrella", "a purple car on a yellow background", "an elephant", "a key, flat icon",
    "three red stars on a black background", "a cactus on an orange background", "a snail, 3d",
    "a trophy on a purple background", "a blue heart", "an owl, flat icon, gray background",
    "a birthday cake, 3d render", "a pineapple on a green background", "glasses on a red background",
    "a snowman on a blue background", "a red dinosaur", "a camera", "a planet on a black background",
    "a tractor, flat icon", "one yellow triangle on a blue background", "a lock, pink background",
)  # fmt: skip


def alphas() -> torch.Tensor:
    """The cumulative alphas of the scaled-linear schedule."""
    low, high = SCHEDULER["beta_start"] ** 0.5, SCHEDULER["beta_end"] ** 0.5
    return torch.cumprod(1 - torch.linspace(low, high, 1000, dtype=torch.float64) ** 2, 0).float()


def new_text(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A fresh text encoder, 1.3 M parameters."""
    config = CLIPTextConfig(
        vocab_size=2048, hidden_size=192, intermediate_size=768, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=192,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    text = CLIPTextModel(config)
    torch.nn.init.normal_(text.get_input_embeddings().weight, 0, 0.3)
    return text


def adopt_text(folder: Path, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A trained text encoder whose token rows are moved to our tokens.

    Tokens that both tokenizers know keep their row; a new one starts as the mean of its old pieces.
    """
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").float()
    before = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    known = before.get_vocab()
    rows = text.get_input_embeddings().weight.data
    moved = torch.empty(len(tokenizer.get_vocab()), rows.shape[1])
    for token, i in tokenizer.get_vocab().items():
        if token in known:
            moved[i] = rows[known[token]]
        else:
            pieces = before(token.removesuffix("</w>"), add_special_tokens=False).input_ids
            moved[i] = rows[pieces].mean(0) if pieces else rows.mean(0)
    rows.copy_(moved)
    config = text.config
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.pad_token_id = tokenizer.eos_token_id
    text.eos_token_id = tokenizer.eos_token_id
    return text


def models(
    given: argparse.Namespace, tokenizer: CLIPTokenizer
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Both models, fresh or from --init, in float32 with plain attention."""
    if given.init:
        unet = UNet2DConditionModel.from_pretrained(given.init / "unet").float()
        text = adopt_text(given.init, tokenizer)
    else:
        torch.manual_seed(0)
        unet, text = UNet2DConditionModel(**UNET), new_text(tokenizer)
    unet.set_attn_processor(AttnProcessor())
    text.set_attn_implementation("eager")
    return unet.train(), text.train()


class Flat:
    """The parameters of some modules as views into one tensor, and their gradients likewise."""

    def __init__(self, *modules: torch.nn.Module) -> None:
        self.parameters = [p for m in modules for p in m.parameters()]
        self.ends = [sum(p.numel() for p in m.parameters()) for m in modules]
        self.values = torch.cat([p.data.reshape(-1) for p in self.parameters])
        self.gradients = torch.zeros_like(self.values)
        self.point(self.values)
        at = 0
        for p in self.parameters:
            p.grad = self.gradients[at : at + p.numel()].view_as(p)
            at += p.numel()

    def point(self, values: torch.Tensor) -> None:
        """Make the modules use these values (the trained ones, or the EMA for a while)."""
        at = 0
        for p in self.parameters:
            p.data = values[at : at + p.numel()].view_as(p)
            at += p.numel()


class Bank:
    """All shards in memory; draws rows, weighted by focus."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.names = folder, []
        self.latents = np.zeros((0, 4, 16, 16), np.float16)
        self.ids = np.zeros((0, 32), np.uint16)
        self.keys = np.zeros(0, "U1")
        self.captions = np.zeros(0, "U1")
        self.refresh()

    def refresh(self) -> None:
        """Read the shards that are new."""
        for file in sorted(self.folder.glob("shard-???.npz")):
            if file.name in self.names:
                continue
            with np.load(file) as shard:
                self.latents = np.concatenate([self.latents, shard["latents"]])
                self.ids = np.concatenate([self.ids, shard["ids"]])
                self.keys = np.concatenate([self.keys, shard["keys"]])
                self.captions = np.concatenate([self.captions, shard["captions"]])
            self.names.append(file.name)

    def order(self, focus: dict[str, float], rng: np.random.Generator) -> np.ndarray:
        """Row numbers of one epoch."""
        if not focus:
            return rng.permutation(len(self.keys))
        weights = np.array([focus.get(key, 1.0) for key in self.keys])
        for name, weight in focus.items():
            if name.startswith("caption:"):
                weights[np.char.find(self.captions, name.removeprefix("caption:")) >= 0] *= weight
        return rng.choice(len(self.keys), len(self.keys), p=weights / weights.sum())


def rate(share: float, flat: float) -> float:
    """Learning rate as a share of the highest: flat, then a cosine down to 3 %."""
    x = min(max((share - flat) / (1 - flat), 0.0), 1.0)
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * x))


def draw_steps(count: int) -> torch.Tensor:
    """Stratified timesteps: a third uniform, the rest logit-normal around 430.

    What a thing looks like is decided there; pure noise and fine grain are learnt early.
    """
    share = (torch.randperm(count) + torch.rand(count)) / count
    middle = torch.sigmoid(torch.special.ndtri(share.clamp(1e-4, 1 - 1e-4)) * 0.9 - 0.3)
    share = torch.where(torch.rand(count) < 0.35, share, middle)
    return (share * 1000).long().clamp(0, 999)


def loss_of(
    unet: UNet2DConditionModel, text: CLIPTextModel, latents: torch.Tensor, ids: torch.Tensor,
    table: torch.Tensor, end: int,
) -> torch.Tensor:  # fmt: skip
    """Weighted v-prediction loss of a batch; a tenth of the captions is emptied."""
    count = len(latents)
    empty = torch.rand(count) < 0.1
    ids = ids.clone()
    ids[empty, 1:] = end
    steps = draw_steps(count)
    a = table[steps].view(-1, 1, 1, 1)
    noise = torch.randn_like(latents)
    noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
    target = a.sqrt() * noise - (1 - a).sqrt() * latents
    with half():
        found = unet(noisy, steps, text(ids)[0]).sample
    snr = (a / (1 - a)).flatten()
    weight = (snr.clamp(max=5) + 1) / (snr + 1)
    return ((found.float() - target).pow(2).mean((1, 2, 3)) * weight).mean()


def sheet(parts: Parts, path: Path, length: int) -> None:
    """The fixed prompts with fixed seeds."""
    pictures = generate(parts, list(PROMPTS), list(range(len(PROMPTS))), steps=12, length=length)
    contact_sheet(list(pictures), list(PROMPTS)).save(path)


def work(rank: int, given: argparse.Namespace, port: int) -> None:
    """One process of the training."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=given.processes
    )
    tokenizer = CLIPTokenizer.from_pretrained(given.tokenizer)
    unet, text = models(given, tokenizer)
    flat = Flat(unet, text)
    cut = flat.ends[0]
    pair = [torch.nn.Parameter(flat.values[:cut]), torch.nn.Parameter(flat.values[cut:])]
    pair[0].grad, pair[1].grad = flat.gradients[:cut], flat.gradients[cut:]
    groups = [{"params": [pair[0]], "scale": 1.0}, {"params": [pair[1]], "scale": 0.5}]
    optimiser = torch.optim.AdamW(
        groups, lr=given.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    ema = flat.values.clone()
    state = {"step": 0, "samples": 0, "spent": 0.0, "epoch": 0}
    last = given.run / "last.pt"
    if last.exists():
        kept = torch.load(last, weights_only=True, mmap=True)
        flat.values.copy_(kept["values"])
        ema.copy_(kept["ema"])
        optimiser.load_state_dict(kept["optimiser"])
        state = kept["state"]
    del pair
    # The clock counts time spent in training, so that a pause does not eat the schedule, unless
    # --until names a moment: then the end of the schedule stays fixed there.
    began = time.time() - state["spent"]
    finish = given.until or began + given.minutes * 60
    table, bank = alphas(), Bank(given.bank)
    rng = np.random.default_rng(1000 * state["epoch"] + rank)
    torch.manual_seed(state["step"] * 97 + rank)
    parts = None
    if rank == 0:
        scheduler = EulerDiscreteScheduler(**SCHEDULER)
        parts = Parts(unet, text, tokenizer, load_vae(given.vae), scheduler)
    saved = drawn = logged = time.time()
    losses: list[float] = []
    rows, at, done = np.zeros(0, np.int64), 0, False
    clock = torch.zeros(1)
    while not done:
        if at + given.batch > len(rows):
            bank.refresh()
            focus_file = given.run / "focus.json"
            focus = json.loads(focus_file.read_text()) if focus_file.exists() else {}
            rows, at = bank.order(focus, rng)[: 3_000 // given.batch * given.batch], 0
            state["epoch"] += 1
        pick = rows[at : at + given.batch]
        at += given.batch
        if state["step"] % given.meet == 0:
            clock[0] = min((time.time() - began) / (finish - began), 1.0)
            dist.broadcast(clock, 0)
        share = clock.item()
        ids = torch.from_numpy(bank.ids[pick].astype(np.int64))
        longest = int((ids != tokenizer.eos_token_id).sum(1).max()) + 2
        length = 77 if share > given.long_from else longest
        ids = torch.nn.functional.pad(ids, (0, 77 - 32), value=tokenizer.eos_token_id)[:, :length]
        latents = torch.from_numpy(bank.latents[pick].astype(np.float32))
        loss = loss_of(unet, text, latents, ids, table, tokenizer.eos_token_id)
        loss.backward()
        norm = flat.gradients.norm()
        flat.gradients *= torch.clamp(1 / (norm + 1e-6), max=1.0)
        now = given.rate * rate(share, given.flat) * min(1.0, (state["step"] + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = now * group["scale"]
        optimiser.step()
        flat.gradients.zero_()
        state["step"] += 1
        met = state["step"] % given.meet == 0
        if met:
            dist.all_reduce(flat.values)
            flat.values /= given.processes
        state["samples"] += given.batch * given.processes
        state["spent"] = time.time() - began
        done = share >= 1.0 and met
        if rank:
            continue
        if met:
            # Every so many steps with so much more weight: the same mean for less time.
            keep = min(0.999, (1 + state["step"]) / (10 + state["step"]))
            ema.lerp_(flat.values, min(1.0, given.meet * (1 - keep)))
        losses.append(loss.item())
        if state["step"] % 100 == 0:
            speed = 100 * given.batch * given.processes / (time.time() - logged)
            logged = time.time()
            line = {
                **state, "loss": round(float(np.mean(losses)), 5), "norm": round(norm.item(), 3),
                "rate": round(now, 6), "share": round(share, 4), "per_second": round(speed, 1),
                "bank": len(bank.keys),
            }  # fmt: skip
            losses.clear()
            with (given.run / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if done or (met and time.time() - saved > given.save_minutes * 60):
            saved = time.time()
            everything = {
                "values": flat.values,
                "ema": ema,
                "optimiser": optimiser.state_dict(),
                "state": state,
            }
            torch.save(everything, last.with_suffix(".part"))
            os.replace(last.with_suffix(".part"), last)
        if done or (met and time.time() - drawn > given.sheet_minutes * 60):
            drawn = time.time()
            flat.point(ema)
            unet.eval(), text.eval()
            sheet(parts, given.run / f"sheet-{state['samples'] // 1000:05d}k.png", 24)
            unet.train(), text.train()
            flat.point(flat.values)
    dist.destroy_process_group()


def restore(
    given_run: Path, tokenizer: CLIPTokenizer
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """The EMA weights of a run, for export.py."""
    unet, text = UNet2DConditionModel(**UNET), new_text(tokenizer)
    flat = Flat(unet, text)
    flat.point(torch.load(given_run / "last.pt", weights_only=True)["ema"])
    return unet.eval(), text.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="for the sheets")
    parser.add_argument("--init", type=Path, help="a model folder to begin with instead of noise")
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--until", type=float, help="end of the schedule, seconds since 1970")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument(
        "--flat", type=float, default=0.25, help="share of the time at the full rate"
    )
    parser.add_argument(
        "--long-from", type=float, default=0.9, help="77 tokens instead of few from here"
    )
    parser.add_argument("--batch", type=int, default=20, help="per process")
    parser.add_argument("--meet", type=int, default=6, help="steps between two averages")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--sheet-minutes", type=float, default=10)
    given = parser.parse_args()
    given.run.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (given, port), nprocs=given.processes)


if __name__ == "__main__":
    main()
