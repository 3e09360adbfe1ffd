"""Draw the fixed prompt lists, by chance and with one seed, before any result is seen.

    python prompts.py            writes prompts/*.json (already there; the lists are meant to stay)

Each entry says what it asks for (thing, style, colour, ground, count, kind) and whether that
combination was kept out of the training set (held_out).
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from data import (
    COLOURS,
    NO_RECOLOUR,
    SHAPES,
    STYLES,
    THINGS,
    article,
    caption_shapes,
    caption_thing,
    held_out,
)

FOLDER = Path(__file__).parent / "prompts"
Entry = dict[str, str | int | bool]


def clashes(colour: str, ground: str) -> bool:
    """Whether one could not see a thing of this colour on this ground."""
    return colour == ground or {colour, ground} in ({"white", "pink"}, {"red", "orange"})


def thing(rng: random.Random, names: list[str], kept_out: bool, style: str = "") -> Entry:
    """The next name of the list with a drawn style and ground, held out or not."""
    name = names.pop()
    while True:
        drawn = style or rng.choice(["3d", "3d", "flat", "flat", "pixel"])
        ground = rng.choice(list(COLOURS))
        if held_out("thing", name, drawn, ground) == kept_out:
            break
    prompt = caption_thing(name, drawn, "", ground, rng)
    return {"prompt": prompt, "thing": name, "style": drawn, "ground": ground, "held_out": kept_out}


def recoloured(rng: random.Random, names: list[str], kept_out: bool) -> Entry:
    """A thing in a colour, half of them with a ground."""
    while True:
        name, colour = rng.choice(names), rng.choice(list(COLOURS))
        ground = rng.choice(["", rng.choice(list(COLOURS))])
        if (
            name in NO_RECOLOUR
            or clashes(colour, ground)
            or held_out("recolour", name, colour) != kept_out
        ):
            continue
        names.remove(name)
        prompt = caption_thing(name, "3d", colour, ground, rng)
        entry: Entry = {"prompt": prompt, "thing": name, "style": "3d", "colour": colour}
        return {**entry, "ground": ground, "held_out": kept_out}


def shapes(rng: random.Random, kept_out: bool, seen: set[str]) -> Entry:
    """Shapes that were not drawn yet."""
    while True:
        kind, colour, count = (
            rng.choice(SHAPES),
            rng.choice(list(COLOURS)),
            rng.choice([1, 2, 3, 4]),
        )
        ground = rng.choice(list(COLOURS))
        out = held_out("shape", kind, str(count), colour)
        prompt = caption_shapes(kind, count, colour, ground, rng)
        if clashes(colour, ground) or out != kept_out or prompt in seen:
            continue
        seen.add(prompt)
        entry: Entry = {"prompt": prompt, "kind": kind, "count": count, "colour": colour}
        return {**entry, "ground": ground, "held_out": out}


def lists() -> dict[str, list[Entry]]:
    """All lists."""
    rng = random.Random(2026)
    seen: set[str] = set()

    def shuffled() -> list[str]:
        return rng.sample(sorted(THINGS), len(THINGS))

    names = shuffled()
    sheet = [thing(rng, names, i < 6) for i in range(29)]
    sheet += [recoloured(rng, names, i < 2) for i in range(6)]
    sheet += [shapes(rng, i < 2, seen) for i in range(5)]
    names = shuffled()
    backgrounds = []
    for i in range(100):
        ground, name = list(COLOURS)[i % 10], names.pop()
        style = rng.choice(["3d", "3d", "flat", "flat", "pixel"])
        prompt = caption_thing(name, style, "", ground, rng)
        out = held_out("thing", name, style, ground)
        backgrounds.append({"prompt": prompt, "thing": name, "ground": ground, "held_out": out})
    names = shuffled()
    recolour = [recoloured(rng, names, i < 12) for i in range(30)]
    shape = [shapes(rng, i < 14, seen) for i in range(40)]
    names = shuffled()
    styles = []
    for _ in range(20):
        name, ground = names.pop(), rng.choice(list(COLOURS))
        for style in STYLES:
            words = {"3d": "{}, 3d render", "flat": "{}, flat icon", "pixel": "{}, pixel art"}[
                style
            ]
            prompt = words.format(f"{name} on {article(ground)} background")
            styles.append({"prompt": prompt, "thing": name, "style": style, "ground": ground})
    names = shuffled()
    seeds = [
        {
            "prompt": caption_thing(names.pop(), ["3d", "flat"][i % 2], "", ground, rng),
            "ground": ground,
        }
        for i, ground in enumerate([*COLOURS, "", "", "", "", ""])
    ]
    every = [
        {"prompt": caption_thing(name, "3d", "", "", random.Random(i)), "thing": name}
        for i, name in enumerate(sorted(THINGS))
    ]
    return {
        "sheet": sheet, "backgrounds": backgrounds, "recolour": recolour, "shapes": shape,
        "styles": styles, "seeds": seeds, "every_thing": every,
    }  # fmt: skip


def main() -> None:
    """Write the lists."""
    FOLDER.mkdir(exist_ok=True)
    for name, entries in lists().items():
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(name, len(entries))


if __name__ == "__main__":
    main()
