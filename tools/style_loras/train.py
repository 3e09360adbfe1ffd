"""Train the four style LoRAs of the pocket model: pictures of its data, drawn in each style.

    python train.py --data W/data                                 all four, 5 minutes each
    python train.py --data W/data --styles ink_outline --minutes 8

Writes OUT/<style>.safetensors (kohya's dialect, float16, below 2 MB), OUT/<style>.json with the card in A1111's words
and OUT/<style>.png with a thumbnail made by the model with the LoRA. The model itself is not changed. `--steps 3`
tries everything in seconds. To be run again whenever the weights of the model change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from PIL import Image
from safetensors.torch import save
from styles import STYLES, Style

TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    "conv1", "conv2", "conv_shortcut", "conv_in", "conv_out",
)  # fmt: skip
SHOWN = ("a castle on a blue background", "a cat", "a red car on a yellow background", "an owl")
LARGEST = 2_000_000


def pictures(style: Style, data: Path, count: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Drawn pictures and captions; half of the captions name the style."""
    from data import stream

    source = stream(data, seed, None, 0.6)
    rng = np.random.default_rng(seed)
    drawn, captions = [], []
    for number in range(count):
        sample = next(source)
        drawn.append(style.draw(sample.picture, rng))
        captions.append(f"{sample.caption}, {style.words}" if number % 2 else sample.caption)
    return drawn, captions


@torch.no_grad()
def latents_of(vae: torch.nn.Module, drawn: list[np.ndarray]) -> torch.Tensor:
    """(n, 4, 16, 16), scaled; the mean where the autoencoder gives a distribution."""
    found = []
    for start in range(0, len(drawn), 25):
        batch = torch.from_numpy(np.stack(drawn[start : start + 25])).permute(0, 3, 1, 2)
        encoded = vae.encode(batch.float() / 127.5 - 1)
        latent = encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents
        found.append(latent * vae.config.scaling_factor)
    return torch.cat(found)


def train(parts: Any, style: Style, given: argparse.Namespace) -> None:
    """One style; leaves the LoRA in `parts.unet` for the thumbnail."""
    from train_pocket import alphas, draw_steps

    drawn, captions = pictures(style, given.data, given.count, given.seed)
    latents = latents_of(parts.vae, drawn)
    ids = parts.tokenizer(
        captions, padding="max_length", max_length=40, truncation=True, return_tensors="pt"
    ).input_ids
    empty = parts.tokenizer(
        [""], padding="max_length", max_length=40, truncation=True, return_tensors="pt"
    ).input_ids
    config = LoraConfig(r=given.rank, lora_alpha=given.rank, target_modules=list(TARGETS))
    torch.manual_seed(given.seed)
    parts.unet.add_adapter(config, adapter_name=style.name)
    device = torch.device(given.device)
    parts.unet.to(device), parts.text.to(device)
    latents, ids, empty = latents.to(device), ids.to(device), empty.to(device)
    weights = [weight for weight in parts.unet.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=given.rate, betas=(0.9, 0.99), weight_decay=0.01)
    kept = [weight.detach().clone() for weight in weights]
    table = alphas().to(device)
    began = last = time.time()
    step, losses = 0, []
    while True:
        spent = (time.time() - began) / (given.minutes * 60)
        share = step / given.steps if given.steps else min(spent, 1.0)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = (
                given.rate
                * min(1, (step + 1) / 30)
                * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))
            )
        pick = torch.randint(len(latents), (given.batch,), device=device)
        clean, words = latents[pick], ids[pick].clone()
        words[torch.rand(given.batch, device=device) < 0.15] = empty
        times = draw_steps(given.batch).to(device)
        a = table[times].view(-1, 1, 1, 1)
        noise = torch.randn_like(clean)
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
        target = a.sqrt() * noise - (1 - a).sqrt() * clean  # v-prediction, arXiv 2202.00512
        with torch.no_grad():
            told = parts.text(words)[0]
        found = parts.unet(noisy, times, encoder_hidden_states=told).sample
        snr = (a / (1 - a)).flatten()
        weight = (snr.clamp(max=5) + 1) / (snr + 1)
        loss = ((found - target).pow(2).mean((1, 2, 3)) * weight).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        keep = min(0.99, (1 + step) / (10 + step))
        for mean, now in zip(kept, weights, strict=True):
            mean.lerp_(now.detach(), 1 - keep)
        losses.append(loss.detach())
        step += 1
        if time.time() - last > 15:
            last = time.time()
            print(f"{style.name}: {share:4.0%}, step {step}, loss {mean_of(losses)}", flush=True)
    with torch.no_grad():
        for mean, now in zip(kept, weights, strict=True):
            now.copy_(mean)
    parts.unet.cpu(), parts.text.cpu()
    print(f"{style.name}: {step} steps, loss {mean_of(losses)}", flush=True)
    write(parts, style, captions, step, given)


