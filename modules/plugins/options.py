"""The typed options of an extension, declared once and used by page, API, metadata and command line."""

from pydantic import ConfigDict, Field

from modules.schema.received import Received


class Options(Received):
    """Base class of an extension's options.

    A field's type and bounds make its control, its check and its documentation: `scale: float = Field(1.2, ge=0,
    le=2, title="Scale", description="…", json_schema_extra={"title_zh": "比例", "step": 0.05})`. A request without
    options of an extension, or with `enabled` false, runs without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(default=False, title="Enable", json_schema_extra={"title_zh": "启用"})
