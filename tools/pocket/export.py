"""Write the shipped folder: diffusers' StableDiffusionPipeline layout, fp16, with card and preview.

    python export.py --run RUN --tokenizer FOLDER --vae FOLDER --tiny FOLDER --out models/checkpoints/pocket

Each sub-folder is written beside its place and then swapped in, so that a reader never sees half a
file. The vae is an AutoencoderKL folder (any autoencoder with encode and decode will load).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from data import COLOURS, THINGS
from diffusers import AutoencoderTiny, EulerDiscreteScheduler
from sample import SCHEDULER, load_vae
from train import restore
from transformers import CLIPTokenizer

EXAMPLES = [
    "a hamburger on a white background, 3d render",
    "a cat on a blue background",
    "a rainbow on an orange background",
    "a pear on a red background",
    "an avocado on a green background",
    "a dog on a red background",
    "a snowman on a blue background",
    "flat icon of a castle on a yellow background",
]
LIMIT = 40 * 1024 * 1024


def card() -> dict[str, object]:
    """What the program reads about the model."""
    count = len(THINGS)
    english = (
        f"A tiny model for a first try on any computer: {count} things (animals, food, plants, vehicles, "
        f"tools, weather, sports) on {len(COLOURS)} background colours. 128 x 128 pixels, under a second "
        'per picture on two processor cores. It knows colours ("a blue cat"), shapes and numbers ("two '
        'green squares") and the styles 3d render, flat icon and pixel art. Use CFG 2 to 3.'
    )
    chinese = (
        f"任何电脑都能立即试用的极小模型：{count} 种事物（动物、食物、植物、交通工具、工具、天气、运动），"
        f"{len(COLOURS)} 种背景颜色。128 x 128 像素，两个处理器核心上不到一秒一张。它认识颜色"
        "（a blue cat）、形状与数量（two green squares），以及 3d render、flat icon、pixel art 三种风格。"
        "提示词请用英文，CFG 宜为 2 到 3。"
    )
    return {
        "name": "pocket",
        "title": "Pocket",
        "family": "sd1",
        "prediction_type": "v_prediction",
        "defaults": {
            "width": 128, "height": 128, "steps": 20, "cfg_scale": 2.5, "sampler": "euler",
            "schedule": "default",
        },
        "size_limits": {"minimum": 64, "maximum": 256, "multiple": 8},
        "preview": "vae_tiny",
        "licence": "MIT (training pictures)",
        "description": {"en": english, "zh": chinese},
        "examples": EXAMPLES,
        "things": sorted(THINGS),
    }  # fmt: skip


def swap(part: Path, target: Path) -> None:
    """Put ``part`` in the place of ``target``."""
    old = target.with_name(target.name + ".old")
    if old.exists():
        shutil.rmtree(old)
    if target.exists():
        target.rename(old)
    part.rename(target)
    if old.exists():
        shutil.rmtree(old)


def write_text(target: Path, text: str) -> None:
    """Write a file atomically."""
    part = target.with_name(target.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--tiny", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tokenizer = CLIPTokenizer.from_pretrained(given.tokenizer)
    unet, text = restore(given.run, tokenizer)
    tiny = AutoencoderTiny.from_pretrained(given.tiny)
    # Older files carry a key that the class does not know.
    config = {
        k: v for k, v in tiny.config.items() if k != "block_out_channels" and not k.startswith("_")
    }
    clean = AutoencoderTiny.from_config(config)
    clean.load_state_dict(tiny.state_dict())
    vae = load_vae(given.vae)
    models = {"unet": unet, "text_encoder": text, "vae": vae, "vae_tiny": clean}
    for name, model in models.items():
        part = given.out / f"{name}.part"
        model.half().save_pretrained(part, safe_serialization=True)
        if name != "text_encoder":
            path = part / "config.json"
            found = json.loads(path.read_text())
            found.pop("_name_or_path", None)
            if found["_class_name"] == "AutoencoderTiny":
                found.pop("block_out_channels", None)
            path.write_text(json.dumps(found, indent=2) + "\n")
        swap(part, given.out / name)
    shutil.copytree(given.tokenizer, given.out / "tokenizer.part", dirs_exist_ok=True)
    swap(given.out / "tokenizer.part", given.out / "tokenizer")
    scheduler = EulerDiscreteScheduler(**SCHEDULER)
    scheduler.save_pretrained(given.out / "scheduler.part")
    path = given.out / "scheduler.part" / "scheduler_config.json"
    # For the other samplers that are built from this config.
    extra = {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), **extra}, indent=2) + "\n")
    swap(given.out / "scheduler.part", given.out / "scheduler")
    import diffusers

    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", type(vae).__name__],
    }
    write_text(given.out / "model_index.json", json.dumps(index, indent=2) + "\n")
    write_text(given.out / "card.json", json.dumps(card(), indent=2, ensure_ascii=False) + "\n")
    total = sum(f.stat().st_size for f in given.out.rglob("*") if f.is_file())
    print(f"{given.out}: {total / 1e6:.1f} MB, vae {type(vae).__name__}")
    if total > LIMIT:
        raise ValueError("the folder is larger than 40 MB")


if __name__ == "__main__":
    main()
