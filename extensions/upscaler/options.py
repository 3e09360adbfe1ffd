"""What can be asked for."""

from typing import Literal

from pydantic import Field

from modules.plugins import Options

SMALL = "pocket_x2"
"""The model that comes along for factors up to 2."""


class UpscalerOptions(Options):
    """One picture's way: noise off, larger, faces, sharpness."""

    mode: Literal["by", "to"] = Field(
        default="by",
        title="Size",
        description="by: a factor. to: a width and a height.",
        json_schema_extra={"title_zh": "尺寸方式", "description_zh": "by：按倍数。to：按宽高。"},
    )
    scale: float = Field(
        default=2.0,
        ge=1,
        le=8,
        title="Scale by",
        json_schema_extra={"title_zh": "倍数", "step": 0.05},
    )
    width: int = Field(
        default=1024, ge=16, le=16384, title="Width", json_schema_extra={"title_zh": "宽度"}
    )
    height: int = Field(
        default=1024, ge=16, le=16384, title="Height", json_schema_extra={"title_zh": "高度"}
    )
    crop: bool = Field(
        default=True,
        title="Crop to fit",
        description="Fills width and height and cuts off what is over; otherwise the picture is made to fit inside.",
        json_schema_extra={
            "title_zh": "裁剪以适应",
            "description_zh": "填满宽高并裁去多余部分；否则完整放入其中。",
        },
    )
    upscaler: str = Field(
        default=SMALL,
        max_length=300,
        title="Upscaler",
        json_schema_extra={"title_zh": "放大器", "choices_of": "upscalers"},
    )
    upscaler_2: str = Field(
        default="None",
        max_length=300,
        title="Second upscaler",
        json_schema_extra={"title_zh": "第二放大器", "choices_of": "upscalers"},
    )
    blend: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Share of the second",
        json_schema_extra={"title_zh": "第二放大器占比", "step": 0.05},
    )
    denoise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Remove noise",
        description="Before it is enlarged; 0 leaves the picture as it is.",
        json_schema_extra={
            "title_zh": "降噪",
            "description_zh": "在放大之前进行；0 表示不变。",
            "step": 0.05,
        },
    )
    sharpen: float = Field(
        default=0.0,
        ge=0,
        le=2,
        title="Sharpen",
        description="After it was enlarged.",
        json_schema_extra={"title_zh": "锐化", "description_zh": "在放大之后进行。", "step": 0.05},
    )
    face: str = Field(
        default="None",
        max_length=300,
        title="Face restoration",
        description="A file such as GFPGAN or RestoreFormer in models/upscalers.",
        json_schema_extra={
            "title_zh": "人脸修复",
            "choices_of": "upscalers",
            "description_zh": "models/upscalers 中的 GFPGAN、RestoreFormer 等文件。",
        },
    )
    face_amount: float = Field(
        default=1.0,
        ge=0,
        le=1,
        title="Amount of face restoration",
        json_schema_extra={"title_zh": "人脸修复强度", "step": 0.05},
    )
