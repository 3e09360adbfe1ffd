"""What the training reads: latents, edges and text states of drawn pictures, each computed once.

    python prepare.py W/data --out W/control --count 12000

Writes OUT/bank.npz: latents (N, 4, 16, 16) float16, already times scaling_factor; edges (N, 2048)
uint8, 128 x 128 bits of Canny's edges, packed; states (N, 40, 192) float16 of the text encoder;
empty (40, 192), that of no words.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny

HOME = Path(__file__).resolve().parents[2]
sys.path.append(str(HOME / "tools" / "pocket"))
LENGTH = 40


def edges_of(picture: np.ndarray, low: float = 100, high: float = 200) -> np.ndarray:
    """Canny's edges of an RGB picture, as the extension's preprocessor draws them: uint8, 0 or 255."""
    return cv2.Canny(picture, low, high)


def _thresholds(rng: random.Random) -> tuple[float, float]:
    """Mostly the usual ones; other people's settings give more or fewer lines."""
    if rng.random() < 0.6:
        return 100, 200
    low = rng.uniform(40, 140)
    return low, low + rng.uniform(40, 120)


@torch.no_grad()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="made by tools/pocket/data.py fetch")
    parser.add_argument("--model", type=Path, default=HOME / "models" / "checkpoints" / "pocket")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12_000)
    parser.add_argument("--spread", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=5_000)
    given = parser.parse_args()
    from data import stream
    from sample import load

    torch.set_num_threads(1)
    parts = load(given.model)
    vae = AutoencoderTiny.from_pretrained(given.model / "vae_tiny").float().eval()
    rng = random.Random(given.seed)
    source = stream(given.data, given.seed, None, given.spread)
    latents, edges, states = [], [], []
    for start in range(0, given.count, 50):
        samples = [next(source) for _ in range(50)]
        pixels = torch.from_numpy(np.stack([s.picture for s in samples])).permute(0, 3, 1, 2)
        found = vae.encode(pixels.float() / 127.5 - 1).latents * vae.config.scaling_factor
        latents.append(found.half().numpy())
        edges += [np.packbits(edges_of(s.picture, *_thresholds(rng)) > 0) for s in samples]
        states.append(_states(parts, [s.caption for s in samples]))
        if start % 2_000 == 0:
            print(start, flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    np.savez(
        given.out / "bank.npz",
        latents=np.concatenate(latents),
        edges=np.stack(edges),
        states=np.concatenate(states),
        empty=_states(parts, [""])[0],
    )


def _states(parts, words: list[str]) -> np.ndarray:
    """(n, 40, 192) float16."""
    ids = parts.tokenizer(
        words, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return parts.text(ids)[0].half().numpy()


if __name__ == "__main__":
    main()
