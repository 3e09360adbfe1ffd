"""What the engine reports while it works."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from modules.schema import Stage
from modules.texts import translate


@dataclass(frozen=True)
class Notice:
    """Something the user should know although the picture gets made; `key` names a text of the catalogue."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def message(self, language: str = "en") -> str:
        """The text in `language` ("en" or "zh")."""
        return translate(self.key, language, **self.values)


@dataclass(frozen=True)
class Progress:
    """`step` of `steps` is done, over all passes; both are 0 outside of denoising. `preview` shows the first picture
    of the batch.

    Outside of denoising one comes at the beginning of each piece of work: a stage, a picture, a tile.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    preview: Image.Image | None = None
    notice: Notice | None = None
