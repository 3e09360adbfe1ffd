"""Each function below spoils one thing; its docstring is the message that a user must read."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modules.errors import ExtensionError
from modules.plugins.manifest import Manifest

GOOD = {
    "name": "echo",
    "title": "Echo",
    "version": "1.0.0",
    "noisette": ">=0.1",
    "plugin": "plugin:EchoExtension",
}


def write(folder: Path, data: dict[str, Any]) -> Path:
    folder.mkdir()
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in data.items()]
    (folder / "extension.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def missing_title(data: dict[str, Any]) -> None:
    """The manifest of echo cannot be used: title: it is missing."""
    del data["title"]


def capital_in_name(data: dict[str, Any]) -> None:
    """use small letters, digits and _, beginning with a letter"""
    data["name"] = "Echo"


def path_in_plugin(data: dict[str, Any]) -> None:
    """write it as 'file:Class', for example 'plugin:MyExtension'"""
    data["plugin"] = "../evil:Class"


def word_as_version(data: dict[str, Any]) -> None:
    """write a version such as 1.0.0"""
    data["version"] = "newest"


def word_as_range(data: dict[str, Any]) -> None:
    """write a range such as '>=0.1'"""
    data["noisette"] = "any"


def unknown_field(data: dict[str, Any]) -> None:
    """The manifest of echo cannot be used: scripts: there is nothing of that name."""
    data["scripts"] = "x"


def other_name(data: dict[str, Any]) -> None:
    """The folder is called echo but its manifest says ohce. Rename one of them."""
    data["name"] = "ohce"


FAULTS = [
    missing_title,
    capital_in_name,
    path_in_plugin,
    word_as_version,
    word_as_range,
    unknown_field,
    other_name,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_manifest_is_refused_with_its_reason(
    fault: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    data = dict(GOOD)
    fault(data)
    folder = write(tmp_path / "echo", data)
    with pytest.raises(ExtensionError) as caught:
        Manifest.read(folder)
    assert inspect.getdoc(fault) in str(caught.value)


def test_good_manifest_is_read(tmp_path: Path) -> None:
    assert Manifest.read(write(tmp_path / "echo", GOOD)).title == "Echo"


def test_no_manifest_says_so(tmp_path: Path) -> None:
    (tmp_path / "echo").mkdir()
    with pytest.raises(ExtensionError, match=r"has no extension\.toml"):
        Manifest.read(tmp_path / "echo")


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "echo"
    folder.mkdir()
    (folder / "extension.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(ExtensionError, match=r"extension\.toml"):
        Manifest.read(folder)


def test_incompatible_version_names_both(tmp_path: Path) -> None:
    manifest = Manifest.read(write(tmp_path / "echo", {**GOOD, "noisette": ">=99"}))
    with pytest.raises(ExtensionError, match=r">=99.*0\.1\.0"):
        manifest.check_compatible("0.1.0")
