"""Styles: texts that people keep and put around their prompts, as in the A1111 family's styles.csv."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modules.diffusion.prompts import comments
from modules.errors import LimitError

PLACE = "{prompt}"
"""Where a style's text has this, the prompt goes there, each time; else the text goes after the prompt."""

MAX_LENGTH = 1_000_000
"""Characters: a row of styles that each name the prompt twice would otherwise grow without end."""


@dataclass(frozen=True)
class Style:
    """What a style adds to either prompt; an empty text adds nothing."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


def apply(prompt: str, texts: Iterable[str]) -> str:
    """The prompt with the styles' texts around it, one after the other.

    Raises:
        LimitError: the result would be longer than `MAX_LENGTH`.
    """
    for text in texts:
        if comments.ends_open(prompt):
            prompt += "\n"
        if PLACE in text:
            length = len(text) + text.count(PLACE) * (len(prompt) - len(PLACE))
            if length <= MAX_LENGTH:
                prompt = text.replace(PLACE, prompt)
        else:
            length = len(prompt) + len(text) + 2
            prompt = ", ".join(part for part in (prompt.strip(" "), text.strip()) if part)
        if length > MAX_LENGTH:
            raise LimitError("error.limit.prompt", field="prompt", found=length, most=MAX_LENGTH)
    return prompt


def detect(
    prompt: str, negative_prompt: str, styles: Sequence[Style]
) -> tuple[str, str, tuple[str, ...]]:
    """Take styles out of prompts that they were applied to: both prompts without them, and the styles' names.

    Names come in the order in which the styles were applied, as far as it matters. A style counts if both its texts are there; one
    without any text never does.
    """
    found: list[str] = []
    while True:
        for style in styles:
            if not (style.prompt.strip() or style.negative_prompt.strip()):
                continue
            first = _without(prompt, style.prompt)
            second = _without(negative_prompt, style.negative_prompt)
            if (
                first is not None
                and second is not None
                and (first, second) != (prompt, negative_prompt)
            ):
                prompt, negative_prompt = first, second
                found.append(style.name)
                break
        else:
            return prompt, negative_prompt, tuple(reversed(found))


def _without(prompt: str, text: str) -> str | None:
    """The prompt that becomes `prompt` when `text` is applied, if there is one."""
    text = text.strip()
    if not text:
        return prompt
    if PLACE not in text:
        if prompt.strip() == text:
            return ""
        rest = prompt.rstrip().removesuffix(text)
        return (
            rest.rstrip()[:-1] if rest != prompt.rstrip() and rest.rstrip().endswith(",") else None
        )
    before, _, after = text.partition(PLACE)
    whole = prompt.strip()
    if PLACE in after:  # named several times: where the first one ends is known from the lengths
        times = text.count(PLACE)
        length, over = divmod(len(whole) - len(text) + times * len(PLACE), times)
        inner = whole[len(before) : len(before) + length] if over == 0 and length >= 0 else None
        return inner if inner is not None and text.replace(PLACE, inner) == whole else None
    if len(whole) < len(before) + len(after):
        return None
    if whole.startswith(before) and whole.endswith(after):
        return whole[len(before) : len(whole) - len(after)]
    return None
