"""Settings: file + environment + flags → one frozen value.

One declaration feeds the command line (`cli.py` makes a flag of each field marked so), the settings file and the
documentation. A change makes a new value; nobody changes one in place.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modules.errors import UserError, reason
from modules.schema.guests import GuestLimits
from modules.schema.problems import explain
from modules.schema.request import Limits

PROJECT = Path(__file__).resolve().parent.parent
FILE_NAME = "settings.json"
ENVIRONMENT_PREFIX = "NOISETTE_"


class Settings(BaseModel):
    """Every choice that outlives a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=7860, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="further host names that lead here, through a proxy of the owner's"
    )
    share: bool = Field(default=False, description="open a public link through a tunnel")
    share_hours: float = Field(
        default=12, gt=0, le=72, description="after so many hours the public link ends"
    )
    password_file: Path | None = Field(
        default=None, description="a file whose first line is the guests' password"
    )
    data_dir: Path = Field(
        default=PROJECT, description="where everything that the program writes goes"
    )
    models_dir: Path = Field(default=PROJECT / "models", description="where weights are")
    extensions_dir: Path = Field(default=PROJECT / "extensions", description="where extensions are")
    open_browser: bool = Field(default=True, description="open the page after the start")
    safe_mode: bool = Field(default=False, description="start without any extension")
    language: str = Field(default="en", description="language of the command line: en or zh")
    default_model: str = Field(default="", description="checkpoint used when a request names none")
    preview_every: int = Field(
        default=1, ge=0, description="live preview every so many steps; 0 is off"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: str = Field(default="auto", description="auto, fp32, bf16 or fp16")
    extension_seconds: float = Field(
        default=120,
        gt=0,
        description="how long an extension may work at one thing before it is stopped",
    )
    model_cache_bytes: int = Field(
        default=6 * 2**30, ge=0, description="weights kept loaded, at the most"
    )
    api_server_stop: bool = Field(
        default=False, description="let the owner end the program through /sdapi/v1/server-stop"
    )
    limits: Limits = Limits()
    guests: GuestLimits = GuestLimits()

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        """A variable of the environment holds several with commas between."""
        return (
            [each.strip() for each in given.split(",") if each.strip()]
            if isinstance(given, str)
            else given
        )

    @property
    def outputs_dir(self) -> Path:
        """Pictures."""
        return self.data_dir / "outputs"

    @property
    def database(self) -> Path:
        """Jobs and the index of pictures."""
        return self.data_dir / "data" / "noisette.sqlite3"

    @property
    def extensions_file(self) -> Path:
        """Which extensions are off, and where installed ones came from."""
        return self.data_dir / "data" / "extensions.json"

    @property
    def running_file(self) -> Path:
        """Which extension is at work in the worker this very moment."""
        return self.data_dir / "data" / "extension-running"

    @property
    def converted_dir(self) -> Path:
        """Copies of legacy weight files as safetensors; may be emptied at any time."""
        return self.data_dir / "data" / "converted"

    @property
    def spool_dir(self) -> Path:
        """Previews on their way from the worker to the page."""
        return self.data_dir / "data" / "spool"

    @classmethod
    def load(
        cls, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
    ) -> Self:
        """Merge the settings file of the data folder, `NOISETTE_*` variables and command-line flags, the last wins.

        Raises:
            UserError: names the file, the field and what was found in it.
        """
        given = {key: value for key, value in (flags or {}).items() if value is not None}
        env = {
            name: environ[ENVIRONMENT_PREFIX + name.upper()]
            for name in cls.model_fields
            if ENVIRONMENT_PREFIX + name.upper() in environ
        }
        data_dir = (
            Path(given.get("data_dir") or env.get("data_dir") or PROJECT).expanduser().resolve()
        )
        merged: dict[str, Any] = {
            **_read(data_dir / FILE_NAME),
            **env,
            **given,
            "data_dir": data_dir,
        }
        for name in ("models_dir", "extensions_dir"):
            if name in merged:
                merged[name] = Path(merged[name]).expanduser().resolve()
        models_dir = merged.get("models_dir")
        if models_dir is not None and not models_dir.is_dir():  # that of extensions is made at need
            raise UserError("error.settings.folder", field="models_dir", path=models_dir)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            wrong = explain(error)
            raise UserError(
                "error.settings.value", field=wrong.field, found=wrong.found, why=wrong.why
            ) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        where = UserError("why.json", line=error.lineno, column=error.colno)
        raise UserError("error.settings.file", path=path, why=where) from error
    except UnicodeDecodeError as error:
        why = UserError("why.encoding")
        raise UserError("error.settings.file", path=path, why=why) from error
    except OSError as error:
        raise UserError("error.settings.file", path=path, why=reason(error)) from error
    if not isinstance(data, dict):
        raise UserError("error.settings.file", path=path, why=UserError("why.object"))
    return data
