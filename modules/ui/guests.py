"""What a guest finds of the page: owner's tabs are not in it, and owner's functions refuse whoever calls them.

Every function of a Gradio page can be called over HTTP by its number, whether or not anything on the page does so;
hiding is no lock. So each one is refused to guests unless it stands in the list here or has an extension's mark.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from modules.errors import UserError
from modules.plugins.guests import is_for_guests
from modules.services.access import Role, identity_of
from modules.texts import LANGUAGES

FUNCTIONS = frozenset(
    {
        "submit",
        "planned",
        "shown",
        "last_seed",
        "apply_aspect",
        "apply_model",
        "recall",
        "restore",
    }
)
"""The page's own functions that guests may call: they make pictures, or fill the controls from the guest's own."""
_OWN = "modules.ui."


def lock(page: gr.Blocks) -> None:
    """Put the question who asks before every function that is not for guests."""
    for function in page.fns.values():
        if function.fn is not None and not may_guests(function.fn):
            function.fn = _for_owner(function.fn)
    for block in page.blocks.values():
        for served in getattr(block, "server_fns", ()):
            if not is_for_guests(served):
                setattr(block, served.__name__, _served_to_owner(served))


def may_guests(function: Callable[..., Any]) -> bool:
    """Whether guests may call a function of the page."""
    if is_for_guests(function):
        return True
    own = str(getattr(function, "__module__", "")).startswith(_OWN)
    return own and getattr(function, "__name__", "") in FUNCTIONS


def _for_owner(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of an event."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def pieces(*values: Any, **named: Any) -> Any:
            _only_owner()
            yield from function(*values, **named)

        return pieces
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def later(*values: Any, **named: Any) -> Any:
            _only_owner()
            return await function(*values, **named)

        return later

    @functools.wraps(function)
    def whole(*values: Any, **named: Any) -> Any:
        _only_owner()
        return function(*values, **named)

    return whole


def _served_to_owner(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that a `gr.HTML` serves: its refusal is an answer, as such functions answer what goes wrong."""

    @functools.wraps(function)
    def served(*values: Any, **named: Any) -> Any:
        return function(*values, **named) if _is_owner() else {"error": _refused()}

    return served


def _is_owner() -> bool:
    request = LocalContext.request.get(None)
    identity = None if request is None else identity_of(request)
    return identity is not None and identity.role is Role.OWNER


def _refused() -> dict[str, str]:
    error = UserError("error.api.owner_only")
    return {language: error.message(language) for language in LANGUAGES}


def _only_owner() -> None:
    if not _is_owner():
        # Gradio shows one text and the server does not know in which language: both.
        raise gr.Error(" / ".join(_refused().values()), print_exception=False)


# ---------------------------------------------------------------------------------------------------- the layout


def without(config: Mapping[str, Any], tabs: Collection[str]) -> dict[str, Any]:
    """Gradio's description of the page without the tabs of these ids, and without what hangs on them."""
    gone: set[int] = set()
    away = {
        component["id"]
        for component in config["components"]
        if component["type"] == "tabitem" and component["props"].get("id") in tabs
    }
    layout = _cut(config["layout"], away, gone)
    dependencies = [each for each in config["dependencies"] if not gone & set(_used(each))]
    kept = {each["id"] for each in dependencies}
    return {
        **config,
        "layout": layout,
        "components": [each for each in config["components"] if each["id"] not in gone],
        "dependencies": dependencies,
        "page": {
            name: {
                **page,
                "layout": _cut(page["layout"], away, gone),
                "components": [each for each in page["components"] if each not in gone],
                "dependencies": [each for each in page["dependencies"] if each in kept],
            }
            for name, page in config["page"].items()
        },
    }


def _cut(node: Mapping[str, Any], away: Collection[int], gone: set[int]) -> dict[str, Any]:
    kept = []
    for child in node.get("children", ()):
        if child["id"] in away:
            gone.update(_ids(child))
        else:
            kept.append(_cut(child, away, gone))
    return {**node, **({"children": kept} if "children" in node else {})}


def _ids(node: Mapping[str, Any]) -> Iterator[int]:
    yield node["id"]
    for child in node.get("children", ()):
        yield from _ids(child)


def _used(dependency: Mapping[str, Any]) -> Iterator[int]:
    yield from (target for target, *_ in dependency["targets"] if target is not None)
    yield from dependency["inputs"]
    yield from dependency["outputs"]
