"""The lists: text files, a line each, those that come along and those of this installation, which go before."""

import fnmatch
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modules.plugins import UserError, problem

from .grammar import Option, line_of

MAX_BYTES = 1_000_000
MAX_FILES = 5_000
_NAME = re.compile(r"[\w-]{1,60}(?:/[\w-]{1,60}){0,3}")


@dataclass(frozen=True)
class Lists:
    """`own` is this installation's folder, `shipped` the one that comes along."""

    own: Path
    shipped: Path

    def names(self) -> tuple[str, ...]:
        """Every list, by name: `colours`, `animals/birds`."""
        found: dict[str, None] = {}
        for folder in (self.own, self.shipped):
            for file in sorted(folder.rglob("*.txt"))[:MAX_FILES]:
                name = file.relative_to(folder).with_suffix("").as_posix()
                if _NAME.fullmatch(name) and not file.is_symlink():
                    found[name] = None
        return tuple(sorted(found, key=str.casefold))

    def is_own(self, name: str) -> bool:
        """Whether it can be deleted: the ones that come along cannot, but be replaced by one's own."""
        return self._path(self.own, name).is_file()

    def text(self, name: str) -> str:
        """A list as it stands in its file.

        Raises:
            UserError: there is none, or its file cannot be read.
        """
        for folder in (self.own, self.shipped):
            path = self._path(folder, name)
            if path.is_file() and not path.is_symlink():
                return self._read(path, name)
        known = ", ".join(self.names()[:20]) or "–"
        raise problem(
            f"There is no list {name!r}. There are: {known}.", f"没有列表 {name!r}。现有：{known}。"
        )

    def lines(self, name: str) -> Sequence[Option]:
        """The lines to draw from; of all lists that fit where there is a `*` in the name.

        Raises:
            UserError: there is no such list, nothing is in it, or a line of it is wrong.
        """
        names = [name]
        if "*" in name:
            names = [each for each in self.names() if fnmatch.fnmatchcase(each, name)]
        found = [line for each in names for line in self._parsed(each)]
        if not found:
            raise problem(
                f"There is nothing to draw from {name!r}: no list of that name has a line.",
                f"{name!r} 中没有可抽取的内容：没有同名列表，或列表为空。",
            )
        return found

    def save(self, name: str, text: str) -> int:
        """Write one's own list, whole or not at all; how many lines can be drawn.

        Raises:
            UserError: the name or a line is wrong, it is too large, or the disk does not take it.
        """
        name = name.strip()
        path = self._path(self.own, name)
        data = text.replace("\r\n", "\n").encode("utf-8", "replace")
        if len(data) > MAX_BYTES or (len(self.names()) >= MAX_FILES and not path.is_file()):
            raise problem(
                f"The list is larger than {MAX_BYTES // 1000} kB, or there are too many lists.",
                f"列表超过 {MAX_BYTES // 1000} kB，或列表过多。",
            )
        count = len(_parse(text, name))
        part = self.own / f".{secrets.token_hex(6)}.part"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            os.replace(part, path)
        except OSError as error:
            with suppress(OSError):  # the reason is told below
                part.unlink()
            why = error.strerror or error
            raise problem(
                f"The list could not be saved ({why}).", f"列表无法保存（{why}）。"
            ) from error
        return count

    def delete(self, name: str) -> None:
        """Remove one's own list.

        Raises:
            UserError: it is not one's own, or the disk refuses.
        """
        if not self.is_own(name):
            raise problem(
                f"{name!r} comes along with the program and cannot be deleted; saving replaces it.",
                f"{name!r} 随程序提供，不能删除；可另存以取代它。",
            )
        try:
            self._path(self.own, name).unlink()
        except OSError as error:
            why = error.strerror or error
            raise problem(
                f"The list could not be deleted ({why}).", f"列表无法删除（{why}）。"
            ) from error

    def _parsed(self, name: str) -> list[Option]:
        return _parse(self.text(name), name)

    def _path(self, folder: Path, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise problem(
                f"{name[:80]!r} cannot be the name of a list: use letters, digits, - and _, and / for folders.",
                f"{name[:80]!r} 不能作为列表名：请用字母、数字、- 与 _，文件夹用 /。",
            )
        return folder / f"{name}.txt"

    def _read(self, path: Path, name: str) -> str:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise problem(
                    f"The list {name!r} is larger than {MAX_BYTES // 1000} kB.",
                    f"列表 {name!r} 超过 {MAX_BYTES // 1000} kB。",
                )
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise problem(
                f"The list {name!r} cannot be read as UTF-8 text ({error}).",
                f"列表 {name!r} 无法按 UTF-8 文本读取（{error}）。",
            ) from error


def _parse(text: str, name: str) -> list[Option]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        try:
            found.append(line_of(words))
        except UserError as error:
            english, chinese = error.message("en"), error.message("zh")
            raise problem(
                f"Line {number} of the list {name!r}: {english}",
                f"列表 {name!r} 第 {number} 行：{chinese}",
            ) from error
    return found
