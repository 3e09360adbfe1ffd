"""How well results follow the edges that they were given, on pictures held aside from the training.

    python evaluate.py W/data [--model-file ../../models/controlnet/pocket_canny.safetensors] [--sheet sheet.png]

Edge-F1: Canny's edges of the result against the control image's, each found within one pixel of the other
(the F-measure of boundary detection, Martin et al. 2004, with a fixed tolerance). Everything runs through
the program's own loop and extension. Writes the figures into the file's card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from prepare import HOME, edges_of

sys.path.insert(0, str(HOME))
SETTINGS = {
    "off": {"weight": 0.0},
    "weight 0.5": {"weight": 0.5},
    "weight 1": {"weight": 1.0},
    "weight 1.5": {"weight": 1.5},
    "end 0.1": {"guidance_end": 0.1},
    "end 0.3": {"guidance_end": 0.3},
    "end 0.6": {"guidance_end": 0.6},
    "start 0.25": {"guidance_start": 0.25},
    "start 0.5": {"guidance_start": 0.5},
    "start 0.75": {"guidance_start": 0.75},
}


def f1(found: np.ndarray, wanted: np.ndarray) -> float:
    """Agreement of two maps of edges, 0 to 1."""
    around = np.ones((3, 3), np.uint8)
    a, b = found > 0, wanted > 0
    if not a.any() or not b.any():
        return 0.0
    near_a = cv2.dilate(a.astype(np.uint8), around) > 0
    near_b = cv2.dilate(b.astype(np.uint8), around) > 0
    precision, recall = (a & near_b).sum() / a.sum(), (b & near_a).sum() / b.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


class Kept:
    """Pictures in memory, for the extension."""

    def __init__(self) -> None:
        self._found: dict[str, Image.Image] = {}

    def keep(self, image: Image.Image) -> str:
        name = hashlib.sha256(image.tobytes()).hexdigest()
        self._found[name] = image
        return name

    def open(self, name: str) -> Image.Image:
        return self._found[name]

    def size(self, name: str) -> tuple[int, int]:
        return self._found[name].size


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="made by tools/pocket/data.py fetch")
    parser.add_argument(
        "--model-file",
        type=Path,
        default=HOME / "models" / "controlnet" / "pocket_canny.safetensors",
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=990_001, help="not one that prepare.py used")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    given = parser.parse_args()
    from data import stream

    from extensions.controlnet.options import ControlNetOptions
    from extensions.controlnet.worker import ControlNetWorker
    from modules.diffusion.inputs import Inputs
    from modules.diffusion.pipeline import generate
    from modules.library.load import load
    from modules.library.scan import read_card
    from modules.plugins.host import Host
    from modules.schema import GenerationRequest

    torch.set_num_threads(1)
    parts = load(read_card(HOME / "models" / "checkpoints" / "pocket"), "cpu", "fp32")
    models = given.model_file.resolve().parents[1]
    host = Host("controlnet", HOME / "extensions" / "controlnet", models, Path(), pictures=Kept())
    worker = ControlNetWorker(host)
    source = stream(given.data, given.seed, None, 0.8)
    samples = [next(source) for _ in range(given.count)]
    figures: dict[str, float] = {}
    shown: dict[str, list[Image.Image]] = {}
    for name in given.only:
        found = []
        for number, sample in enumerate(samples):
            wanted = edges_of(sample.picture)
            unit = {
                "image": host.keep_picture(Image.fromarray(sample.picture)),
                "module": "canny",
                "pixel_perfect": True,
                "model": given.model_file.stem,
                **SETTINGS[name],
            }
            request = GenerationRequest(
                prompt=sample.caption, width=128, height=128, steps=given.steps, cfg_scale=2.5,
                sampler="euler", schedule="default", seed=1_000 + number, model="pocket",
            )  # fmt: skip
            options = ControlNetOptions.model_validate({"units": [unit]})
            adapter = worker.prepare_generation(request, options, parts)
            made = generate(
                parts, request, [adapter] if adapter else [], lambda told: None, inputs=Inputs()
            )
            found.append(f1(edges_of(np.asarray(made[0])), wanted))
            shown.setdefault(name, []).append(made[0])
        figures[name] = round(float(np.mean(found)), 3)
        print(f"{name}: edge-F1 {figures[name]:.3f}", flush=True)
    card_file = given.model_file.with_suffix(".json")
    if card_file.exists() and len(given.only) == len(SETTINGS):
        card = json.loads(card_file.read_text(encoding="utf-8"))
        card["edge F1"] = figures
        card["measured"] = (
            f"{given.count} pictures held aside, {given.steps} steps of Euler, CFG scale 2.5; "
            "Canny 100/200, one pixel of tolerance"
        )
        card_file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    if given.sheet:
        edges = [Image.fromarray(edges_of(s.picture)).convert("RGB") for s in samples]
        rows = [edges[:8], *(shown[name][:8] for name in given.only if name in shown)]
        sheet = Image.new("RGB", (8 * 132, len(rows) * 132), "white")
        for y, row in enumerate(rows):
            for x, image in enumerate(row):
                sheet.paste(image, (x * 132 + 2, y * 132 + 2))
        sheet.save(given.sheet)


if __name__ == "__main__":
    main()
