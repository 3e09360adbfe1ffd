"""Pictures for the style presets that the model that comes along can show; the others keep a card of their words.

    python tools/style_previews.py                      from the program's folder; a minute

Writes extensions/styles/previews/<preset>.webp, 128 x 128. Run it again when the model or its LoRAs change.
"""

import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
GROUP = "pocket"
PROMPT, SEED = "a castle on a blue background", 11


def main() -> None:
    """Command line."""
    sys.path.insert(0, str(HOME))
    from extensions.styles.presets import Presets, file_name
    from extensions.styles.weave import Chosen, woven
    from modules.plugins.bench import Bench

    folder = HOME / "extensions" / "styles"
    presets = Presets(folder / "presets.json", folder / "previews", folder / "none")
    bench = Bench(HOME / "extensions" / "lora")  # the presets bring LoRAs
    try:
        (folder / "previews").mkdir(exist_ok=True)
        for preset in presets.shipped():
            if preset.group != GROUP:
                continue
            words, negative = woven(PROMPT, "", [Chosen(preset.name)], presets.get)
            picture = bench.picture(
                prompt=words,
                negative_prompt=negative,
                seed=SEED,
                width=128,
                height=128,
                steps=20,
                cfg_scale=2.5,
            )
            picture.save(folder / "previews" / f"{file_name(preset.name)}.webp", quality=85)
            print(preset.name)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
