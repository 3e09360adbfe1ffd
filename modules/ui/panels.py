"""The accordions of extensions: made from their typed options, or by their own function."""

import logging
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import annotated_types
import gradio as gr
from gradio.components import Component
from gradio.i18n import I18nData
from pydantic.fields import FieldInfo

from modules.errors import ExtensionError, UserError
from modules.plugins.manager import MountedPanel, Plugins
from modules.ui.bind import field_name
from modules.ui.i18n import panel_text

log = logging.getLogger(__name__)


def build_panels(plugins: Plugins, tab: str) -> dict[str, Component]:
    """Mount every panel of `tab` and return its controls by field name (`freeu__scale`).

    An extension whose panel fails is switched off with its reason; the page goes on without it.
    """
    controls: dict[str, Component] = {}
    for mounted in plugins.panels(tab):
        try:
            controls |= _build(plugins, mounted)
        except UserError as error:
            plugins.drop(mounted.extension, error)
        except Exception as error:  # an extension may raise anything; its name is blamed
            log.exception("the panel of %s failed", mounted.extension)
            plugins.drop(
                mounted.extension,
                ExtensionError(
                    "error.extension.failed", extension=mounted.extension, why=repr(error)
                ),
            )
    return controls


def _build(plugins: Plugins, mounted: MountedPanel) -> dict[str, Component]:
    name = mounted.extension
    builder = plugins.panel_builder(mounted)
    accordion = gr.Accordion(
        panel_text(name),
        open=mounted.panel.open,
        elem_id=f"nz-panel-{name}",
        elem_classes="nz-panel nz-extension",
    )
    try:
        with accordion:
            made = dict(builder(mounted.options)) if builder else _controls(mounted)
            _check(mounted, made)
    except BaseException:
        accordion.unrender()  # half a panel would be worse than none
        raise
    return {field_name(name, option): control for option, control in made.items()}


def _check(mounted: MountedPanel, made: Mapping[str, Component]) -> None:
    unknown = sorted(made.keys() - mounted.options.model_fields.keys())
    if unknown:
        raise UserError(
            "error.extension.panel_field", extension=mounted.extension, found=", ".join(unknown)
        )


def _controls(mounted: MountedPanel) -> dict[str, Component]:
    fields = mounted.options.model_fields
    return {name: control_for(mounted.extension, name, info) for name, info in fields.items()}


def control_for(extension: str, name: str, info: FieldInfo) -> Component:
    """The control that fits a field's type and bounds.

    Raises:
        UserError: for a type that no control fits; such an extension brings its own panel.
    """
    kind, optional = _plain(info.annotation)
    extra: Mapping[str, Any] = (
        info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    )
    label = panel_text(extension, name)
    hint: I18nData | None = panel_text(extension, name, "hint") if info.description else None
    default = info.get_default(call_default_factory=True) if not info.is_required() else None
    common: dict[str, Any] = {"label": label, "info": hint, "elem_classes": "nz-field"}
    if kind is bool:
        return gr.Checkbox(value=bool(default), **common)
    if kind in (int, float):
        return _number(kind, info, extra, default, optional, common)
    choices = _choices(kind) or extra.get("choices")
    if choices:
        value = default.value if isinstance(default, Enum) else default
        return gr.Dropdown(choices=list(choices), value=value, **common)
    if kind is str:
        return gr.Textbox(value=default or "", lines=int(extra.get("lines", 1)), **common)
    raise UserError("error.extension.panel_type", extension=extension, option=name, found=str(kind))


def _number(
    kind: type,
    info: FieldInfo,
    extra: Mapping[str, Any],
    default: Any,
    optional: bool,
    common: dict[str, Any],
) -> Component:
    low = _bound(info, annotated_types.Ge, "ge")
    high = _bound(info, annotated_types.Le, "le")
    whole = kind is int
    if low is None or high is None or optional:
        return gr.Number(value=default, precision=0 if whole else None, **common)
    step = extra.get("step") or (1 if whole else round((high - low) / 100, 4) or 0.01)
    return gr.Slider(low, high, value=default, step=step, buttons=[], **common)


def _bound(info: FieldInfo, kind: type, attribute: str) -> float | None:
    for piece in info.metadata:
        if isinstance(piece, kind):
            return float(getattr(piece, attribute))
    return None


def _plain(annotation: Any) -> tuple[Any, bool]:
    """`X | None` -> (X, True)."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        if len(kinds) == 1:
            return kinds[0], True
    return annotation, False


def _choices(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return []
