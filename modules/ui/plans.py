"""Buttons of extensions' panels that queue pictures: what a click does, and the place where they show."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.errors import UserError
from modules.plugins.action import Action, Plan
from modules.ui.bind import to_request
from modules.ui.bridge import answer, bare, refusal
from modules.ui.fields import Tab
from modules.ui.i18n import panel_text
from modules.ui.visitor import Visitors

if TYPE_CHECKING:
    from modules.services.front import Studio

_SEEDS = 2**32


@dataclass(frozen=True)
class PlanButton:
    """A button with what it asks the extension for."""

    extension: str
    action: Action
    button: gr.Button
    plan: Plan


def build_buttons(tab: Tab, extension: str, plans: dict[Action, Plan]) -> list[PlanButton]:
    """The buttons, inside the panel, and below them the place that `plans.js` fills."""
    if not plans:
        return []
    with gr.Row(elem_classes="nz-plan-buttons"):
        made = [
            PlanButton(
                extension,
                action,
                gr.Button(
                    panel_text(extension, "action", action.name),
                    size="sm",
                    elem_id=tab.id(f"plan-{extension}-{action.name}"),
                ),
                plan,
            )
            for action, plan in plans.items()
        ]
    bare(f'<section id="{tab.id(f"plans-{extension}")}" class="nz-plan"></section>')
    return made


def click(studio: "Studio", row: PlanButton) -> Callable[..., dict[str, Any]]:
    """What the button does: the extension plans, and what it has planned is queued, all or none."""

    def planned(request: gr.Request, **values: Any) -> dict[str, Any]:
        try:
            asked = to_request(values)
            client = Visitors.client(request)
            studio.inputs.of(client).check(asked)  # before the extension sees it
            if asked.seed < 0:  # one for all, so that they differ in what was planned alone
                asked = asked.replace(seed=secrets.randbelow(_SEEDS))
            cells = row.plan(asked)
            jobs = studio.submit_all([cell.request for cell in cells], client)
        except UserError as error:
            return refusal(error)
        shown = [
            {"job": job.id, "labels": list(cell.labels)}
            for job, cell in zip(jobs, cells, strict=True)
        ]
        return answer(
            "submitted",
            job=jobs[0].id,
            count=len(jobs),
            skipped=[],
            left=0,
            plan={"extension": row.extension, "action": row.action.name, "cells": shown},
        )

    return planned
