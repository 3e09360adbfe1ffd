"""The training pictures: fetch two emoji packages, cut sprites, compose pictures with captions.

Sources (fetched by ``npm pack``, both MIT, drawings by Microsoft):
``@lobehub/fluent-emoji-3d`` 1.1.0 (256 px webp) and ``@iconify-json/fluent-emoji-flat`` 1.2.6 (SVG).
Everything else (shapes, backgrounds, recolouring, pixel art) is drawn here.

A sprite is a premultiplied RGBA array, uint8, 160 x 160. A picture is RGB, uint8, 128 x 128.

    python data.py fetch FOLDER     packages -> FOLDER/npm, sprites -> FOLDER/sprites.npz
    python data.py sheet FOLDER     contact sheets of the sprites and of random samples
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
PACKAGES = {"3d": "@lobehub/fluent-emoji-3d@1.1.0", "flat": "@iconify-json/fluent-emoji-flat@1.2.6"}
THINGS: dict[str, str] = json.loads((HERE / "things.json").read_text(encoding="utf-8"))
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (211, 44, 50),
    "orange": (242, 142, 43),
    "yellow": (247, 212, 72),
    "green": (58, 163, 78),
    "blue": (46, 107, 227),
    "purple": (140, 75, 204),
    "pink": (247, 170, 202),
    "white": (248, 248, 248),
    "black": (18, 18, 18),
    "gray": (153, 153, 160),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
NUMBERS = ("one", "two", "three", "four")
STYLES = ("3d", "flat", "pixel")
SIZE, SPRITE = 128, 160
SHAPE_SHARE, RECOLOUR_SHARE, PIXEL_SHARE, OWN_COLOUR_SHARE = 0.18, 0.24, 0.12, 0.3
# Rainbow-like or white things whose colour cannot be changed in a way that one sees.
NO_RECOLOUR = {"rainbow", "christmas tree", "snowman", "pizza", "fire", "globe", "panda", "skull"}


# ---------------------------------------------------------------------------------- sprites


def fetch(folder: Path) -> None:
    """Fetch both packages with npm and cut every sprite."""
    npm = folder / "npm"
    npm.mkdir(parents=True, exist_ok=True)
    for style, package in PACKAGES.items():
        target = npm / style
        if target.exists():
            continue
        run = subprocess.run(
            ["npm", "pack", package, "--silent"],
            cwd=npm,
            check=True,
            capture_output=True,
            text=True,
        )
        with tarfile.open(npm / run.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(npm / f"{style}.part", filter="data")
        (npm / f"{style}.part" / "package").rename(target)
        (npm / f"{style}.part").rmdir()
    sprites = cut_sprites(npm)
    np.savez(folder / "sprites.npz", **{f"{n}|{s}": a for (n, s), a in sprites.items()})
    others = cut_others(npm)
    np.save(folder / "others.npy", others)
    print(f"{len(sprites)} sprites of {len(THINGS)} things, {len(others)} more for the autoencoder")


def _premultiplied(picture: Image.Image, size: int = SPRITE) -> np.ndarray:
    """Crop to the visible part, scale the longer side to ``size``, centre, premultiply."""
    picture = picture.convert("RGBA")
    box = picture.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox()
    if box is None:
        raise ValueError("the picture is empty")
    array = np.asarray(picture.crop(box), np.float32)
    array[..., :3] *= array[..., 3:] / 255
    part = Image.fromarray(array.round().astype(np.uint8), "RGBa")
    scale = size / max(part.size)
    width, height = (max(1, round(side * scale)) for side in part.size)
    part = part.resize((width, height), Image.Resampling.LANCZOS)
    canvas = np.zeros((size, size, 4), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(part)
    return canvas


def _find_3d(assets: Path, character: str) -> Path:
    code = f"{ord(character):04x}"
    for name in (f"{code}.webp", f"{code}-fe0f.webp"):
        if (assets / name).exists():
            return assets / name
    raise FileNotFoundError(f"no 3d picture of U+{code}")


def cut_sprites(npm: Path) -> dict[tuple[str, str], np.ndarray]:
    """Sprites of all things: {(name, "3d" or "flat"): RGBA premultiplied}."""
    import resvg_py

    names = json.loads((npm / "flat" / "chars.json").read_text())
    icons = json.loads((npm / "flat" / "icons.json").read_text())
    sprites = {}
    for thing, character in THINGS.items():
        with Image.open(_find_3d(npm / "3d" / "assets", character)) as picture:
            sprites[thing, "3d"] = _premultiplied(picture)
        code = f"{ord(character):x}"
        icon = icons["icons"][names.get(code) or names[f"{code}-fe0f"]]
        side = icons.get("width", 32)
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256" '
            f'viewBox="0 0 {side} {side}">{icon["body"]}</svg>'
        )
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg))
        with Image.open(io.BytesIO(png)) as picture:
            sprites[thing, "flat"] = _premultiplied(picture)
    return sprites


def cut_others(npm: Path, count: int = 1500) -> np.ndarray:
    """Further 3d pictures, only for the autoencoder, so that it knows more than the things."""
    files = sorted((npm / "3d" / "assets").glob("*.webp"))
    random.Random(0).shuffle(files)
    found = []
    for file in files[:count]:
        with Image.open(file) as picture:
            found.append(_premultiplied(picture))
    return np.stack(found)


def load_sprites(folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """What ``fetch`` wrote, restricted to the things of things.json."""
    with np.load(folder / "sprites.npz") as file:
        pairs = {tuple(key.split("|")): file[key] for key in file.files}
    return {(n, s): a for (n, s), a in pairs.items() if n in THINGS}


# ---------------------------------------------------------------------------------- drawing


def held_out(*parts: str) -> bool:
    """A tenth of the combinations, by hash, is kept out of the training set."""
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return digest[0] < 26


def recolour(sprite: np.ndarray, colour: str) -> np.ndarray:
    """Gradient map by luminance: dark shade of the colour, the colour, near white."""
    rgba = sprite.astype(np.float32) / 255
    alpha = rgba[..., 3:]
    luma = (rgba[..., :3] @ np.array([0.3, 0.59, 0.11], np.float32))[..., None]
    luma = luma / np.maximum(alpha, 1e-3)
    visible = luma[alpha > 0.5]
    low, middle, high = np.quantile(visible, [0.02, 0.5, 0.98])
    # The middle luminance of the thing becomes the colour itself.
    middle = min(max(middle, low + 0.02), high - 0.02) if high - low > 0.06 else (low + high) / 2
    x = np.interp(luma, [low, middle, high + 1e-3], [0.0, 0.5, 1.0])
    base = np.array(COLOURS[colour], np.float32) / 255
    dark = base * 0.35
    light = base + (1 - base) * 0.75
    if colour == "black":
        dark, light = base * 0.3, np.full(3, 0.55, np.float32)
    if colour == "white":
        dark = np.full(3, 0.55, np.float32)
    mapped = np.where(x < 0.5, dark + (base - dark) * x * 2, base + (light - base) * (x * 2 - 1))
    out = np.concatenate([mapped * alpha, alpha], -1)
    return (out.clip(0, 1) * 255).round().astype(np.uint8)


def colour_of(sprite: np.ndarray) -> str:
    """The named colour that half of a thing has by nature, judged by hue; empty where it has none.

    White, gray, black and pink are never said to be natural: what shimmers so is better drawn anew.
    """
    names = [name for name in COLOURS if name not in {"white", "gray", "black", "pink"}]
    visible = sprite[sprite[..., 3] > 200][:, :3]
    if not len(visible):
        return ""
    hue, saturation, value = np.moveaxis(
        np.asarray(Image.fromarray(visible[None]).convert("HSV"), np.float32)[0], -1, 0
    )
    table = np.array([COLOURS[name] for name in names], np.uint8)
    hues = np.asarray(Image.fromarray(table[None]).convert("HSV"), np.float32)[0, :, 0]
    gaps = np.abs((hue[:, None] - hues[None] + 128) % 256 - 128)
    shown = (saturation > 130) & (value > 90) & (gaps.min(1) < 14)
    counts = np.bincount(gaps.argmin(1)[shown], minlength=len(names))
    return names[int(counts.argmax())] if counts.max() >= len(visible) / 2 else ""


def place(
    sprite: np.ndarray, side: float, centre: tuple[float, float], angle: float, flip: bool
) -> np.ndarray:
    """The sprite scaled to ``side`` pixels, turned, put at ``centre``: float RGBA 128 x 128."""
    picture = Image.fromarray(sprite[:, ::-1] if flip else sprite, "RGBa")
    # Shrink by an antialiased filter first, then turn and shift by a bicubic one.
    small = max(8, round(side))
    picture = picture.resize(
        (small, small), Image.Resampling.BOX if small < 40 else Image.Resampling.LANCZOS
    )
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    cx, cy = centre
    half = small / 2
    matrix = (cos, sin, half - cos * cx - sin * cy, -sin, cos, half + sin * cx - cos * cy)
    turned = picture.transform(
        (SIZE, SIZE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    layer = np.asarray(turned, np.float32) / 255
    return np.minimum(layer, layer[..., 3:])


def over(layer: np.ndarray, background: np.ndarray) -> np.ndarray:
    """A premultiplied layer over an RGB picture, both float."""
    return layer[..., :3] + background * (1 - layer[..., 3:])


def shape_outline(kind: str) -> list[tuple[float, float]]:
    """Corners of a shape within [-1, 1]."""
    if kind == "circle":
        return [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 64, endpoint=False)]
    if kind == "square":
        return [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
    if kind == "triangle":
        return [(0, -0.9), (1, 0.8), (-1, 0.8)]
    if kind == "diamond":
        return [(0, -1.05), (0.72, 0), (0, 1.05), (-0.72, 0)]
    if kind == "star":
        return [
            ((1.08 if i % 2 == 0 else 0.46) * math.sin(i * math.pi / 5),
             -(1.08 if i % 2 == 0 else 0.46) * math.cos(i * math.pi / 5))
            for i in range(10)
        ]  # fmt: skip
    if kind == "heart":
        angles = np.linspace(0, 2 * math.pi, 80, endpoint=False)
        xs = 16 * np.sin(angles) ** 3
        ys = (
            13 * np.cos(angles)
            - 5 * np.cos(2 * angles)
            - 2 * np.cos(3 * angles)
            - np.cos(4 * angles)
        )
        return [(x / 16.5, -(y + 2.5) / 15.5) for x, y in zip(xs, ys, strict=True)]
    raise ValueError(kind)


def draw_shapes(
    kind: str, count: int, colour: str, background: str, rng: random.Random, spread: float = 1.0
) -> np.ndarray:
    """One to four equal crisp shapes in a loose grid, 4 x oversampled; ``spread`` as in compose."""
    scale = 4
    picture = Image.new("RGB", (SIZE * scale, SIZE * scale), COLOURS[background])
    pen = ImageDraw.Draw(picture)
    if count == 1:
        radius = 38 + 10 * spread * rng.uniform(-1, 1)
        free = (SIZE / 2 - radius - 6) * spread
        centres = [(64 + rng.uniform(-free, free), 64 + rng.uniform(-free, free))]
    else:
        cells = {
            2: [
                [(32, 64), (96, 64)],
                [(64, 32), (64, 96)],
                [(36, 36), (92, 92)],
                [(92, 36), (36, 92)],
            ],
            3: [[(64, 34), (34, 92), (94, 92)], [(34, 34), (94, 34), (64, 92)]],
            4: [[(34, 34), (94, 34), (34, 94), (94, 94)]],
        }[count]
        radius = 22 + 4 * spread * rng.uniform(-1, 1)
        free = 4 * spread
        layout = rng.choice(cells)
        centres = [(x + rng.uniform(-free, free), y + rng.uniform(-free, free)) for x, y in layout]
    angle = math.radians(10 * spread * rng.uniform(-1, 1))
    cos, sin = math.cos(angle), math.sin(angle)
    for cx, cy in centres:
        corners = [
            (
                (cx + radius * (x * cos - y * sin)) * scale,
                (cy + radius * (x * sin + y * cos)) * scale,
            )
            for x, y in shape_outline(kind)
        ]
        pen.polygon(corners, fill=COLOURS[colour])
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX))


# --------------------------------------------------------------------------------- captions


def article(words: str) -> str:
    """The words with "a" or "an" before them; none for plurals and the sun."""
    if words.split()[-1] in {"glasses", "scissors", "fries", "grapes", "cherries"}:
        return words
    if words in {"broccoli", "fire"}:
        return words
    return ("an " if words[0] in "aeiou" and words != "unicorn" else "a ") + words


def caption_thing(thing: str, style: str, colour: str, ground: str, rng: random.Random) -> str:
    """A caption in one of the usual wordings; empty parts go unsaid."""
    noun = f"{colour} {thing}".strip()
    named = article(noun) if rng.random() < 0.75 else noun
    words = {
        "3d": ["{}, 3d render", "a 3d render of {}", "{}, 3d", "{}"],
        "flat": ["flat icon of {}", "{}, flat icon", "a flat icon of {}", "{}, flat"],
        "pixel": ["pixel art of {}", "{}, pixel art", "pixel art, {}", "a pixel art {}"],
    }[style]
    template = rng.choice(words)
    if template.startswith("a pixel art"):
        named = noun
    behind = style == "3d" and template != "{}" and rng.random() < 0.5
    if not ground:
        return template.format(named)
    on = f" on {article(ground)} background"
    if template.startswith("{},") and not behind:
        tail = template[2:]
        where = rng.choice([on, f", {ground} background"])
        return f"{named}{where}{tail}" if rng.random() < 0.5 else f"{named}{tail}{where}"
    where = rng.choice([on, on, f", {ground} background"])
    return template.format(named) + where


def caption_shapes(kind: str, count: int, colour: str, ground: str, rng: random.Random) -> str:
    """ "two green squares on a white background" and the like."""
    if count == 1:
        noun = f"{rng.choice(['a', 'a', 'one', ''])} {colour} {kind}".strip()
        if noun.startswith("a ") and colour[0] in "aeiou":
            noun = "an" + noun[1:]
    else:
        noun = f"{NUMBERS[count - 1]} {colour} {kind}s"
    if not ground:
        return noun
    return noun + rng.choice([f" on {article(ground)} background", f", {ground} background"])


# ---------------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class Sample:
    """One picture with its caption; ``key`` names what it is, for weighting and statistics."""

    key: str
    caption: str
    picture: np.ndarray


def _ground(rng: random.Random) -> tuple[str, bool]:
    """A background colour and whether the caption says it."""
    said = rng.random() < 0.62
    if said:
        return rng.choice(list(COLOURS)), True
    if rng.random() < 0.35:
        return "white", False
    return rng.choice(list(COLOURS)), False


def _contrast(colour: str, ground: str) -> bool:
    return colour != ground and {colour, ground} not in ({"white", "pink"}, {"red", "orange"})


def make_shapes(spread: float, rng: random.Random) -> Sample:
    """A picture of shapes that is not held out."""
    while True:
        kind, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
        count = rng.choice([1, 1, 2, 2, 3, 4])
        ground, said = _ground(rng)
        if not _contrast(colour, ground) or held_out("shape", kind, str(count), colour):
            continue
        picture = draw_shapes(kind, count, colour, ground, rng, spread)
        caption = caption_shapes(kind, count, colour, ground if said else "", rng)
        return Sample(f"shape:{kind}", caption, picture)


def make_thing(
    sprites: dict[tuple[str, str], np.ndarray],
    names: list[str],
    weights: list[float],
    spread: float,
    rng: random.Random,
) -> Sample:
    """A picture of one thing whose combination is not held out."""
    while True:
        thing = rng.choices(names, weights)[0]
        draw = rng.random()
        style = "pixel" if draw < PIXEL_SHARE else "flat" if draw < 0.52 else "3d"
        colour = ""
        sprite = sprites[thing, "3d" if style == "3d" else "flat"]
        if thing not in NO_RECOLOUR and rng.random() < RECOLOUR_SHARE:
            # "a red apple" is what people ask for first, more often than a purple one.
            colour = colour_of(sprite) if rng.random() < OWN_COLOUR_SHARE else ""
            colour = colour or rng.choice(list(COLOURS))
        ground, said = _ground(rng)
        if colour and (not _contrast(colour, ground) or held_out("recolour", thing, colour)):
            continue
        if not colour and held_out("thing", thing, style, ground):
            continue
        # The apple as it is, green leaf and all.
        if colour and colour != colour_of(sprite):
            sprite = recolour(sprite, colour)
        picture = compose(sprite, style, ground, rng, spread)
        caption = caption_thing(thing, style, colour, ground if said else "", rng)
        return Sample(thing, caption, picture)


def compose(
    sprite: np.ndarray, style: str, ground: str, rng: random.Random, spread: float = 1.0
) -> np.ndarray:
    """The sprite with a drawn size, place and angle on a background.

    ``spread`` says how far they vary: 0 always in the middle, 1 from 72 to 100 % of the size and
    anywhere. Never mirrored: that would double what there is to learn and change little.
    """
    side = 116 * (0.86 + 0.14 * spread * rng.uniform(-1, 1))
    free = (SIZE - 4 - side) / 2 * spread
    centre = (64 + rng.uniform(-free, free), 64 + rng.uniform(-free, free))
    angle = 7 * spread * rng.uniform(-1, 1) if style != "pixel" else 0.0
    background = np.array(COLOURS[ground], np.float32) / 255
    layer = place(sprite, side, centre, angle, False)
    if style == "pixel":
        layer = layer.reshape(16, 8, 16, 8, 4).mean((1, 3))
        hard = (layer[..., 3:] > 0.45).astype(np.float32)
        layer = layer / np.maximum(layer[..., 3:], 1e-3) * hard
        layer = layer.repeat(8, 0).repeat(8, 1)
    picture = over(layer, np.broadcast_to(background, (SIZE, SIZE, 3)))
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def stream(
    folder: Path,
    seed: int,
    focus: dict[str, float] | None = None,
    spread: float = 1.0,
    shapes: float = SHAPE_SHARE,
):
    """Endless samples; ``focus`` weighs things (1 where it names none, 0 leaves one out).

    ``shapes`` is the share of shapes among them.
    """
    rng = random.Random(seed)
    sprites = load_sprites(folder)
    names = list(THINGS)
    weights = [(focus or {}).get(name, 1.0) for name in names]
    while True:
        yield (
            make_shapes(spread, rng)
            if rng.random() < shapes
            else make_thing(sprites, names, weights, spread, rng)
        )


def contact_sheet(
    pictures: list[np.ndarray], captions: list[str], columns: int = 10
) -> Image.Image:
    """Pictures in a grid with their captions below, two lines of text each."""
    line = 24
    rows = -(-len(pictures) // columns)
    side = pictures[0].shape[0]
    sheet = Image.new("RGB", (columns * (side + 4), rows * (side + line + 4)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = i % columns * (side + 4), i // columns * (side + line + 4)
        sheet.paste(Image.fromarray(picture), (x, y))
        words, lines = caption.split(), [""]
        for word in words:
            if len(lines[-1]) + len(word) > side // 6:
                lines.append("")
            lines[-1] += word + " "
        pen.multiline_text(
            (x + 1, y + side), "\n".join(lines[:2]), fill="black", spacing=0, font_size=10
        )
    return sheet


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=["fetch", "sheet"])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.action == "fetch":
        fetch(given.folder)
        return
    sprites = load_sprites(given.folder)
    for style in ("3d", "flat"):
        white = np.full((SPRITE, SPRITE, 3), 248 / 255, np.float32)
        cells = [
            (over(np.asarray(a, np.float32) / 255, white) * 255).astype(np.uint8)[::2, ::2]
            for (n, s), a in sprites.items() if s == style
        ]  # fmt: skip
        contact_sheet(cells, list(THINGS), 19).save(given.folder / f"sprites-{style}.png")
    source = stream(given.folder, 1)
    samples = [next(source) for _ in range(60)]
    sheet = contact_sheet([s.picture for s in samples], [s.caption for s in samples])
    sheet.save(given.folder / "samples.png")


if __name__ == "__main__":
    main()
