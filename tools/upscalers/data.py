"""The pictures that the upscalers learn from: fetched, drawn, cut to 256 x 256, some held aside.

Sources, all free to train on (NOTICE): three emoji packages by ``npm pack``, eight photographs that come with
scikit-image, and drawings made here (lines, letters, discs, gradients). Which are held aside is fixed by a hash of the
name; of the photographs, the whole of ``astronaut`` and ``chelsea`` is.

    python data.py fetch FOLDER     packages -> FOLDER/npm, pictures -> FOLDER/train.npy, FOLDER/held.npz
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 256
PACKAGES = {
    "3d": "@lobehub/fluent-emoji-3d@1.1.0",
    "flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "noto": "@iconify-json/noto@1.2.9",
}
PHOTOS = (
    "brick",
    "camera",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "motorcycle_left",
    "rocket",
)
HELD_PHOTOS = ("astronaut", "chelsea")
COUNTS = {"3d": 1000, "flat": 600, "noto": 600, "photo": 640, "drawn": 500}
HELD = {"3d": 16, "flat": 12, "noto": 12, "photo": 12, "drawn": 12}


def held_out(name: str) -> bool:
    """A tenth of the drawings, by a hash of the name, is never trained on."""
    return hashlib.sha256(name.encode()).digest()[0] < 26


def fetch(folder: Path) -> None:
    """Fetch the packages and cut the pictures."""
    npm = folder / "npm"
    npm.mkdir(parents=True, exist_ok=True)
    for kind, package in PACKAGES.items():
        if not (npm / kind).exists():
            _unpack(npm, kind, package)
    train, held = [], {}
    for kind, wanted in COUNTS.items():
        for part, count in ((False, wanted), (True, HELD[kind])):
            dice = random.Random(f"{kind} {part}")
            found = [make(npm, name, dice) for name in names(npm, kind, part, dice, count)]
            if part:
                held[kind] = np.stack(found)
            else:
                train += found
            print(kind, "held aside" if part else "for training", len(found), flush=True)
    np.save(folder / "train.npy", np.stack(train))
    np.savez(folder / "held.npz", **held)


def _unpack(npm: Path, kind: str, package: str) -> None:
    run = subprocess.run(
        ["npm", "pack", package, "--silent"], cwd=npm, check=True, capture_output=True, text=True
    )
    with tarfile.open(npm / run.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(npm / f"{kind}.part", filter="data")
    (npm / f"{kind}.part" / "package").rename(npm / kind)
    (npm / f"{kind}.part").rmdir()


def names(npm: Path, kind: str, held: bool, dice: random.Random, count: int) -> Iterator[str]:
    """``count`` names of sources of a kind, none of which is in the other part."""
    if kind == "drawn":
        yield from (f"drawn:{number}" for number in range(count))
        return
    if kind == "photo":
        among = HELD_PHOTOS if held else PHOTOS
        yield from (f"photo:{among[number % len(among)]}" for number in range(count))
        return
    if kind == "3d":
        every = sorted(path.stem for path in (npm / "3d" / "assets").glob("*.webp"))
    else:
        every = sorted(json.loads((npm / kind / "icons.json").read_text())["icons"])
    among = [name for name in every if held_out(name) is held]
    dice.shuffle(among)
    yield from (f"{kind}:{among[number % len(among)]}" for number in range(count))


def make(npm: Path, name: str, dice: random.Random) -> np.ndarray:
    """One picture, RGB uint8, SIDE x SIDE."""
    kind, _, source = name.partition(":")
    if kind == "drawn":
        return draw(dice)
    if kind == "photo":
        return _crop(_photo(source), dice)
    if kind == "3d":
        with Image.open(npm / "3d" / "assets" / f"{source}.webp") as picture:
            sprite = picture.convert("RGBA")
    else:
        sprite = _vector(npm / kind, source, dice.choice((SIDE, 384)))
    ground = Image.fromarray(_ground(dice, sprite.size))
    ground.paste(sprite, (0, 0), sprite)
    return _crop(ground, dice)


def _vector(package: Path, icon: str, size: int) -> Image.Image:
    import resvg_py

    icons = json.loads((package / "icons.json").read_text())
    entry = icons["icons"][icon]
    width = entry.get("width", icons.get("width", 16))
    height = entry.get("height", icons.get("height", 16))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{size}" height="{size}" '
        f'viewBox="0 0 {width} {height}">{entry["body"]}</svg>'
    )
    with Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))) as picture:
        return picture.convert("RGBA").resize((size, size), Image.Resampling.LANCZOS)


def _photo(name: str) -> Image.Image:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    (path,) = [each for each in folder.iterdir() if each.stem == name]
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _crop(picture: Image.Image, dice: random.Random) -> np.ndarray:
    left = dice.randint(0, picture.width - SIDE)
    top = dice.randint(0, picture.height - SIDE)
    return np.asarray(picture.convert("RGB").crop((left, top, left + SIDE, top + SIDE)))


def _ground(dice: random.Random, size: tuple[int, int]) -> np.ndarray:
    """A background: one colour or a straight gradient between two."""
    first, second = (np.array([dice.random() for _ in range(3)]) for _ in range(2))
    if dice.random() < 0.5:
        second = first
    angle = dice.random() * 2 * math.pi
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    mix = ((x * math.cos(angle) + y * math.sin(angle)) / 2.83 + 0.5)[..., None]
    return ((first + (second - first) * mix) * 255).round().astype(np.uint8)


def draw(dice: random.Random) -> np.ndarray:
    """Lines, letters, discs, polygons and gratings, drawn four times too large and averaged."""
    side = SIDE * 4
    picture = Image.fromarray(_ground(dice, (side, side)))
    pen = ImageDraw.Draw(picture)

    def colour() -> tuple[int, int, int]:
        return tuple(dice.randrange(256) for _ in range(3))

    def point() -> tuple[int, int]:
        return dice.randrange(-40, side + 40), dice.randrange(-40, side + 40)

    for _ in range(dice.randint(6, 24)):
        kind = dice.choice(("line", "lines", "disc", "ring", "polygon", "text", "text", "grating"))
        if kind == "line":
            pen.line([point(), point()], colour(), dice.randint(3, 40))
        elif kind == "lines":
            pen.line([point() for _ in range(5)], colour(), dice.randint(4, 24), joint="curve")
        elif kind in ("disc", "ring"):
            x, y = point()
            r = dice.randint(12, 240)
            box = (x - r, y - r, x + r, y + r)
            if kind == "disc":
                pen.ellipse(box, colour())
            else:
                pen.ellipse(box, None, colour(), dice.randint(4, 24))
        elif kind == "polygon":
            pen.polygon([point() for _ in range(dice.randint(3, 5))], colour())
        elif kind == "text":
            font = ImageFont.load_default(dice.randint(40, 240))
            words = "".join(
                dice.choice("abcdefghijkmnoprstuvwxyzABCDEGHKMNRSTW0123456789&?!") for _ in range(6)
            )
            pen.text(point(), words, colour(), font)
        else:
            x, y = point()
            gap, tone = dice.randint(12, 48), colour()
            for number in range(8):
                pen.line([(x + number * gap, y), (x + number * gap + 60, y + 300)], tone, gap // 2)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=["fetch"])
    parser.add_argument("folder", type=Path)
    fetch(parser.parse_args().folder)


if __name__ == "__main__":
    main()
