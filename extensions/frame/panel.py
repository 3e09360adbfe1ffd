"""The tab: any picture in, framed picture out. Its function runs in the page's process."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from modules.plugins import problem

from .draw import framed
from .plugin import FrameOptions


def build(t: Any) -> None:
    """Lay the tab out."""
    gr.Markdown(t("Put a frame around any picture.", "为任意图片加上边框。"))
    with gr.Row():
        with gr.Column():
            given = gr.Image(type="pil", label=t("Picture", "图片"))
            width = gr.Slider(0, 25, value=4, step=1, label=t("Width, per cent", "宽度（百分比）"))
            colour = gr.ColorPicker("#ffffff", label=t("Colour", "颜色"))
            text = gr.Textbox(label=t("Text", "文字"))
            act = gr.Button(t("Frame it", "加边框"), variant="primary")
        made = gr.Image(type="pil", label=t("Framed", "结果"), interactive=False, format="png")
    act.click(frame_it, [given, width, colour, text], made, api_name="frame")


def frame_it(image: Image.Image | None, width: float, colour: str, text: str) -> Image.Image:
    """The picture in its frame.

    Raises:
        UserError: there is no picture, or the colour is none.
    """
    if image is None:
        raise problem("Choose a picture first.", "请先选择图片。")
    try:
        options = FrameOptions(width=int(width), colour=colour or "#ffffff", text=text or "")
    except ValueError as error:
        raise problem(
            f"{colour!r} is no colour. Write it like #f4e9d8.",
            f"{colour!r} 不是颜色。请写成 #f4e9d8 的形式。",
        ) from error
    return framed(image, options, options.text)
