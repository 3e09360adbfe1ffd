"""Measure the four style LoRAs on the model that comes along, through the program's own door, and draw sheets.

    python tools/style_loras/evaluate.py --out docs/lora              from the program's folder, 6 minutes on two cores
    python tools/style_loras/evaluate.py --thumbnails                 pictures beside the files of models/lora

Writes OUT/figures.json, OUT/weights.png (each style at weights 0 to 1), OUT/mixes.png and OUT/window.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from changes import layout_change, texture_change
from PIL import Image, ImageDraw
from styles import STYLES

HOME = Path(__file__).resolve().parents[2]

PROMPTS = (
    "a castle on a blue background", "a red car on a yellow background", "a pear on a red background",
    "an owl on a green background", "a cat on a white background",
)  # fmt: skip
"""With backgrounds named: else a style at a low weight tips some of them to another colour, and that is all one sees."""
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
TOGETHER = 0.7
GAP = 4


class Maker:
    """Pictures by prompt and LoRA tags, each made once."""

    def __init__(self, models: Path) -> None:
        sys.path.insert(0, str(HOME))
        from modules.plugins.bench import Bench

        self._bench = Bench(HOME / "extensions" / "lora", models)
        self._made: dict[str, np.ndarray] = {}
        if not self._bench.active:
            raise SystemExit(str(self._bench.plugins.reports[0].reason))

    def __call__(self, prompt: str, seed: int, *tags: str) -> np.ndarray:
        words = " ".join((prompt, *tags))
        key = f"{seed} {words}"
        if key not in self._made:
            size: dict[str, Any] = {"width": 128, "height": 128, "steps": 20, "cfg_scale": 2.5}
            picture = self._bench.picture(prompt=words, seed=seed, **size)
            self._made[key] = np.asarray(picture.convert("RGB"))
        return self._made[key]

    def all(self, *tags: str) -> np.ndarray:
        """Every prompt once, with these tags."""
        return np.stack([self(prompt, 11 + n, *tags) for n, prompt in enumerate(PROMPTS)])

    def close(self) -> None:
        self._bench.close()


def tag(name: str, weight: float, **more: float) -> str:
    said = "".join(f":{key}={value:g}" for key, value in more.items())
    return f"<lora:{name}:{weight:g}{said}>"


def sheet(rows: dict[str, list[np.ndarray]], heads: list[str]) -> Image.Image:
    """Pictures in rows, named at the left and above."""
    high, wide = next(iter(rows.values()))[0].shape[:2]
    left, top = 150, 22
    columns = max(len(row) for row in rows.values())
    drawn = Image.new(
        "RGB", (left + columns * (wide + GAP), top + len(rows) * (high + GAP)), "white"
    )
    pen = ImageDraw.Draw(drawn)
    for column, head in enumerate(heads):
        pen.text((left + column * (wide + GAP) + 2, 5), head, fill="black")
    for number, (name, row) in enumerate(rows.items()):
        down = top + number * (high + GAP)
        pen.text((4, down + 4), name.replace(" + ", "\n+ "), fill="black")
        for column, picture in enumerate(row):
            drawn.paste(Image.fromarray(picture), (left + column * (wide + GAP), down))
    return drawn


def measured(make: Maker) -> dict[str, Any]:
    """All figures; the pictures stay in `make` for the sheets."""
    plain = make.all()
    figures: dict[str, Any] = {
        "prompts": len(PROMPTS),
        "responses": {
            name: {
                f"{weight:g}": round(
                    style.measure(make.all(tag(name, weight)) if weight else plain), 3
                )
                for weight in WEIGHTS
            }
            for name, style in STYLES.items()
        },
        "mixes": {},
        "windows": {},
    }
    for one, two in combinations(STYLES, 2):
        both = make.all(tag(one, TOGETHER), tag(two, TOGETHER))
        figures["mixes"][f"{one} + {two}"] = {
            each: {
                "plain": round(STYLES[each].measure(plain), 3),
                "mix": round(STYLES[each].measure(both), 3),
                "other alone": round(STYLES[each].measure(make.all(tag(other, TOGETHER))), 3),
            }
            for each, other in ((one, two), (two, one))
        }
    for name in STYLES:
        early = make.all(tag(name, 1, start=0, end=0.5))
        late = make.all(tag(name, 1, start=0.5, end=1))
        figures["windows"][name] = {
            said: {
                "layout": round(
                    float(np.mean([layout_change(*p) for p in zip(plain, made, strict=True)])), 3
                ),
                "texture": round(
                    float(np.mean([texture_change(*p) for p in zip(plain, made, strict=True)])), 3
                ),
            }
            for said, made in (("first half", early), ("second half", late))
        }
    return figures


def draw(make: Maker, out: Path) -> None:
    """The three sheets."""
    prompt, seed = PROMPTS[0], 11
    rows = {
        name: [make(prompt, seed, *([tag(name, w)] if w else [])) for w in WEIGHTS]
        for name in STYLES
    }
    sheet(rows, [f"{weight:g}" for weight in WEIGHTS]).save(out / "weights.png", optimize=True)
    shown = PROMPTS[:5]
    rows = {
        f"{one} + {two}": [
            make(prompt, 11 + n, tag(one, TOGETHER), tag(two, TOGETHER))
            for n, prompt in enumerate(shown)
        ]
        for one, two in combinations(STYLES, 2)
    }
    sheet(rows, [prompt[:20] for prompt in shown]).save(out / "mixes.png", optimize=True)
    windows: tuple[tuple[str, dict[str, float] | None], ...] = (
        ("without", None),
        ("first half", {"start": 0, "end": 0.5}),
        ("second half", {"start": 0.5, "end": 1}),
        ("all steps", {}),
    )
    rows = {
        name: [make(prompt, seed, *([] if w is None else [tag(name, 1, **w)])) for _, w in windows]
        for name in STYLES
    }
    sheet(rows, [said for said, _ in windows]).save(out / "window.png", optimize=True)


def thumbnails(make: Maker, folder: Path) -> None:
    """Four pictures of each style, beside its file."""
    for name in STYLES:
        made = [make(prompt, 11 + n, tag(name, 1)) for n, prompt in enumerate(PROMPTS[:4])]
        top, bottom = np.concatenate(made[:2], 1), np.concatenate(made[2:], 1)
        Image.fromarray(np.concatenate([top, bottom])).save(folder / f"{name}.png", optimize=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=HOME / "models")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--thumbnails", action="store_true")
    given = parser.parse_args()
    make = Maker(given.models)
    try:
        if given.thumbnails:
            thumbnails(make, given.models / "lora")
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            figures = measured(make)
            text = json.dumps(figures, indent=1) + "\n"
            (given.out / "figures.json").write_text(text, encoding="utf-8")
            print(text)
            draw(make, given.out)
    finally:
        make.close()


if __name__ == "__main__":
    main()
