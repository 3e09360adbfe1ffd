"""Buttons of panels: what an extension plans is looked at, and what goes wrong has its name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modules.errors import ExtensionError, UserError
from modules.plugins import Action, Planned
from modules.plugins.manager import FAILED, Plugins
from modules.schema import GenerationRequest
from tests.plugins.write import write

PLUGIN = """
from modules.plugins import Action, Options, Panel, hookimpl
class Extension:
    @hookimpl
    def register_options(self):
        return Options
    @hookimpl
    def register_panels(self):
        return [Panel("txt2img", "Echo", actions=(Action("go", "Go", run="{run}"),))]
"""
GOOD = """
from modules.plugins import Planned
def run(request):
    return [Planned(request.replace(steps=steps), (str(steps),)) for steps in (3, 5)]
"""


def planned(folder: Path, code: str) -> Callable[[], tuple[Planned, ...]]:
    write(folder, "echo", PLUGIN.replace("{run}", "actions:run"))
    (folder / "echo" / "actions.py").write_text(code, encoding="utf-8")
    plugins = Plugins.load(folder)
    action: Action = plugins.panels("txt2img")[0].panel.actions[0]
    return lambda: plugins.plan("echo", action, GenerationRequest(seed=1))


def test_a_plan_is_requests_under_labels(tmp_path: Path) -> None:
    found = planned(tmp_path, GOOD)()
    assert [(each.request.steps, each.labels) for each in found] == [(3, ("3",)), (5, ("5",))]


@pytest.mark.parametrize(
    "body",
    [
        "return 3",
        "return []",
        "return [request]",
        "return [Planned(request, (1,))]",
        "return [Planned(request)] * 101",
        "raise RuntimeError('no')",
    ],
)
def test_what_is_no_plan_is_refused_by_name(body: str, tmp_path: Path) -> None:
    code = f"from modules.plugins import Planned\ndef run(request):\n    {body}"
    with pytest.raises(ExtensionError, match="echo"):
        planned(tmp_path, code)()


def test_its_own_words_are_shown_as_they_stand(tmp_path: Path) -> None:
    code = "from modules.plugins import problem\ndef run(request):\n    raise problem('Two.', '二')"
    with pytest.raises(UserError) as caught:
        planned(tmp_path, code)()
    assert (caught.value.message("en"), caught.value.message("zh")) == ("Two.", "二")


def test_an_action_that_names_nothing_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, "echo", PLUGIN.replace("{run}", "no such thing"))
    (report,) = Plugins.load(tmp_path).reports
    assert report.state == FAILED
