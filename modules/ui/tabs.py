"""The tabs that extensions bring, with their functions."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules.errors import UserError
from modules.plugins.blame import blame, failed
from modules.plugins.limit import Hung, limited
from modules.plugins.manager import Plugins
from modules.plugins.tab import Tab
from modules.texts import LANGUAGES
from modules.ui.i18n import tab_key
from modules.ui.own_words import OwnWords

log = logging.getLogger(__name__)

CALL_SECONDS = 60.0


@dataclass(frozen=True)
class OwnTabs:
    """What the tabs of extensions came to."""

    texts: Mapping[str, Mapping[str, str]]
    """What they say, by language and key."""
    owners: frozenset[str]
    """Ids of those that are the owner's alone."""


def build_tabs(plugins: Plugins, page: gr.Blocks) -> OwnTabs:
    """Mount every tab, inside the page's `gr.Tabs`.

    An extension whose tab fails is switched off with its reason; the page goes on without it.
    """
    texts: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    owners = set()
    for number, (name, tab) in enumerate(plugins.tabs()):
        words = _Words(name, number, tab)
        try:
            _build(plugins, name, tab, words, page)
        except UserError as error:
            plugins.drop(name, error)
        except Exception as error:  # an extension may raise anything; its name is blamed
            log.exception("the tab of %s failed", name)
            plugins.drop(name, failed(name, error))
        else:
            for language, more in words.texts.items():
                texts[language] |= more
            if not tab.guests:
                owners.add(_id(name, words))
    return OwnTabs(texts, frozenset(owners))


class _Words(OwnWords):
    """The words of a tab, its title among them."""

    def __init__(self, extension: str, number: int, tab: Tab) -> None:
        super().__init__(tab_key(extension, str(number)))
        self.title = self(tab.title, tab.title_zh)


def _id(name: str, words: _Words) -> str:
    return f"{name}-{words.title.key}"


def _build(plugins: Plugins, name: str, tab: Tab, words: _Words, page: gr.Blocks) -> None:
    builder = plugins.builder(name, tab.build)
    before = set(page.fns)
    made = gr.Tab(words.title, id=_id(name, words), elem_id=f"nz-tab-{name}")
    try:
        # In this thread: Gradio keeps what is being laid out in variables of the thread.
        with made, gr.Column(elem_classes="nz-page nz-extension"), blame(name):
            builder(words)
    except BaseException:
        for number in set(page.fns) - before:
            del page.fns[number]
        made.unrender()  # half a tab would be worse than none
        raise
    for number in set(page.fns) - before:
        function = page.fns[number]
        if function.fn is not None:
            function.queue = True  # outside its queue Gradio shows an error without its words
            function.fn = _guarded(name, plugins, function.fn)
            function.name = f"{name}_{function.name}"
            if isinstance(function.api_name, str):
                function.api_name = f"{name}_{function.api_name}"


def _guarded(name: str, plugins: Plugins, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function: refused while its extension is off, its errors shown by name, cut when it hangs."""

    def checked() -> None:
        if not plugins.is_active(name):
            raise _shown(plugins.why_not(name))

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def pieces(*values: Any, **named: Any) -> Any:
            checked()
            try:
                with _own_words(name):
                    yield from function(*values, **named)
            except UserError as error:
                raise _shown(error) from error

        return pieces

    @functools.wraps(function)
    def whole(*values: Any, **named: Any) -> Any:
        checked()

        def call() -> Any:
            with _own_words(name):
                return function(*values, **named)

        try:
            return limited(call, CALL_SECONDS)
        except Hung as error:
            log.error("%s hung in a function of its tab:\n%s", name, error.stack)
            hung = {"extension": name, "hook": function.__name__, "seconds": error.seconds}
            raise _shown(UserError("error.extension.hung", **hung)) from error
        except UserError as error:
            log.warning("%s", error, exc_info=error.__cause__)
            raise _shown(error) from error

    return whole


@contextmanager
def _own_words(name: str) -> Iterator[None]:
    """What it says to its user is shown as it stands; what else it raises with its name."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise failed(name, error) from error


def _shown(error: UserError) -> gr.Error:
    # Gradio shows one text and the server does not know in which language: both.
    return gr.Error(
        " / ".join(error.message(language) for language in LANGUAGES), print_exception=False
    )
