"""The tab: the lists, an editor for one, and a place to try a text."""

from typing import Any

import gradio as gr

from modules.plugins import Host, problem

from .files import Lists
from .plugin import drawn, lists_of

TRIED = 8
"""Results that the tab shows of a text."""


def build(t: Any, host: Host) -> None:
    """Lay the tab out."""
    lists = lists_of(host)
    gr.Markdown(
        t(
            "`{red|green}` draws one, `{2$$a|b|c}` two, `{3::a|b}` prefers a, `__colours__` draws a line of a list. "
            "Switch it on in the panel *Wildcards*; the same seed draws the same.",
            "`{红|绿}` 抽取一个，`{2$$a|b|c}` 抽取两个，`{3::a|b}` 偏向 a，`__colours__` 抽取列表中的一行。"
            "在“通配符”面板中启用；相同种子结果相同。",
        ),
        latex_delimiters=[],  # a dollar is none here
    )
    with gr.Row():
        with gr.Column():
            chosen = gr.Dropdown(
                list(lists.names()), value=None, label=t("List", "列表"), filterable=True
            )
            name = gr.Textbox(
                label=t("Name", "名称"),
                info=t(
                    "Letters, digits, - and _; / for folders.", "字母、数字、- 与 _；文件夹用 /。"
                ),
                max_length=200,
            )
            text = gr.Textbox(
                label=t("Lines", "行"),
                info=t(
                    "One possibility a line; a weight may stand before it, as 2::rose. # begins a note.",
                    "每行一种可能；行首可写权重，如 2::rose。# 开头为备注。",
                ),
                lines=14,
                max_lines=14,
            )
            with gr.Row():
                save = gr.Button(t("Save", "保存"), variant="primary")
                delete = gr.Button(t("Delete", "删除"), variant="stop")
            said = gr.Markdown()
        with gr.Column():
            tried = gr.Textbox(
                "a {red|green|blue} __animals__ on a __colours__ background",
                label=t("Try a prompt", "试一试"),
                lines=3,
            )
            seed = gr.Number(0, precision=0, label=t("First seed", "起始种子"))
            show = gr.Button(t("Show what comes out", "显示结果"))
            results = gr.Dataframe(
                headers=["seed", "prompt"],
                datatype=["number", "str"],
                interactive=False,
                wrap=True,
                label=t("Results", "结果"),
            )

    def opened(wanted: str | None) -> tuple[str, str]:
        return (wanted, lists.text(wanted)) if wanted else ("", "")

    def saved(wanted: str, lines: str) -> tuple[Any, str]:
        count = lists.save(wanted, lines)
        return _choices(lists, wanted.strip()), f"✓ `__{wanted.strip()}__` ({count})"

    def deleted(wanted: str) -> tuple[Any, str, str, str]:
        lists.delete(wanted.strip())
        return _choices(lists, None), "", "", f"✓ `__{wanted.strip()}__` –"

    def tries(words: str, first: float | None) -> list[list[Any]]:
        start = max(0, int(first or 0))
        if len(words) > 32_768:
            raise problem("That is too long.", "文本过长。")
        return [
            [start + n, drawn(words, f"{start + n}/{start + n}/0", lists)] for n in range(TRIED)
        ]

    quiet: dict[str, Any] = {"api_visibility": "private"}
    chosen.change(opened, chosen, [name, text], **quiet)
    save.click(saved, [name, text], [chosen, said], **quiet)
    delete.click(deleted, name, [chosen, name, text, said], **quiet)
    show.click(tries, [tried, seed], results, **quiet)


def _choices(lists: Lists, value: str | None) -> Any:
    return gr.Dropdown(choices=list(lists.names()), value=value)
