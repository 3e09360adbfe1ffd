"""Colours, letters and corners, light and dark. Nothing is fetched: the letters are those of the system.

Every pair of text and ground that is used reaches WCAG AA (4.5:1); tests/ui/test_theme.py counts it.
"""

import inspect

from gradio.themes import Base
from gradio.themes.utils import colors, sizes

LIGHT = {
    "ground": "#f8f4ed",
    "surface": "#fffdfa",
    "sunken": "#f1eae0",
    "line": "#ddd2c3",
    "edge": "#8f7f6d",
    "text": "#2a2018",
    "muted": "#67594c",
    "accent": "#87480f",
    "accent_strong": "#6d390a",
    "accent_soft": "#f4e3cf",
    "on_accent": "#ffffff",
    "danger": "#a3261b",
    "danger_soft": "#fbe6e2",
    "good": "#2f6b35",
}
DARK = {
    "ground": "#15110d",
    "surface": "#1f1914",
    "sunken": "#17130f",
    "line": "#3a2f26",
    "edge": "#85735f",
    "text": "#f4ece2",
    "muted": "#bdac9a",
    "accent": "#e8a860",
    "accent_strong": "#f3bd80",
    "accent_soft": "#3b2a19",
    "on_accent": "#241606",
    "danger": "#ff9a8c",
    "danger_soft": "#44201b",
    "good": "#93d09a",
}

FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Noto Sans", "PingFang SC",
        "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")  # fmt: skip
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")


def css_variables() -> str:
    """Our colours for style.css (`--nz-accent` ...), so that they stand in one place only."""

    def block(selector: str, palette: dict[str, str], scheme: str) -> str:
        lines = "".join(
            f"--nz-{name.replace('_', '-')}:{value};" for name, value in palette.items()
        )
        return f"{selector}{{color-scheme:{scheme};{lines}}}"

    return block(":root", LIGHT, "light") + block(":root.dark,.dark", DARK, "dark")


class NoisetteTheme(Base):
    """Gradio's own parts in our colours."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=_hazel(),
            secondary_hue=_hazel(),
            neutral_hue=_shell(),
            text_size=sizes.text_md,
            spacing_size=sizes.spacing_md,
            radius_size=sizes.radius_md,
            font=FONT,
            font_mono=MONO,
        )
        self.name = "noisette"
        both = {
            "body_background_fill": "ground",
            "body_text_color": "text",
            "body_text_color_subdued": "muted",
            "background_fill_primary": "surface",
            "background_fill_secondary": "sunken",
            "border_color_primary": "line",
            "border_color_accent": "accent",
            "border_color_accent_subdued": "line",
            "color_accent_soft": "accent_soft",
            "link_text_color": "accent",
            "link_text_color_hover": "accent_strong",
            "link_text_color_active": "accent_strong",
            "link_text_color_visited": "accent",
            "block_background_fill": "surface",
            "block_border_color": "line",
            "block_label_background_fill": "surface",
            "block_label_text_color": "muted",
            "block_title_text_color": "text",
            "block_info_text_color": "muted",
            "panel_background_fill": "surface",
            "panel_border_color": "line",
            "accordion_text_color": "text",
            "input_background_fill": "sunken",
            "input_background_fill_focus": "surface",
            "input_background_fill_hover": "sunken",
            "input_border_color": "edge",
            "input_border_color_focus": "accent",
            "input_border_color_hover": "edge",
            "input_placeholder_color": "muted",
            "checkbox_background_color": "surface",
            "checkbox_background_color_selected": "accent",
            "checkbox_border_color": "edge",
            "checkbox_border_color_focus": "accent",
            "checkbox_border_color_hover": "accent",
            "checkbox_border_color_selected": "accent",
            "checkbox_label_background_fill": "sunken",
            "checkbox_label_background_fill_hover": "accent_soft",
            "checkbox_label_background_fill_selected": "accent_soft",
            "checkbox_label_border_color": "line",
            "checkbox_label_border_color_selected": "accent",
            "checkbox_label_text_color": "text",
            "checkbox_label_text_color_selected": "text",
            "button_primary_background_fill": "accent",
            "button_primary_background_fill_hover": "accent_strong",
            "button_primary_border_color": "accent",
            "button_primary_border_color_hover": "accent_strong",
            "button_primary_text_color": "on_accent",
            "button_primary_text_color_hover": "on_accent",
            "button_secondary_background_fill": "surface",
            "button_secondary_background_fill_hover": "accent_soft",
            "button_secondary_border_color": "edge",
            "button_secondary_border_color_hover": "accent",
            "button_secondary_text_color": "text",
            "button_secondary_text_color_hover": "text",
            "button_cancel_background_fill": "danger_soft",
            "button_cancel_background_fill_hover": "danger_soft",
            "button_cancel_border_color": "danger",
            "button_cancel_border_color_hover": "danger",
            "button_cancel_text_color": "danger",
            "button_cancel_text_color_hover": "danger",
            "slider_color": "accent",
            "error_background_fill": "danger_soft",
            "error_border_color": "danger",
            "error_text_color": "danger",
            "error_icon_color": "danger",
        }
        known = inspect.signature(self.set).parameters
        values: dict[str, str] = {"color_accent": "var(--nz-accent)"}
        for name, colour in both.items():
            values[name] = f"var(--nz-{colour.replace('_', '-')})"
            if f"{name}_dark" in known:
                values[f"{name}_dark"] = values[name]
        self.set(
            **values,
            block_border_width="0px",
            block_shadow="none",
            block_padding="0px",
            input_border_width="1px",
            input_shadow="none",
            input_shadow_focus="none",
            input_radius="10px",
            block_radius="14px",
            button_large_radius="12px",
            button_medium_radius="10px",
            button_small_radius="8px",
            button_primary_shadow="none",
            button_secondary_shadow="none",
            layout_gap="14px",
            form_gap_width="0px",
            section_header_text_weight="600",
            block_title_text_weight="600",
        )


def _hazel() -> colors.Color:
    return colors.Color(
        name="hazel",
        c50="#fdf7ef", c100="#f9ead7", c200="#f1d3ae", c300="#e8b97f", c400="#dd9a4e", c500="#c67a2b",
        c600="#a3601d", c700="#87480f", c800="#6d390a", c900="#4f2907", c950="#2f1804",
    )  # fmt: skip


def _shell() -> colors.Color:
    return colors.Color(
        name="shell",
        c50="#fffdfa", c100="#f8f4ed", c200="#f1eae0", c300="#ddd2c3", c400="#b3a392", c500="#8f7f6d",
        c600="#67594c", c700="#4a3f35", c800="#3a2f26", c900="#1f1914", c950="#15110d",
    )  # fmt: skip
