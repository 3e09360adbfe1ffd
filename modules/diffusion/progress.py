"""What the engine reports while it works."""

from dataclasses import dataclass

from PIL import Image

from modules.schema import Stage


@dataclass(frozen=True)
class Progress:
    """`step` of `steps` is done; both are 0 outside of denoising. `preview` shows the first picture of the batch."""

    stage: Stage
    step: int = 0
    steps: int = 0
    preview: Image.Image | None = None
