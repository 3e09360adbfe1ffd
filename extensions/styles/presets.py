"""Presets: those that come along, in `presets.json`, and this installation's own, one file each."""

import base64
import binascii
import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modules.plugins import problem

MAX_BYTES = 800_000
MAX_PRESETS = 2_000
MAX_PICTURE = 500_000
OWN = "own"
"""The group of presets that name none."""
SETTINGS = {
    "steps": (int, 1, 10_000),
    "cfg_scale": (float, 0, 100),
    "sampler": (str, 1, 80),
    "schedule": (str, 1, 80),
    "width": (int, 8, 16_384),
    "height": (int, 8, 16_384),
}
"""What a preset may set besides the words: type, least and most (of a text: characters)."""

_PICTURE = re.compile(r"data:image/(?:webp|png|jpeg);base64,[A-Za-z0-9+/=]+")
Words = Annotated[str, Field(max_length=8_000)]


class Preset(BaseModel):
    """A named style. `{prompt}` in `prompt` stands for what the person writes; without it the words follow after it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    name_zh: str = Field(default="", max_length=80)
    group: str = Field(default=OWN, min_length=1, max_length=40)
    prompt: Words = ""
    negative: Words = ""
    note: str = Field(default="", max_length=2_000)
    parameters: dict[str, int | float | str] = Field(default_factory=dict)
    """See `SETTINGS`."""
    picture: str = Field(default="", max_length=MAX_PICTURE)
    """A small WebP, PNG or JPEG as a `data:` address."""

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        name = " ".join(name.split())
        if not 1 <= len(name) <= 80 or "," in name or not name.isprintable():
            raise ValueError("a name has 1 to 80 characters and no comma")
        return name

    @field_validator("picture")
    @classmethod
    def _is_picture(cls, picture: str) -> str:
        if picture and not _PICTURE.fullmatch(picture):
            raise ValueError("the picture is no WebP, PNG or JPEG")
        try:
            base64.b64decode(picture.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise ValueError("the picture is damaged") from error
        return picture

    @field_validator("parameters")
    @classmethod
    def _are_settings(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():
            if name not in SETTINGS:
                raise ValueError(f"{name!r} is none of {', '.join(SETTINGS)}")
            kind, least, most = SETTINGS[name]
            right = isinstance(value, kind) or (kind is float and isinstance(value, int))
            size = len(value) if isinstance(value, str) else value
            if not right or isinstance(value, bool) or not least <= size <= most:
                raise ValueError(f"{name} = {value!r} cannot be")
        return given


def preset_of(data: Any) -> Preset:
    """A preset out of plain JSON.

    Raises:
        UserError: says what is wrong with it.
    """
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "preset"
        why = f"{where}: {first['msg'].removeprefix('Value error, ')}"
        raise problem(f"This is no preset ({why}).", f"这不是风格预设（{why}）。") from error


class Presets:
    """All presets of an installation. Reads its files each time: other processes write them too."""

    def __init__(self, shipped: Path, previews: Path, own: Path) -> None:
        self._shipped = shipped
        self._previews = previews
        self._own = own

    def shipped(self) -> tuple[Preset, ...]:
        """Those that come along."""
        rows = json.loads(self._shipped.read_text(encoding="utf-8"))
        return tuple(Preset.model_validate(row) for row in rows)

    def own(self) -> tuple[Preset, ...]:
        """This installation's; a file that is none is left out, `problems` says which."""
        return tuple(found for _, found in self._read() if isinstance(found, Preset))

    def problems(self) -> tuple[str, ...]:
        """Names of files in the folder that are no presets."""
        return tuple(file.name for file, found in self._read() if found is None)

    def all(self) -> tuple[Preset, ...]:
        """The own ones first; one of the same name as one that comes along takes its place."""
        own = self.own()
        taken = {preset.name.casefold() for preset in own}
        return (*own, *(each for each in self.shipped() if each.name.casefold() not in taken))

    def get(self, name: str) -> Preset:
        """One by its English or Chinese name, in any case.

        Raises:
            UserError: there is none; similar names are told.
        """
        wanted = " ".join(name.split()).casefold()
        presets = self.all()
        for preset in presets:
            if wanted in (preset.name.casefold(), preset.name_zh.casefold()):
                return preset
        near = [p.name for p in presets if wanted and wanted[:4] in p.name.casefold()][:6]
        known = ", ".join(near or [preset.name for preset in presets[:6]]) + " …"
        raise problem(
            f"There is no style preset {name[:80]!r}. There are: {known}",
            f"没有风格预设 {name[:80]!r}。现有：{known}",
        )

    def preview(self, preset: Preset) -> str:
        """Its picture as a `data:` address; "" where there is none."""
        if preset.picture:
            return preset.picture
        file = self._previews / f"{file_name(preset.name)}.webp"
        if not file.is_file():
            return ""
        return "data:image/webp;base64," + base64.b64encode(file.read_bytes()).decode("ascii")

    def save(self, preset: Preset, *, over: bool = False) -> None:
        """Write an own preset, whole or not at all.

        Raises:
            UserError: there is one of that name already, unless `over`; there are too many, or the disk refuses.
        """
        names = {each.name.casefold() for each in self.own()}
        if preset.name.casefold() in names and not over:
            raise problem(
                f"There is a preset {preset.name!r} already. Choose another name, or save over it.",
                f"已有预设 {preset.name!r}。请换个名称，或选择覆盖。",
            )
        if len(names) >= MAX_PRESETS:
            raise problem(
                f"There are {MAX_PRESETS} presets already; delete some first.",
                f"已有 {MAX_PRESETS} 个预设，请先删除一些。",
            )
        part = self._own / f".{secrets.token_hex(6)}.part"
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            part.write_text(preset.model_dump_json(indent=1), encoding="utf-8")
            os.replace(part, self._own / f"{file_name(preset.name)}.json")
        except OSError as error:
            with suppress(OSError):  # the reason is told below
                part.unlink()
            why = error.strerror or error
            raise problem(
                f"The preset could not be saved ({why}).", f"预设无法保存（{why}）。"
            ) from error

    def delete(self, name: str) -> None:
        """Remove an own preset.

        Raises:
            UserError: it is not one's own, or the disk refuses.
        """
        for file, preset in self._read():
            if preset is not None and preset.name.casefold() == name.strip().casefold():
                try:
                    file.unlink()
                except OSError as error:
                    why = error.strerror or error
                    raise problem(
                        f"The preset could not be deleted ({why}).", f"预设无法删除（{why}）。"
                    ) from error
                return
        raise problem(
            f"{name[:80]!r} is none of your own presets; those that come along cannot be deleted.",
            f"{name[:80]!r} 不是您自己的预设；随程序提供的预设不能删除。",
        )

    def _read(self) -> Sequence[tuple[Path, Preset | None]]:
        if not self._own.is_dir():
            return ()
        found: list[tuple[Path, Preset | None]] = []
        for file in sorted(self._own.glob("*.json"))[:MAX_PRESETS]:
            try:
                if file.is_symlink() or file.stat().st_size > MAX_BYTES:
                    raise ValueError
                found.append((file, Preset.model_validate_json(file.read_bytes())))
            except (OSError, ValueError):
                found.append((file, None))
        return found


def file_name(name: str) -> str:
    """A file's name for any preset's name: what can be read of it, and a hash that keeps it apart from the others."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40]
    return f"{plain}-{hashlib.sha256(name.casefold().encode()).hexdigest()[:8]}".lstrip("-")
