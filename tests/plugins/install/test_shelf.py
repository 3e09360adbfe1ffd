"""Whatever rename fails or is the last before the program dies: an extension is there whole or not at all."""

import os
import shutil
import time
from pathlib import Path

import pytest

from modules.errors import ExtensionError
from modules.plugins.install.shelf import Shelf


class Failing:
    """Renames, until the given one: that fails, or the program dies there."""

    def __init__(self, at: int, dies: bool) -> None:
        self.left = at
        self.dies = dies

    def __call__(self, source: Path, target: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise SystemExit if self.dies else OSError(28, "full")
        os.replace(source, target)


def staged(shelf: Shelf, version: str) -> Path:
    place = shelf.stage()
    for name in ("a", "b"):
        (place / name).write_text(version)
    return place


def version(folder: Path) -> str | None:
    """Of the extension in that folder; it has to be whole."""
    if not folder.exists():
        return None
    first, second = (folder / "a").read_text(), (folder / "b").read_text()
    assert first == second
    return first


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shelf = Shelf(tmp_path)
    shelf.put(staged(shelf, "1"), "echo")
    shelf.put(staged(shelf, "2"), "echo")
    return tmp_path


def test_the_one_before_is_kept(folder: Path) -> None:
    shelf = Shelf(folder)
    assert (version(shelf.path("echo")), version(shelf.before("echo"))) == ("2", "1")


def test_back_and_forth(folder: Path) -> None:
    shelf = Shelf(folder)
    shelf.restore("echo")
    assert (version(shelf.path("echo")), version(shelf.before("echo"))) == ("1", "2")
    shelf.restore("echo")
    assert (version(shelf.path("echo")), version(shelf.before("echo"))) == ("2", "1")


def test_removed_and_brought_back(folder: Path) -> None:
    shelf = Shelf(folder)
    shelf.remove("echo")
    assert not shelf.path("echo").exists()
    shelf.recover()
    assert not shelf.path("echo").exists()
    shelf.restore("echo")
    assert version(shelf.path("echo")) == "2"
    assert not shelf.has_before("echo")


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("act", ["put", "restore", "remove"])
def test_broken_off_anywhere(folder: Path, act: str, at: int, dies: bool) -> None:
    shelf = Shelf(folder, Failing(at, dies))
    new = staged(shelf, "3")
    try:
        match act:
            case "put":
                shelf.put(new, "echo")
            case "restore":
                shelf.restore("echo")
            case "remove":
                shelf.remove("echo")
    except (OSError, SystemExit):
        pass
    after = Shelf(folder)
    after.recover()
    assert version(after.path("echo")) in tuple(
        {"put": "123", "restore": "12", "remove": "2"}[act]
    ) or (act == "remove" and version(after.path("echo")) is None)
    shutil.rmtree(new, ignore_errors=True)
    again = Shelf(folder)
    again.put(staged(again, "4"), "echo")  # and it works on
    assert version(again.path("echo")) == "4"


def test_nothing_to_go_back_to(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match="no earlier echo"):
        Shelf(tmp_path).restore("echo")
    with pytest.raises(ExtensionError, match="no extension echo"):
        Shelf(tmp_path).remove("echo")


def test_what_nobody_prepares_any_more_is_cleared_away(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    old, new = shelf.stage(), shelf.stage()
    os.utime(old, (time.time() - 90_000,) * 2)
    shelf.recover()
    assert (old.exists(), new.exists()) == (False, True)
