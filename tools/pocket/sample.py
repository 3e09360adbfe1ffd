"""Draw pictures with a Stable Diffusion folder: a small Euler loop over diffusers' parts.

python sample.py MODEL "a blue cat" "two green squares" --out sheet.png --seeds 1 2
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
from data import contact_sheet
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


@dataclass
class Parts:
    """The modules of a model and how to sample with them."""

    unet: UNet2DConditionModel
    text: CLIPTextModel
    tokenizer: CLIPTokenizer
    vae: torch.nn.Module
    scheduler: EulerDiscreteScheduler


def load_vae(folder: Path) -> torch.nn.Module:
    """The autoencoder, of whichever class its config names, in float32."""
    name = json.loads((folder / "config.json").read_text())["_class_name"]
    return getattr(diffusers, name).from_pretrained(folder).float().eval()


def load(folder: Path) -> Parts:
    """A StableDiffusionPipeline folder in float32."""
    return Parts(
        UNet2DConditionModel.from_pretrained(folder / "unet").float().eval(),
        CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval(),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        load_vae(folder / "vae"),
        EulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
    )


@torch.no_grad()
def generate(
    parts: Parts,
    prompts: list[str],
    seeds: list[int],
    steps: int = 20,
    cfg: float = 2.5,
    length: int = 77,
    side: int = 128,
) -> np.ndarray:
    """Pictures for the prompts (one seed each): uint8 (N, side, side, 3)."""
    scheduler = EulerDiscreteScheduler.from_config(parts.scheduler.config)
    scheduler.set_timesteps(steps)
    words = parts.tokenizer(
        [""] * len(prompts) + prompts,
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    )
    states = parts.text(words.input_ids)[0]
    noise = [
        torch.randn(4, side // 8, side // 8, generator=torch.Generator().manual_seed(s))
        for s in seeds
    ]
    latents = torch.stack(noise) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        both = scheduler.scale_model_input(torch.cat([latents, latents]), t)
        empty, full = parts.unet(both, t, encoder_hidden_states=states).sample.chunk(2)
        latents = scheduler.step(empty + cfg * (full - empty), t, latents).prev_sample
    return decode(parts.vae, latents)


@torch.no_grad()
def decode(vae: torch.nn.Module, latents: torch.Tensor) -> np.ndarray:
    """Scaled latents to uint8 pictures, 16 at a time."""
    found = [vae.decode(part / vae.config.scaling_factor).sample for part in latents.split(16)]
    pictures = ((torch.cat(found).clamp(-1, 1) + 1) * 127.5).round().byte()
    return pictures.permute(0, 2, 3, 1).numpy()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg", type=float, default=2.5)
    given = parser.parse_args()
    prompts = [prompt for prompt in given.prompts for _ in given.seeds]
    seeds = given.seeds * len(given.prompts)
    pictures = generate(load(given.model), prompts, seeds, given.steps, given.cfg)
    contact_sheet(list(pictures), prompts).save(given.out)


if __name__ == "__main__":
    main()
