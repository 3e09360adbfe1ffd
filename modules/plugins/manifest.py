"""`extension.toml`: what an extension says of itself, read and checked before any of its code is imported."""

import re
import tomllib
from pathlib import Path
from typing import Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modules import __version__
from modules.errors import ExtensionError
from modules.plugins.entry import ENTRY
from modules.plugins.requirements import parse
from modules.schema.problems import explain

FILE_NAME = "extension.toml"
LARGEST = 64 * 1024
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

Permission = Literal["network", "read_files", "write_files", "processes"]


class Manifest(BaseModel):
    """The fields of `extension.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the same as the folder: small letters, digits and _")
    title: str
    title_zh: str = ""
    version: str
    noisette: str = Field(description="versions of Noisette that it works with, such as '>=0.1'")
    plugin: str = Field(
        description="'file:Class' with the hooks of the page; imports no torch and no gradio"
    )
    worker: str = Field(
        default="",
        description="'file:Class' with the hooks of a generation; imported when a job first uses them",
    )
    description: str = ""
    description_zh: str = ""
    requires: tuple[str, ...] = Field(
        default=(), description="Python requirements beyond Noisette's own"
    )
    permissions: tuple[Permission, ...] = Field(
        default=(),
        description="what it does beyond a generation: network, read_files, write_files, processes",
    )
    homepage: str = ""
    licence: str = ""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("use small letters, digits and _, beginning with a letter")
        return name

    @field_validator("plugin", "worker")
    @classmethod
    def _entry(cls, entry: str) -> str:
        if not ENTRY.fullmatch(entry):
            raise ValueError("write it as 'file:Class', for example 'plugin:MyExtension'")
        return entry

    @field_validator("version")
    @classmethod
    def _version(cls, version: str) -> str:
        try:
            Version(version)
        except InvalidVersion as error:
            raise ValueError("write a version such as 1.0.0") from error
        return version

    @field_validator("noisette")
    @classmethod
    def _range(cls, text: str) -> str:
        try:
            SpecifierSet(text)
        except InvalidSpecifier as error:
            raise ValueError("write a range such as '>=0.1'") from error
        return text

    @field_validator("requires")
    @classmethod
    def _requirements(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse(text)
        return texts

    @classmethod
    def read(cls, folder: Path, *, shown: str = "") -> Self:
        """Read `folder/extension.toml`; the folder has the extension's name.

        Args:
            shown: what people know the folder by, where it is a passing one, which may have another name than the
                extension.

        Raises:
            ExtensionError: names the folder, the field and what is wrong with it.
        """
        path = folder / FILE_NAME
        known = shown or folder.name
        try:
            if path.stat().st_size > LARGEST:
                raise OSError(f"larger than {LARGEST} bytes")
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ExtensionError(
                "error.extension.no_manifest", extension=known, file=FILE_NAME
            ) from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ExtensionError(
                "error.extension.manifest", extension=known, field=FILE_NAME, why=error
            ) from error
        try:
            manifest = cls.model_validate(data)
        except ValidationError as error:
            wrong = explain(error)
            raise ExtensionError(
                "error.extension.manifest", extension=known, field=wrong.field, why=wrong.why
            ) from error
        if manifest.name != folder.name and not shown:
            raise ExtensionError("error.extension.name", extension=folder.name, found=manifest.name)
        return manifest

    def check_compatible(self, version: str = __version__) -> None:
        """Refuse an extension that was written for another version.

        Raises:
            ExtensionError: names the range that it asks for and the version that is here.
        """
        if not SpecifierSet(self.noisette).contains(version, prereleases=True):
            raise ExtensionError(
                "error.extension.version", extension=self.name, wanted=self.noisette, found=version
            )
