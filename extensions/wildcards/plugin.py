"""Parts of the prompt by chance: the options, what is made of a prompt, and the tab of the lists."""

from collections.abc import Sequence
from random import Random

from pydantic import Field

from modules.plugins import GenerationRequest, Host, Options, Panel, Tab, hookimpl

from .files import Lists
from .grammar import draw, has_choices, parse


class WildcardOptions(Options):
    """How parts are drawn."""

    enabled: bool = Field(
        default=False,
        title="Draw {a|b} and __lists__",
        json_schema_extra={"title_zh": "抽取 {a|b} 与 __列表__"},
    )
    each: bool = Field(
        default=True,
        title="Anew for each picture",
        description="Off: all pictures of a job have the words of the first.",
        json_schema_extra={
            "title_zh": "每张图片重新抽取",
            "description_zh": "关闭时，同一任务的所有图片使用第一张的词。",
        },
    )


class WildcardExtension:
    """Draws in the prompt and in the negative prompt."""

    def __init__(self, host: Host) -> None:
        self._lists = lists_of(host)

    @hookimpl
    def register_options(self) -> type[Options]:
        return WildcardOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [Panel(tab, "Wildcards", "通配符") for tab in ("txt2img", "img2img")]

    @hookimpl
    def register_tabs(self) -> Sequence[Tab]:
        return [Tab("Wildcards", "通配符", build="panel:build")]

    @hookimpl
    def rewrite_prompts(
        self, request: GenerationRequest, options: WildcardOptions, index: int
    ) -> tuple[str, str] | None:
        texts = (request.prompt, request.negative_prompt)
        if not any(map(has_choices, texts)):
            return None
        place = index if options.each else 0
        seed = f"{request.seed_of(place)}/{request.variation_seed_of(place)}"
        prompt, negative = (drawn(text, f"{seed}/{n}", self._lists) for n, text in enumerate(texts))
        return prompt, negative


def lists_of(host: Host) -> Lists:
    """The lists of an installation."""
    return Lists(host.data / "lists", host.folder / "lists")


def drawn(text: str, seed: str, lists: Lists) -> str:
    """What a text becomes with a seed.

    Raises:
        UserError: it is wrong, or a list is.
    """
    # A text as seed goes through SHA-512 (documented, the same in every version), and `random()` has been stable too.
    return draw(parse(text), Random(seed), lists.lines) if has_choices(text) else text
