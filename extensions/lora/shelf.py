"""The LoRA files of an installation: found by name, described from their headers, kept as long as they do not change."""

import io
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image, UnidentifiedImageError

from modules.plugins import Host, ModelKind, UserError, problem

from .architecture import KNOWN, TEXT, TEXT_2, UNET, Architecture
from .card import Card, describe
from .dialects import Modules
from .files import read_header, short_hash
from .rows import Row
from .tags import tag_name

KIND = ModelKind("lora", "LoRA", "LoRA")
PREVIEWS = (".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg", ".preview.webp")
THUMB = 192
MOST_PIXELS = 40_000_000

Value = TypeVar("Value")
Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class File:
    """A LoRA file under its name: the path below the folder, without the ending."""

    name: str
    path: Path

    @property
    def stamp(self) -> Stamp:
        """Differs after each change of the file."""
        facts = self.path.stat()
        return (str(self.path), facts.st_size, facts.st_mtime_ns)


class Kept(Generic[Value]):
    """What was read from files, the newest `most` of it; read again when a file has changed."""

    def __init__(self, read: Callable[[File], Value], most: int) -> None:
        self._read = read
        self._most = most
        self._values: OrderedDict[Stamp, Value] = OrderedDict()

    def __call__(self, file: File) -> Value:
        stamp = file.stamp
        if stamp not in self._values:
            self._values[stamp] = self._read(file)
        self._values.move_to_end(stamp)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
        return self._values[stamp]


