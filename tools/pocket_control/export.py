"""Write the trained ControlNet as it ships: one file in float16, and its card.

    python export.py --run W/control/run --out ../../models/controlnet/pocket_canny.safetensors

The card's figures come from evaluate.py, which is run after this.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save
from train import HOME, new_controlnet

LARGEST = 8_000_000


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=HOME / "models" / "checkpoints" / "pocket")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, default=HOME / "models" / "controlnet" / "pocket_canny.safetensors"
    )
    given = parser.parse_args()
    net = new_controlnet(UNet2DConditionModel.from_pretrained(given.model / "unet"))
    kept = torch.load(given.run / "last.pt", weights_only=True)
    net.load_state_dict(kept["ema"])
    tensors = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    data = save(
        tensors,
        {
            "modelspec.title": "pocket_canny",
            "modelspec.architecture": "stable-diffusion-v1/controlnet",
            "modelspec.implementation_of": "pocket",
            "modelspec.description": "Edges (Canny) for the model that comes along, pocket.",
            "modelspec.license": "CC0-1.0",
        },
    )
    if len(data) > LARGEST:
        raise SystemExit(f"{len(data)} bytes are too many")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_bytes(data)
    card = {
        "title": "pocket_canny",
        "description": "ControlNet for edges (Canny) of the model pocket, 128 x 128 pixels.",
        "base model": "pocket",
        "preprocessor": "canny",
        "licence": "CC0-1.0; the pictures that it learnt from are under the MIT licence",
        "trained": {"steps": kept["state"]["step"], "pictures a step": 16},
        "parameters": sum(value.numel() for value in tensors.values()),
        "bytes": len(data),
    }
    given.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"{given.out}: {len(data)} bytes after {kept['state']['step']} steps")


if __name__ == "__main__":
    main()
