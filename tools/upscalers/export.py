"""Write the models that ship: half precision, with a card beside each that says what it is and what was measured.

    python export.py W ../../models/upscalers      from W/x2/last.pt and W/x4/last.pt, measured on W/held.npz

The figures are of the files as they were written, against Lanczos (Pillow's) on pictures that were held aside: PSNR over
red, green and blue; and sharpness, how steep the true picture's strongest edges still are, as a share.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from spandrel import ModelLoader

SCALES = (2, 4)


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of two uint8 pictures, in dB."""
    error = np.mean((found.astype(np.float64) - wanted.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def gradient(picture: np.ndarray) -> np.ndarray:
    """Length of the gradient of the brightness at each pixel."""
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    down, across = np.gradient(grey)
    return np.hypot(down, across)


def sharpness(found: np.ndarray, wanted: np.ndarray) -> float:
    """How steep the edges of the true picture (a twentieth of its pixels) are in another, as a share of what they are."""
    true = gradient(wanted)
    edges = true >= np.quantile(true, 0.95)
    return float(gradient(found)[edges].mean() / true[edges].mean())


def enlarge(model, small: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 through the model."""
    given = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        made = model(given)[0].permute(1, 2, 0).numpy()
    return (made.clip(0, 1) * 255).round().astype(np.uint8)


def measure(file: Path, held: dict[str, np.ndarray], scale: int) -> dict[str, dict[str, float]]:
    """Figures by kind of picture, and of all."""
    model = ModelLoader().load_from_file(file)
    model.eval()
    rows: dict[str, list[tuple[float, ...]]] = {}
    for kind, pictures in held.items():
        for picture in pictures:
            whole = Image.fromarray(picture)
            size = (whole.width // scale, whole.height // scale)
            small = np.asarray(whole.resize(size, Image.Resampling.BICUBIC))
            plain = np.asarray(Image.fromarray(small).resize(whole.size, Image.Resampling.LANCZOS))
            made = enlarge(model, small)
            row = (
                psnr(plain, picture),
                psnr(made, picture),
                sharpness(plain, picture),
                sharpness(made, picture),
            )
            rows.setdefault(kind, []).append(row)
    rows["all"] = [row for found in rows.values() for row in found]
    names = ("psnr_lanczos", "psnr", "sharpness_lanczos", "sharpness")
    return {
        kind: dict(zip(names, np.round(np.mean(found, 0), 2).tolist(), strict=True))
        for kind, found in rows.items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    held = dict(np.load(given.work / "held.npz"))
    for scale in SCALES:
        state = torch.load(given.work / f"x{scale}" / "last.pt", weights_only=True)
        weights = {key: value.half().contiguous() for key, value in state["average"].items()}
        file = given.out / f"pocket_x{scale}.safetensors"
        save_file(weights, file, {"format": "pt", "licence": "CC0-1.0"})
        file.chmod(0o644)
        figures = measure(file, held, scale)
        card = {
            "title": f"Pocket ×{scale}",
            "architecture": "Compact (SRVGGNetCompact), 48 features, 12 convolutions",
            "scale": scale,
            "parameters": sum(value.numel() for value in load_file(file).values()),
            "licence": "CC0-1.0",
            "trained": f"tools/upscalers, {state['step']} steps, {state['spent'] / 60:.0f} minutes on one core",
            "pictures": "Fluent Emoji and Noto Emoji, photographs of scikit-image, drawings; see tools/upscalers/NOTICE",
            "held_aside": {kind: len(pictures) for kind, pictures in held.items()},
            "figures": figures,
            "made": time.strftime("%Y-%m-%d"),
        }
        file.with_suffix(".json").write_text(
            json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        print(file.name, json.dumps(figures["all"]))


if __name__ == "__main__":
    main()
