"""What can be asked for."""

from pydantic import Field

from modules.plugins import Options


class InterrogateOptions(Options):
    """Which model, and how sure it has to be of a tag."""

    model: str = Field(
        default="clip",
        max_length=200,
        title="Model",
        description="A folder of models/interrogate; clip: the first that captions, deepdanbooru: the first that tags.",
        json_schema_extra={
            "title_zh": "模型",
            "description_zh": "models/interrogate 中的文件夹；clip 表示第一个描述模型，deepdanbooru 表示第一个标签模型。",
        },
    )
    threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Threshold of tags",
        json_schema_extra={"title_zh": "标签阈值", "step": 0.05},
    )