@dataclass
class Shelf:
    """All LoRA files below a folder for models."""

    models: Path
    kind: ModelKind = KIND
    families: Mapping[str, Modules] = field(init=False, repr=False)
    """The published families, by name."""

    def __post_init__(self) -> None:
        self.families = {
            family: Modules.of(architecture.layout()) for family, architecture in KNOWN.items()
        }
        self._customs: Kept[Modules | None] = Kept(_modules_of, 64)
        self._cards: Kept[Card] = Kept(self._describe, 4096)
        self._hashes: Kept[str] = Kept(
            lambda file: short_hash(file.path, read_header(file.path).metadata), 4096
        )
        self._thumbs: Kept[bytes] = Kept(lambda file: _thumb(file.path), 512)

    @classmethod
    def of(cls, host: Host) -> "Shelf":
        """The shelf of an installation."""
        return cls(host.models)

    def files(self) -> tuple[File, ...]:
        """Every file, by name."""
        return tuple(File(name, path) for name, path in self.kind.files(self.models).items())

    def customs(self) -> Mapping[str, Modules]:
        """Checkpoints in folders of which none of the published families is the pattern, as "family:name"."""
        found: dict[str, Modules] = {}
        for config in sorted((self.models / "checkpoints").glob("*/unet/config.json")):
            folder = config.parent.parent
            modules = self._customs(File(folder.name, config))
            if modules is not None:
                found[f"{_family_of(folder)}:{folder.name}"] = modules
        return found

    def fraction(self, card: Card, model: str) -> float | None:
        """Share of the file's keys that the checkpoint of that name takes; None where only its family is known."""
        modules = self._custom(model)
        return None if modules is None else card.reading(modules).fraction

    def modules_of(self, family: str, model: str) -> Modules | None:
        """What the checkpoint of that name has that LoRAs change, as far as it or its family is known."""
        return self._custom(model) or self.families.get(family)

    def search(self, words: str = "") -> tuple[File, ...]:
        """The files whose name, title or trigger words hold every word; all of them without words."""
        wanted = words.casefold().split()
        return tuple(file for file in self.files() if self._holds(file, wanted))

    def card(self, file: File) -> Card:
        """What the file says of itself.

        Raises:
            UserError: it cannot be read.
        """
        return self._cards(file)

    def hash(self, file: File) -> str:
        """AutoV3, 12 hexadecimal digits; reads the whole file the first time.

        Raises:
            UserError: it cannot be read.
        """
        return self._hashes(file)

    def thumb(self, file: File) -> bytes:
        """A small WebP picture of it, or nothing."""
        return self._thumbs(file)

    def find(self, row: Row) -> File:
        """The file that a row names: by its whole name, its last part, its trainer's name for it, or its hash.

        Raises:
            UserError: there is none, or the file name fits several.
        """
        files = self.files()
        name = tag_name(row.name)
        small = name.casefold()
        for found in (
            [file for file in files if tag_name(file.name) == name],
            [file for file in files if tag_name(file.name).casefold() == small],
            [file for file in files if tag_name(file.path.stem).casefold() == small],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(file.name for file in found)
                raise problem(
                    f"Several LoRAs are called {row.name!r}: {names}. Write the whole name.",
                    f"有多个 LoRA 名为 {row.name!r}：{names}。请写完整名称。",
                )
        for file in files:
            card = self._card_or_none(file)
            if card is not None and card.alias and tag_name(card.alias).casefold() == small:
                return file
        if row.hash:
            for file in files:
                if self._card_or_none(file) is not None and self._hashes(file) == row.hash:
                    return file
        raise _missing(row.name, [file.name for file in files], self.models / self.kind.name)

    def _custom(self, model: str) -> Modules | None:
        found = self.customs().items()
        return next((each for name, each in found if name.partition(":")[2] == model), None)

    def _holds(self, file: File, words: list[str]) -> bool:
        left = [word for word in words if word not in file.name.casefold()]
        if not left:
            return True
        card = self._card_or_none(file)
        text = " ".join((card.title, *card.words, card.note)).casefold() if card else ""
        return all(word in text for word in left)

    def _card_or_none(self, file: File) -> Card | None:
        try:
            return self._cards(file)
        except (UserError, OSError):
            return None  # its place in the list says why; here it is only not found

    def _describe(self, file: File) -> Card:
        return describe(
            file.name, file.path, read_header(file.path), {**self.families, **self.customs()}
        )


def _family_of(folder: Path) -> str:
    try:
        family = json.loads((folder / "card.json").read_text(encoding="utf-8")).get("family")
    except (OSError, ValueError, AttributeError):
        family = None
    return family if isinstance(family, str) else "sd1"


def _modules_of(file: File) -> Modules | None:
    """Of the checkpoint whose U-Net's configuration this is; None for a damaged one and for a published shape."""
    folder = file.path.parent.parent
    try:
        unet = json.loads(file.path.read_text(encoding="utf-8"))
        texts = {
            part: json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
            for part in (TEXT, TEXT_2)
            if (folder / part / "config.json").is_file()
        }
        architecture = Architecture.of_configs(_family_of(folder), unet, texts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # the library says what is wrong with the checkpoint
    layout = architecture.layout()
    if any(layout[UNET] == known.layout()[UNET] for known in KNOWN.values()):
        return None
    return Modules.of(layout)


def _missing(name: str, names: list[str], folder: Path) -> UserError:
    if not names:
        return problem(
            f"There is no LoRA {name!r}: the folder {folder} is empty. Put its file there.",
            f"没有 LoRA {name!r}：文件夹 {folder} 为空。请将文件放入其中。",
        )
    close = get_close_matches(
        name.casefold(), [known.casefold() for known in names], n=1, cutoff=0.5
    )
    near = next((known for known in names if known.casefold() == close[0]), "") if close else ""
    en = f" Did you mean {near!r}?" if near else f" There are: {', '.join(names[:12])}."
    zh = f"是否指 {near!r}？" if near else f"现有：{', '.join(names[:12])}。"
    return problem(f"There is no LoRA {name!r}.{en}", f"没有 LoRA {name!r}。{zh}")


def preview_of(path: Path) -> Path | None:
    """The picture that lies beside a file, or None."""
    stem = re.sub(r"\.safetensors$", "", path.name, flags=re.IGNORECASE)
    for ending in PREVIEWS:
        picture = path.with_name(stem + ending)
        if picture.is_file():
            return picture
    return None


def _thumb(path: Path) -> bytes:
    picture = preview_of(path)
    if picture is None:
        return b""
    try:
        with Image.open(picture) as image:
            if image.width * image.height > MOST_PIXELS:
                return b""
            image.draft("RGB", (THUMB, THUMB))
            return small_webp(image)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return b""  # a damaged picture is a card without one


def small_webp(image: Image.Image) -> bytes:
    """A picture of at most `THUMB` pixels a side, as WebP."""
    small = image.convert("RGB")
    small.thumbnail((THUMB, THUMB))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
