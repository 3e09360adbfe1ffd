"""An error in any hook, those of later versions of the contract included: a line with its reason, and the rest works."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from modules.errors import ExtensionError, UserError
from modules.plugins.hookspecs import PAGE_HOOKS, WORKER_HOOKS, Hooks
from modules.plugins.manager import ACTIVE, FAILED, Plugins
from modules.schema import Finished, GenerationRequest
from tests.plugins.write import write

ARGUMENTS = {
    "on_event": "event",
    "read_parameters": "parameters",
    "rewrite_prompts": "request, options, index",
    "lay_out": "request, options",
    "check_request": "request, options",
    "prepare_generation": "request, options, parts",
    "register_finishers": "request, options",
}
AT_WORK = frozenset(ARGUMENTS)
"""Hooks that are called during a job; all others are called when the extension is loaded."""
PARTS = SimpleNamespace()
"""A model without parts: it is the hook that is tried."""
GOOD = """
from modules.plugins import Options, hookimpl

class Extension:
    @hookimpl
    def register_options(self):
        return Options
"""


def failing(hook: str) -> str:
    arguments = ", ".join(["self", *filter(None, [ARGUMENTS.get(hook)])])
    code = GOOD if hook != "register_options" else GOOD.split("    @hookimpl")[0]
    return code + f"    @hookimpl\n    def {hook}({arguments}):\n        raise KeyError('fault')\n"


def test_every_hook_is_tried() -> None:
    hooks = {name for name in vars(Hooks) if not name.startswith("_")}
    assert hooks == {*PAGE_HOOKS, *WORKER_HOOKS}
    assert hooks >= AT_WORK


@pytest.mark.parametrize("hook", sorted({*PAGE_HOOKS, *WORKER_HOOKS}))
def test_an_error_in_a_hook_is_told_by_name_and_the_rest_works(
    hook: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "broken", failing(hook))
    write(tmp_path, "sound", GOOD)
    plugins = Plugins.load(tmp_path)
    try:
        sound = GenerationRequest(prompt="a cat", seed=1, extras={"sound": {"enabled": True}})
        assert plugins.rewritten(plugins.check(sound), 0).prompt == "a cat"
        plugins.check_request(sound, "sd1")
        assert plugins.finishers_for(sound) == []
        assert plugins.adapters_for(sound, PARTS) == []
        reports = {report.name: report for report in plugins.reports}
        assert reports["sound"].state == ACTIVE
        if hook not in AT_WORK:
            assert reports["broken"].state == FAILED
            assert "broken" in str(reports["broken"].reason)
            assert "KeyError" in str(reports["broken"].reason)
            with pytest.raises(UserError, match="broken"):
                plugins.check(GenerationRequest(extras={"broken": {"enabled": True}}))
            return
        asked = plugins.check(GenerationRequest(prompt="x", extras={"broken": {"enabled": True}}))
        if hook == "on_event":
            plugins.publish(Finished(job_id=1))
            assert "broken failed in on_event" in caplog.text
            return
        act = {
            "read_parameters": lambda: plugins.read_parameters({"Key": "value"}),
            "rewrite_prompts": lambda: plugins.rewritten(asked, 0),
            "lay_out": lambda: plugins.lay_out(asked, (), 9),
            "check_request": lambda: plugins.check_request(asked, "sd1"),
            "prepare_generation": lambda: plugins.adapters_for(asked, PARTS),
            "register_finishers": lambda: plugins.finishers_for(asked),
        }[hook]
        with pytest.raises(ExtensionError, match=r"broken failed: KeyError: 'fault'"):
            act()
    finally:
        plugins.close()
