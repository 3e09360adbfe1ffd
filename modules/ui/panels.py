"""The accordions of extensions: made from their typed options, or by their own function."""

import functools
import logging
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import annotated_types
import gradio as gr
from gradio.components import Component
from gradio.i18n import I18nData
from pydantic.fields import FieldInfo

from modules.errors import UserError
from modules.imaging.upscale import PLAIN
from modules.plugins.action import Action, Plan
from modules.plugins.axis import Axis
from modules.plugins.blame import failed
from modules.plugins.manager import MountedPanel, Plugins
from modules.texts import LANGUAGES
from modules.ui import written
from modules.ui.bind import GROUPS, field_name
from modules.ui.fields import Tab
from modules.ui.i18n import panel_key, panel_text
from modules.ui.own_words import OwnWords
from modules.ui.plans import PlanButton, build_buttons
from modules.ui.written import WrittenButton

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Panels:
    """What the panels of a tab have laid out."""

    fields: dict[str, Component]
    """Controls by field name (`freeu__scale`)."""
    plans: tuple[PlanButton, ...]
    """Buttons that queue pictures."""
    written: tuple[WrittenButton, ...]
    """Buttons that show what becomes of the prompts."""
    texts: Mapping[str, Mapping[str, str]]
    """The panels' own words, by language and key."""


def build_panels(plugins: Plugins, tab: Tab, axes: Callable[[], Sequence[Axis]] = tuple) -> Panels:
    """Mount every panel of `tab`; `axes` is what a grid can vary, for those that ask for it.

    An extension whose panel fails is switched off with its reason; the page goes on without it.
    """
    controls: dict[str, Component] = {}
    plans: list[PlanButton] = []
    writers: list[WrittenButton] = []
    texts: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for mounted in plugins.panels(tab.name):
        try:
            made = _build(plugins, mounted, tab, axes)
            controls |= made.fields
            plans += made.plans
            writers += made.written
            for language, more in made.texts.items():
                texts[language] |= more
        except UserError as error:
            plugins.drop(mounted.extension, error)
        except Exception as error:  # an extension may raise anything; its name is blamed
            log.exception("the panel of %s failed", mounted.extension)
            plugins.drop(mounted.extension, failed(mounted.extension, error))
    return Panels(controls, tuple(plans), tuple(writers), texts)


def panel_names(plugins: Plugins, tab: Tab) -> tuple[str, ...]:
    """The extensions that have a panel there; after `build_panels`, which drops those that fail."""
    return tuple(mounted.extension for mounted in plugins.panels(tab.name))


def _build(
    plugins: Plugins, mounted: MountedPanel, tab: Tab, axes: Callable[[], Sequence[Axis]]
) -> Panels:
    name = mounted.extension
    if name in GROUPS:
        raise UserError("error.extension.reserved", extension=name, taken=", ".join(GROUPS))
    words = OwnWords(panel_key(name, tab.name, "own"))
    builder = plugins.panel_builder(mounted, axes=axes, t=words)
    accordion = gr.Accordion(
        panel_text(name),
        open=mounted.panel.open,
        elem_id=tab.id(f"panel-{name}"),
        elem_classes="nz-panel nz-extension",
    )
    try:
        with accordion:
            made = dict(builder(mounted.options)) if builder else _controls(plugins, mounted)
            _check(mounted, made)
            plans: dict[Action, Plan] = {
                action: functools.partial(plugins.plan, name, action)
                for action in mounted.panel.actions
            }
            buttons = build_buttons(tab, name, plans)
            writer = [written.build(tab, name)] if plugins.writes(name) else []
    except BaseException:
        accordion.unrender()  # half a panel would be worse than none
        raise
    controls = {field_name(name, option): control for option, control in made.items()}
    return Panels(controls, tuple(buttons), tuple(writer), words.texts)


def _check(mounted: MountedPanel, made: Mapping[str, Component]) -> None:
    unknown = sorted(made.keys() - mounted.options.model_fields.keys())
    if unknown:
        raise UserError(
            "error.extension.panel_field", extension=mounted.extension, found=", ".join(unknown)
        )


def _controls(plugins: Plugins, mounted: MountedPanel) -> dict[str, Component]:
    name, fields = mounted.extension, mounted.options.model_fields
    upscalers = [*(row.name for row in PLAIN), *plugins.upscalers_of(name)]
    return {field: control_for(name, field, info, upscalers) for field, info in fields.items()}


def control_for(
    extension: str, name: str, info: FieldInfo, upscalers: Sequence[str] = ()
) -> Component:
    """The control that fits a field's type and bounds.

    A text whose `json_schema_extra` has `"choices_of": "upscalers"` is chosen from `upscalers`; another may be typed in.

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
    if kind is str and extra.get("choices_of") == "upscalers":
        return gr.Dropdown(list(upscalers), value=default, allow_custom_value=True, **common)
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