def mean_of(losses: list[torch.Tensor]) -> str:
    """Of the last fifty."""
    return f"{torch.stack(losses[-50:]).mean().item():.4f}"


def tensors_of(unet: torch.nn.Module, name: str) -> dict[str, torch.Tensor]:
    """The LoRA in kohya's dialect, float16."""
    found: dict[str, torch.Tensor] = {}
    for path, module in unet.named_modules():
        if isinstance(module, LoraLayer) and name in module.lora_A:
            stem = "lora_unet_" + path.replace(".", "_")
            down, up = module.lora_A[name].weight, module.lora_B[name].weight
            found[f"{stem}.lora_down.weight"] = down.detach().half().contiguous()
            found[f"{stem}.lora_up.weight"] = up.detach().half().contiguous()
            found[f"{stem}.alpha"] = torch.tensor(
                float(module.scaling[name] * down.shape[0])
            ).half()
    return found


def write(
    parts: Any, style: Style, captions: list[str], steps: int, given: argparse.Namespace
) -> None:
    """The file, its card and its thumbnail."""
    from sample import generate

    tensors = tensors_of(parts.unet, style.name)
    bare = save(tensors)
    body = bare[8 + int.from_bytes(bare[:8], "little") :]
    counts = Counter(tag.strip() for caption in captions for tag in caption.split(","))
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation_of": "pocket",
        "modelspec.title": style.title,
        "modelspec.description": style.note,
        "modelspec.license": "CC0-1.0",
        "modelspec.trigger_phrase": style.words,
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": "pocket",
        "ss_output_name": style.name,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(given.rank),
        "ss_network_alpha": str(given.rank),
        "ss_steps": str(steps),
        "ss_tag_frequency": json.dumps({"styles": dict(counts.most_common(30))}),
        "sshs_model_hash": hashlib.sha256(body).hexdigest(),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    data = save(tensors, metadata)
    if len(data) > LARGEST:
        raise SystemExit(f"{style.name}: {len(data)} bytes; choose a lower --rank")
    (given.out / f"{style.name}.safetensors").write_bytes(data)
    card = {
        "description": style.note,
        "notes": f"{style.note} Trained for the model that comes along (pocket) by tools/style_loras.",
        "sd version": "SD1",
        "activation text": style.words,
        "preferred weight": 1.0,
    }
    (given.out / f"{style.name}.json").write_text(
        json.dumps(card, indent=1) + "\n", encoding="utf-8"
    )
    made = generate(parts, list(SHOWN), [11, 12, 13, 14], steps=4 if 0 < given.steps < 100 else 20)
    top, bottom = np.concatenate(list(made[:2]), 1), np.concatenate(list(made[2:]), 1)
    Image.fromarray(np.concatenate([top, bottom])).save(
        given.out / f"{style.name}.png", optimize=True
    )
    print(f"{style.name}: {len(data)} bytes, measure {style.measure(made):.3f}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    home = Path(__file__).resolve().parents[2]
    parser.add_argument("--model", type=Path, default=home / "models" / "checkpoints" / "pocket")
    parser.add_argument(
        "--data", type=Path, required=True, help="made by tools/pocket/data.py fetch"
    )
    parser.add_argument("--out", type=Path, default=home / "models" / "lora")
    parser.add_argument("--styles", nargs="+", choices=sorted(STYLES), default=list(STYLES))
    parser.add_argument("--minutes", type=float, default=5, help="for each style")
    parser.add_argument("--steps", type=int, default=0, help="instead of the minutes")
    parser.add_argument("--count", type=int, default=1500, help="pictures for each style")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="or cuda; then a --batch of 64 is quicker")
    given = parser.parse_args()
    pocket = Path(__file__).resolve().parents[1] / "pocket"
    sys.path.append(str(pocket))
    _alias("train_pocket", pocket / "train.py")
    from sample import load

    torch.set_num_threads(given.threads)
    for name in given.styles:
        parts = load(given.model)
        parts.unet.set_attn_processor(AttnProcessor())  # faster backwards on sequences this short
        parts.unet.requires_grad_(False)
        train(parts, STYLES[name], given)


def _alias(name: str, file: Path) -> None:
    """tools/pocket has a train.py as well: import it under another name."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main()
