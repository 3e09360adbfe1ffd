"""The latent bank: pictures drawn by data.py, encoded once, in shards that train.py reads.

A shard is an .npz: latents (N, 4, 16, 16) float16, already times scaling_factor; ids (N, 32) uint16
tokens (start, words, end, padded by end); keys (N,) names of what is seen; captions (N,).

    python bank.py DATA --vae FOLDER --tokenizer FOLDER --out BANK --count 60000
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from arithmetic import half
from data import Sample, stream
from diffusers import AutoencoderTiny
from transformers import CLIPTokenizer

LENGTH = 32


@torch.no_grad()
def encode(vae: AutoencoderTiny, samples: list[Sample]) -> np.ndarray:
    """Scaled latents of a few samples, float16."""
    pictures = torch.from_numpy(np.stack([s.picture for s in samples])).permute(0, 3, 1, 2)
    with half():
        found = vae.encode(pictures.float() / 127.5 - 1).latents
    return (found.float() * vae.config.scaling_factor).half().numpy()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--vae", type=Path, required=True, help="an AutoencoderTiny folder")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument(
        "--spread", type=float, default=1.0, help="of size, place and angle, 0 to 1"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--focus", type=Path, help="JSON of things and weights")
    parser.add_argument("--shard", type=int, default=4_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    focus = json.loads(given.focus.read_text()) if given.focus else None
    given.out.mkdir(parents=True, exist_ok=True)
    vae = AutoencoderTiny.from_pretrained(given.vae).eval().to(memory_format=torch.channels_last)
    tokenizer = CLIPTokenizer.from_pretrained(given.tokenizer)
    for number in range(given.count // given.shard):
        target = given.out / f"shard-{number:03d}.npz"
        if target.exists():
            continue
        began = time.time()
        source = stream(given.data, 1000 + given.seed + number, focus, given.spread)
        samples, latents = [], []
        for _ in range(given.shard // 50):
            batch = [next(source) for _ in range(50)]
            latents.append(encode(vae, batch))
            samples += [(s.key, s.caption) for s in batch]
        captions = [caption for _, caption in samples]
        ids = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True)
        part = target.with_suffix(".part.npz")
        np.savez(
            part,
            latents=np.concatenate(latents),
            ids=np.array(ids.input_ids, np.uint16),
            keys=np.array([key for key, _ in samples]),
            captions=np.array(captions),
        )
        os.replace(part, target)
        print(f"{target.name}: {given.shard} pictures in {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
