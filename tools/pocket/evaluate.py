"""Measure a model on the fixed prompt lists by looking at its pixels; draw the sheet of 40.

    python evaluate.py MODEL DATA --out docs/pocket
    python evaluate.py MODEL DATA --out FOLDER --true    the same measures on pictures of data.py

The second form says how far the measures themselves can be trusted: it draws what each prompt asks
for from the sprites, so a perfect measure would give 100 %.

Nothing here asks a network: colours are nearest named colours in Lab, shapes are connected
components compared with the six outlines, things are nearest sprites (136 x 2, turned and mirrored).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from data import (
    COLOURS,
    SHAPES,
    compose,
    contact_sheet,
    draw_shapes,
    load_sprites,
    recolour,
    shape_outline,
)
from PIL import Image
from sample import Parts, generate, load

HERE = Path(__file__).parent
Entry = dict[str, str | int | bool]
Draw = Callable[[list[Entry], list[int]], np.ndarray]
CELL = 32


# ----------------------------------------------------------------------------------- colours


def lab(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) or (N, 3) to float Lab of the same shape."""
    pixels = picture.reshape(1, -1, 3).astype(np.float32) / 255
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).reshape(picture.shape)


def ramps() -> tuple[list[str], np.ndarray]:
    """Shade, middle and tint of every named colour, as recolouring makes them."""
    names, shades = [], []
    for name, rgb in COLOURS.items():
        base = np.array(rgb, np.float32)
        dark, light = base * 0.35, base + (255 - base) * 0.75
        if name == "black":
            dark, light = base * 0.3, np.full(3, 140.0)
        if name == "white":
            dark = np.full(3, 140.0)
        names += [name] * 3
        shades += [(dark + base) / 2, base, (base + light) / 2]
    return names, lab(np.array(shades).round().astype(np.uint8))


PLAIN = lab(np.array(list(COLOURS.values()), np.uint8))
RAMP_NAMES, RAMP = ramps()


