"""Saved blends: one JSON file each, with name, note, picture and rows, that can be sent to somebody as it is.

{"format": "noisette-blend", "version": 1, "name": …, "note": …, "rows": […], "picture": "data:image/webp;base64,…"}
"""

import base64
import binascii
import json
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modules.plugins import problem

from .rows import MAX_ROWS, Row

FORMAT = "noisette-blend"
MAX_BYTES = 1_000_000
MAX_FILES = 2000
_PICTURE = re.compile(r"data:image/(webp|png|jpeg);base64,[A-Za-z0-9+/]+=*")
_NAME = re.compile(r"[^\x00-\x1f<>:\"/\\|?*.][^\x00-\x1f<>:\"/\\|?*]{0,79}")

_REASONS = {
    "name": (
        'a name has 1 to 80 signs, none of < > : " / \\ | ? * and no dot first or last',
        '名称须有 1 至 80 个字符，不含 < > : " / \\ | ? *，首尾不为点',
    ),
    "note": ("a note has at most 4000 signs", "备注最多 4000 个字符"),
    "picture": (
        "the picture is no data: address of a WebP, PNG or JPEG picture",
        "图片不是 WebP、PNG 或 JPEG 的 data: 地址",
    ),
    "rows": (
        f"a blend holds LoRAs, not other blends, and at most {MAX_ROWS}",
        f"混合方案由 LoRA 组成，不含其他混合方案，且最多 {MAX_ROWS} 行",
    ),
}
"""What each field has to be, in English and Chinese."""


class Blend(BaseModel):
    """A mix of LoRAs as a thing of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    format: Literal["noisette-blend"] = "noisette-blend"
    version: Literal[1] = 1
    name: str
    note: Annotated[str, Field(max_length=4000)] = ""
    rows: tuple[Row, ...] = Field(max_length=MAX_ROWS)
    picture: str = ""

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        name = name.strip()
        if not _NAME.fullmatch(name) or name.endswith("."):
            raise ValueError(_REASONS["name"][0])
        return name

    @field_validator("picture")
    @classmethod
    def _small_picture(cls, picture: str) -> str:
        if picture and not _PICTURE.fullmatch(picture):
            raise ValueError(_REASONS["picture"][0])
        return picture

    @field_validator("rows")
    @classmethod
    def _only_loras(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        if any(row.kind == "blend" for row in rows):
            raise ValueError(_REASONS["rows"][0])
        return rows

    def scaled(self, weight: float) -> tuple[Row, ...]:
        """Its rows, with every weight multiplied."""
        return tuple(row.scaled(weight) for row in self.rows if row.on)

    def to_json(self) -> str:
        """The text of its file."""
        return self.model_dump_json(indent=1, exclude_defaults=False)


def read_blend(text: str | bytes) -> Blend:
    """A blend out of a file's text, whoever sent it.

    Raises:
        UserError: it is not one; says what is wrong.
    """
    if len(text) > MAX_BYTES:
        raise problem(
            f"This blend has {len(text)} bytes; at most {MAX_BYTES} are read.",
            f"此混合方案有 {len(text)} 字节，最多读取 {MAX_BYTES} 字节。",
        )
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f'there is no "format": "{FORMAT}" in it')
        return Blend.model_validate(data)
    except ValidationError as error:
        en, zh = what_is_wrong(error)
        raise problem(f"This is no blend ({en}).", f"这不是混合方案（{zh}）。") from error
    except (ValueError, RecursionError) as error:
        raise problem(f"This is no blend ({error}).", f"这不是混合方案（{error}）。") from error


def what_is_wrong(error: ValidationError) -> tuple[str, str]:
    """The first reason why something is no blend, in English and Chinese."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    en, zh = _REASONS.get(where, (first["msg"], first["msg"]))
    return f"{where}: {en}", f"{where}：{zh}"


class Blends:
    """The blends of an installation, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """Those that are there."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted((file.stem for file in self._folder.glob("*.json")), key=str.casefold))

    def get(self, name: str) -> Blend:
        """One by name, in any case.

        Raises:
            UserError: there is none of that name, or its file is damaged.
        """
        for known in self.names():
            if known.casefold() == name.strip().casefold():
                file = self._folder / f"{known}.json"
                if file.stat().st_size > MAX_BYTES:
                    return read_blend("x" * (MAX_BYTES + 1))
                return read_blend(file.read_bytes())
        known = ", ".join(self.names()[:12]) or "–"
        raise problem(
            f"There is no blend {name!r}. There are: {known}.",
            f"没有混合方案 {name!r}。现有：{known}。",
        )

    def save(self, blend: Blend, *, over: bool = False) -> None:
        """Write it to its file, whole or not at all.

        Raises:
            UserError: there is one of that name already, unless `over`, or the disk does not take it.
        """
        names = self.names()
        before = [name for name in names if name.casefold() == blend.name.casefold()]
        if before and not over:
            raise problem(
                f"There is a blend {blend.name!r} already. Choose another name, or save over it.",
                f"已有混合方案 {blend.name!r}。请换个名称，或选择覆盖。",
            )
        text = blend.to_json()
        if len(text) > MAX_BYTES or len(names) >= MAX_FILES:
            raise problem(
                "There is no room for this blend: it is too large, or there are too many.",
                "无法保存此混合方案：过大，或数量过多。",
            )
        part = self._folder / f".{secrets.token_hex(6)}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            os.replace(part, self._folder / f"{blend.name}.json")
            for name in before:  # a name is one in any case, also where the disk tells cases apart
                if name != blend.name and not (self._folder / f"{name}.json").samefile(
                    self._folder / f"{blend.name}.json"
                ):
                    (self._folder / f"{name}.json").unlink()
        except OSError as error:
            with suppress(OSError):  # the reason is told below
                part.unlink()
            why = error.strerror or error
            raise problem(
                f"The blend could not be saved ({why}).", f"混合方案无法保存（{why}）。"
            ) from error

    def expand(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """The rows that act, with each blend's rows in its place, multiplied by its weight.

        Raises:
            UserError: a blend that is not there.
        """
        found: list[Row] = []
        for row in rows:
            if row.kind == "lora":
                found.append(row)
            elif row.on:
                found += self.get(row.name).scaled(row.weight)
        return tuple(found)


def picture_data(webp: bytes) -> str:
    """A picture as a `data:` address."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii") if webp else ""


def picture_bytes(picture: str) -> bytes:
    """The inverse; nothing where there is no picture."""
    try:
        return base64.b64decode(picture.partition(",")[2], validate=True)
    except binascii.Error:
        return b""
