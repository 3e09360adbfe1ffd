"""The panel: what kind of grid, and below that what this kind needs."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from modules.plugins import Axis, Options, for_guests

from .axes import EXTENSION, offered
from .options import AXES, MAX_PROMPTS, MAX_VALUES
from .words import KINDS, MATRIX, SEEDS, WORDS

_MODES = ("axes", "matrix", "prompts")


def build(
    options: type[Options], axes: Callable[[], Sequence[Axis]], t: Callable[[str, str], Any]
) -> dict[str, Component]:
    """Lay the panel out inside its accordion."""

    def label(name: str) -> Any:
        info = options.model_fields[name]
        extra: Any = info.json_schema_extra
        return t(info.title or name, extra["title_zh"])

    def hint(name: str) -> Any:
        info = options.model_fields[name]
        extra: Any = info.json_schema_extra
        return t(info.description or "", extra.get("description_zh") or "")

    made: dict[str, Component] = {}
    made["enabled"] = gr.Checkbox(label=t("Make a grid", "生成网格"), elem_classes="nz-field")
    kinds = [(t(*words), name) for name, words in KINDS.items()]
    made["mode"] = gr.Radio(kinds, value="axes", label=label("mode"), elem_classes="nz-field")
    names = [(t(*WORDS["nothing"]), ""), *((t(en, zh), name) for name, en, zh in offered(axes()))]
    with gr.Column(elem_classes="grid-axes") as table:
        for letter in AXES:
            with gr.Row(elem_classes="grid-axis"):
                made[letter] = gr.Dropdown(
                    names, value="", label=label(letter), allow_custom_value=True, min_width=150,
                    elem_id=None, elem_classes=f"nz-field grid-{letter}",
                )  # fmt: skip
                values = gr.Textbox(
                    label=label(f"{letter}_values"), max_length=MAX_VALUES, min_width=150, lines=1,
                    placeholder="4, 8, 12", elem_classes=f"nz-field grid-{letter}-values",
                )  # fmt: skip
                made[f"{letter}_values"] = values
        gr.Markdown(t(*WORDS["values"]), elem_classes="nz-muted")
        with gr.Row():
            for letter in AXES:
                fill = gr.Button(
                    t(f"All values of {letter.upper()}", f"{letter.upper()} 的全部取值"),
                    size="sm",
                    min_width=70,
                )
                fill.click(
                    _all_values(axes), [made[letter], made[f"{letter}_values"]],
                    made[f"{letter}_values"], queue=False, show_progress="hidden", api_visibility="private",
                )  # fmt: skip
    with gr.Column(visible=False) as matrix:
        gr.Markdown(t(*WORDS["matrix"]), elem_classes="nz-muted")
        made["matrix_in"] = gr.Radio(
            [(t(*words), name) for name, words in MATRIX.items()], value="prompt",
            label=label("matrix_in"), elem_classes="nz-field",
        )  # fmt: skip
    with gr.Column(visible=False) as listed:
        made["prompts"] = gr.Textbox(
            label=label("prompts"), info=hint("prompts"), value="", lines=6, max_lines=14,
            max_length=MAX_PROMPTS, elem_classes="nz-field grid-prompts",
        )  # fmt: skip
        file = gr.UploadButton(
            t("From a text file", "从文本文件读取"), size="sm", file_types=[".txt"],
            elem_classes="nz-owner",  # Gradio's own upload, which guests do not have
        )  # fmt: skip
        file.upload(
            _read,
            file,
            made["prompts"],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    with gr.Row():
        made["seeds"] = gr.Radio(
            [(t(*words), name) for name, words in SEEDS.items()], value="same", label=label("seeds"),
            elem_classes="nz-field",
        )  # fmt: skip
        made["sheet"] = gr.Checkbox(value=True, label=label("sheet"), elem_classes="nz-field")
    made["mode"].change(
        _shown, made["mode"], [table, matrix, listed], queue=False, show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip
    return made


@for_guests
def _shown(mode: str) -> list[Any]:
    return [gr.update(visible=mode == each) for each in _MODES]


def _all_values(axes: Callable[[], Sequence[Axis]]) -> Callable[[str, str], Any]:
    """Every choice of an axis that has some, as they are now; other values stay."""

    @for_guests
    def fill(name: str, before: str) -> str:
        for axis in axes():
            if axis.name == name and not name.startswith(f"{EXTENSION}."):
                choices = ["true", "false"] if axis.kind == "bool" else list(axis.choices)
                return _row(choices) if choices else before
        return before

    return fill


def _row(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().replace(",", ", ") if '"' not in text.getvalue() else text.getvalue()


def _read(file: str | None) -> Any:
    """The text of a file; one that is no text shows as what it would be read as."""
    if file is None:
        return gr.skip()
    data = Path(file).read_bytes()[: 4 * MAX_PROMPTS]
    return data.decode("utf-8-sig", "replace")[:MAX_PROMPTS]