def nearest(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Index of the nearest row of the table for Lab pixels (N, 3)."""
    return np.linalg.norm(pixels[:, None] - table[None], axis=-1).argmin(1)


def ground_of(picture: np.ndarray, width: int = 5) -> tuple[str, np.ndarray]:
    """The most frequent named colour of the border, and the median Lab of its pixels."""
    frame = np.ones(picture.shape[:2], bool)
    frame[width:-width, width:-width] = False
    pixels = lab(picture[frame])
    found = nearest(pixels, PLAIN)
    best = Counter(found.tolist()).most_common(1)[0][0]
    return list(COLOURS)[best], np.median(pixels[found == best], 0)


def thing_mask(picture: np.ndarray, limit: float = 17.0) -> np.ndarray:
    """What differs from the background: components of at least 40 pixels."""
    _, ground = ground_of(picture)
    mask = (np.linalg.norm(lab(picture) - ground, axis=-1) > limit).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 40]
    return np.isin(labels, keep)


def colour_of(picture: np.ndarray) -> str:
    """The named colour that most pixels of the thing are a shade of."""
    mask = thing_mask(picture)
    if not mask.any():
        return "nothing"
    found = nearest(lab(picture[mask]), RAMP)
    return Counter(RAMP_NAMES[i] for i in found).most_common(1)[0][0]


# ------------------------------------------------------------------------------------ shapes


def filled(corners: list[tuple[float, float]]) -> np.ndarray:
    """A polygon as a mask of unit area about its centroid, 64 x 64."""
    points = np.array(corners, np.float32)
    canvas = np.zeros((256, 256), np.uint8)
    span = np.abs(points).max()
    cv2.fillPoly(canvas, [(points / span * 100 + 128).round().astype(np.int32)], 1)
    return levelled(canvas)


def levelled(mask: np.ndarray) -> np.ndarray:
    """The mask shifted and scaled to a fixed area and centroid: float 64 x 64."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    area = moments["m00"]
    cx, cy = moments["m10"] / area, moments["m01"] / area
    scale = math.sqrt(1100 / area)
    matrix = np.array([[scale, 0, 32 - scale * cx], [0, scale, 32 - scale * cy]], np.float32)
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(mask.astype(np.float32), matrix, (64, 64), flags=flags)


def outlines() -> list[tuple[str, np.ndarray]]:
    """Every shape at a few angles."""
    found = []
    for kind in SHAPES:
        for degrees in (-12, -6, 0, 6, 12):
            cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            turned = [(x * cos - y * sin, x * sin + y * cos) for x, y in shape_outline(kind)]
            found.append((kind, filled(turned)))
    return found


OUTLINES = outlines()


def shape_kind(mask: np.ndarray) -> str:
    """The outline with the greatest overlap (intersection over union)."""
    own = levelled(mask)
    scores = [np.minimum(own, o).sum() / np.maximum(own, o).sum() for _, o in OUTLINES]
    return OUTLINES[int(np.argmax(scores))][0]


def shapes_of(picture: np.ndarray) -> list[tuple[str, str]]:
    """(kind, colour) of each separate thing in the picture."""
    mask = thing_mask(picture)
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    found = []
    for i in range(1, count):
        part = labels == i
        if part.sum() < 80:
            continue
        inner = cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        middle = np.median(lab(picture[inner if inner.any() else part]), 0)
        found.append((shape_kind(part), list(COLOURS)[nearest(middle[None], PLAIN)[0]]))
    return found


# ------------------------------------------------------------------------------------ things


def cell(picture: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """The masked part over grey, cropped, its longer side scaled to 32: float (32, 32, 4)."""
    ys, xs = np.nonzero(mask)
    if len(ys) < 60:
        return None
    top, bottom, left, right = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    side = max(bottom - top, right - left)
    box = np.full((side, side, 4), 0.5, np.float32)
    box[..., 3] = 0
    y, x = (side - bottom + top) // 2, (side - right + left) // 2
    part, inside = picture[top:bottom, left:right] / 255, mask[top:bottom, left:right, None]
    target = box[y : y + bottom - top, x : x + right - left]
    target[..., :3] = np.where(inside, part, 0.5)
    target[..., 3:] = inside
    return cv2.resize(box, (CELL, CELL), interpolation=cv2.INTER_AREA)


class Album:
    """All sprites as cells, to find the nearest thing."""

    def __init__(self, sprites: dict[tuple[str, str], np.ndarray]) -> None:
        names, cells = [], []
        for (name, _), sprite in sprites.items():
            rgba = Image.fromarray(sprite, "RGBa").convert("RGBA")
            for flip, angle in itertools.product((False, True), (-9, 0, 9)):
                turned = rgba.rotate(angle, Image.Resampling.BICUBIC, expand=True)
                array = np.asarray(turned)[:, :: -1 if flip else 1]
                found = cell(array[..., :3], array[..., 3] > 100)
                if found is None:
                    raise ValueError(f"{name} is empty")
                names.append(name)
                cells.append(found.ravel())
        self.names, self.cells = names, np.stack(cells)

    def rank(self, picture: np.ndarray) -> list[str]:
        """Names of all things, nearest first."""
        own = cell(picture, thing_mask(picture))
        if own is None:
            return []
        gaps = np.abs(self.cells - own.ravel()).mean(1)
        return list(dict.fromkeys(self.names[i] for i in gaps.argsort()))


# ------------------------------------------------------------------------------------ styles


def roughness(picture: np.ndarray) -> float:
    """Median gradient within the thing, away from its edges: small in flat drawings."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mask = cv2.erode(thing_mask(picture).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    return float(np.median(slope[mask])) if mask.any() else 0.0


def blockiness(picture: np.ndarray) -> float:
    """Steps at the lines of the 8-pixel grid over steps elsewhere."""
    steps = np.abs(np.diff(picture.astype(np.float32), axis=1)).mean((0, 2))
    at = (np.arange(len(steps)) + 1) % 8 == 0
    return float(steps[at].mean() / (steps[~at].mean() + 1e-6))


# ----------------------------------------------------------------------------------- figures


def prompts(name: str) -> list[Entry]:
    """One of the fixed lists."""
    return json.loads((HERE / "prompts" / f"{name}.json").read_text(encoding="utf-8"))


def percent(found: list[bool]) -> float:
    """Share of true ones, in percent."""
    return round(100 * sum(found) / len(found), 1)


def backgrounds(draw: Draw) -> dict[str, object]:
    """How often the border has the colour that was asked for."""
    entries = prompts("backgrounds")
    found = [ground_of(p)[0] for p in draw(entries, list(range(len(entries))))]
    right = [f == e["ground"] for f, e in zip(found, entries, strict=True)]
    wrong = [
        f"{e['prompt']} -> {f}" for f, e in zip(found, entries, strict=True) if f != e["ground"]
    ]
    return {"percent": percent(right), "of": len(entries), "wrong": wrong}


def recoloured(draw: Draw) -> dict[str, object]:
    """How often "a blue cat" is blue."""
    entries = prompts("recolour")
    found = [colour_of(p) for p in draw(entries, [100 + i for i in range(len(entries))])]
    right = [f == e["colour"] for f, e in zip(found, entries, strict=True)]
    out = [r for r, e in zip(right, entries, strict=True) if e["held_out"]]
    wrong = [
        f"{e['prompt']} -> {f}" for f, e in zip(found, entries, strict=True) if f != e["colour"]
    ]
    return {
        "percent": percent(right),
        "held_out_percent": percent(out),
        "of": len(entries),
        "wrong": wrong,
    }


def shaped(draw: Draw) -> dict[str, object]:
    """How often "two green squares" are two, green and square."""
    entries = prompts("shapes")
    wrong, right, out = [], {"count": [], "kind": [], "colour": [], "all": []}, []
    for entry, picture in zip(
        entries, draw(entries, [200 + i for i in range(len(entries))]), strict=True
    ):
        found = shapes_of(picture)
        count = len(found) == entry["count"]
        kind = bool(found) and all(k == entry["kind"] for k, _ in found)
        colour = bool(found) and all(c == entry["colour"] for _, c in found)
        for name, value in (("count", count), ("kind", kind), ("colour", colour)):
            right[name].append(value)
        right["all"].append(count and kind and colour)
        if entry["held_out"]:
            out.append(count and kind and colour)
        if not right["all"][-1]:
            seen = ", ".join(f"{c} {k}" for k, c in found) or "nothing"
            wrong.append(f"{entry['prompt']} -> {seen}")
    shares = {f"{name}_percent": percent(values) for name, values in right.items()}
    return {**shares, "held_out_percent": percent(out), "of": len(entries), "wrong": wrong}


def styled(draw: Draw) -> dict[str, object]:
    """How far the style words move the picture, with the same thing, ground and seed."""
    entries = prompts("styles")
    pictures = draw(entries, [300 + i // 3 for i in range(len(entries))])
    rows = pictures.reshape(-1, 3, *pictures.shape[1:])
    gaps: dict[str, list[float]] = {"3d-flat": [], "3d-pixel": [], "flat-pixel": []}
    flat, pixel = [], []
    for render, icon, blocks in rows:
        for name, (a, b) in zip(
            gaps, itertools.combinations((render, icon, blocks), 2), strict=True
        ):
            gaps[name].append(float(np.abs(a.astype(float) - b).mean() / 2.55))
        flat.append(roughness(icon) < roughness(render))
        pixel.append(blockiness(blocks) > 2 * max(blockiness(render), blockiness(icon)))
    return {
        "mean_difference_percent": {k: round(statistics.mean(v), 1) for k, v in gaps.items()},
        "flat_is_flatter_percent": percent(flat),
        "pixel_is_blocky_percent": percent(pixel),
        "of": len(rows),
    }


def seeded(draw: Draw) -> dict[str, object]:
    """Mean pixel difference between four seeds of one prompt, in percent of full scale."""
    entries = [entry for entry in prompts("seeds") for _ in range(4)]
    pictures = draw(entries, [400 + i for i in range(len(entries))])
    named, unnamed = [], []
    for i in range(0, len(entries), 4):
        pairs = itertools.combinations(pictures[i : i + 4].astype(float), 2)
        gap = statistics.mean(float(np.abs(a - b).mean() / 2.55) for a, b in pairs)
        (named if entries[i]["ground"] else unnamed).append(gap)
    return {
        "percent": round(statistics.mean(named + unnamed), 1),
        "ground_named_percent": round(statistics.mean(named), 1),
        "ground_unnamed_percent": round(statistics.mean(unnamed), 1),
        "prompts": len(named) + len(unnamed),
    }


def things(draw: Draw, album: Album) -> dict[str, object]:
    """Every thing once: is its own sprite the nearest of all?"""
    entries = prompts("every_thing")
    ranks = [album.rank(p) for p in draw(entries, [500 + i for i in range(len(entries))])]
    places = [
        r.index(e["thing"]) if e["thing"] in r else 999 for r, e in zip(ranks, entries, strict=True)
    ]
    wrong = {
        str(e["thing"]): r[:2]
        for p, r, e in zip(places, ranks, entries, strict=True)
        if p > 0
    }  # fmt: skip
    first, fifth = percent([p == 0 for p in places]), percent([p < 5 for p in places])
    return {
        "nearest_percent": first,
        "top5_percent": fifth,
        "of": len(entries),
        "not_nearest": wrong,
    }


def timed(parts: Parts) -> dict[str, float]:
    """Seconds for one picture, 20 steps with CFG, text encoder and VAE, two threads."""
    torch.set_num_threads(2)
    spent = []
    for seed in range(8):
        began = time.perf_counter()
        generate(parts, ["a cat on a blue background"], [seed])
        spent.append(time.perf_counter() - began)
    return {"median": round(statistics.median(spent[1:]), 2), "best": round(min(spent), 2)}


# -------------------------------------------------------------------------------------- run


def model_draw(parts: Parts, steps: int) -> Draw:
    """Pictures by the model, eight at a time."""

    def draw(entries: list[Entry], seeds: list[int]) -> np.ndarray:
        words = [str(entry["prompt"]) for entry in entries]
        chunks = range(0, len(words), 8)
        return np.concatenate([
            generate(parts, words[i : i + 8], seeds[i : i + 8], steps=steps) for i in chunks
        ])  # fmt: skip

    return draw


def true_draw(data: Path) -> Draw:
    """Pictures as the training set would have them."""
    sprites = load_sprites(data)

    def one(entry: Entry, seed: int) -> np.ndarray:
        rng = random.Random(seed)
        colour = str(entry.get("colour", ""))
        ground = str(entry.get("ground", "")) or rng.choice([c for c in COLOURS if c != colour])
        if "kind" in entry:
            return draw_shapes(str(entry["kind"]), int(entry["count"]), colour, ground, rng)
        name = str(entry.get("thing", "cat"))
        style = str(entry.get("style", "3d"))
        sprite = sprites[name, "3d" if style == "3d" else "flat"]
        if colour:
            sprite = recolour(sprite, colour)
        return compose(sprite, style, ground, rng)

    def draw(entries: list[Entry], seeds: list[int]) -> np.ndarray:
        return np.stack([one(entry, seed) for entry, seed in zip(entries, seeds, strict=True)])

    return draw


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, help="the folder that data.py fetch filled")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--true", action="store_true", help="measure the measures")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--only", nargs="*", help="sheet things backgrounds recolour shapes styles seeds"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    parts = load(given.model)
    draw = true_draw(given.data) if given.true else model_draw(parts, given.steps)
    album = Album(load_sprites(given.data))
    measures: dict[str, Callable[[], dict[str, object]]] = {
        "backgrounds": lambda: backgrounds(draw),
        "recolour": lambda: recoloured(draw),
        "shapes": lambda: shaped(draw),
        "styles": lambda: styled(draw),
        "seeds": lambda: seeded(draw),
        "things": lambda: things(draw, album),
    }
    figures: dict[str, object] = {"steps": given.steps, "cfg_scale": 2.5}
    if not given.only or "sheet" in given.only:
        entries = prompts("sheet")
        pictures = draw(entries, [i + 1 for i in range(len(entries))])
        captions = [str(e["prompt"]) + (" *" if e["held_out"] else "") for e in entries]
        contact_sheet(list(pictures), captions, 8).save(given.out / "sheet.png")
        asked = [(p, e) for p, e in zip(pictures, entries, strict=True) if "thing" in e]
        natural = [(p, e) for p, e in asked if "colour" not in e]
        near = [album.rank(p)[:1] == [e["thing"]] for p, e in natural]
        figures["sheet"] = {"nearest_percent": percent(near), "of": len(natural)}
    for name, measure in measures.items():
        if not given.only or name in given.only:
            figures[name] = measure()
    if not given.true and not given.only:
        figures["seconds_per_picture"] = timed(parts)
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    (given.out / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
