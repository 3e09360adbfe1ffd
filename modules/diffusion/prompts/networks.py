r"""Tags of extra networks, `<kind:argument:argument:name=argument>`: taken out of a prompt, for whoever knows the kind.

`<lora:name:0.8>` is the best known. What a kind's arguments mean is the matter of the extension that brings it.
Spaces around a tag stay in the prompt; `\<` is the sign itself. Negative prompts have no tags: there they are text.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from modules.diffusion.prompts import comments

_START = re.compile(r"\\.|<(?P<kind>\w++):", re.DOTALL)


@dataclass(frozen=True)
class Tag:
    """One tag as it stood in a prompt."""

    kind: str
    """In small letters."""
    arguments: tuple[str, ...]
    """Those without a name, in order; the first is what the tag is about, whatever signs it has."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Those written `name=value`."""

    def __str__(self) -> str:
        named = (f"{name}={value}" for name, value in self.named.items())
        return f"<{':'.join((self.kind, *self.arguments, *named))}>"


def extract(text: str) -> tuple[str, tuple[Tag, ...]]:
    """The text without its tags, and the tags in order. Comments are already out of it. Linear in its length."""
    kept: list[str] = []
    tags: list[Tag] = []
    at = 0
    match = _START.search(text)
    while match:
        resume = match.end()
        if match["kind"]:
            end = text.find(">", resume)
            if end < 0:
                break  # nor can any later one be closed
            if end > resume:
                kept.append(text[at : match.start()])
                tags.append(_tag(match["kind"], text[resume:end]))
                at = resume = end + 1
        match = _START.search(text, resume)
    return "".join((*kept, text[at:])), tuple(tags)


def tags_of(prompts: Iterable[str]) -> tuple[tuple[Tag, ...], ...]:
    """The tags of each prompt as people wrote it: those of every prompt of a batch, not of the first alone."""
    return tuple(extract(comments.strip(prompt))[1] for prompt in prompts)


def unknown(tags: Iterable[Tag], kinds: Collection[str]) -> tuple[Tag, ...]:
    """The tags of kinds that nobody here knows: they do nothing, which the user is to be told."""
    return tuple(tag for tag in tags if tag.kind not in kinds)


def _tag(kind: str, text: str) -> Tag:
    first, *others = (part.strip() for part in text.split(":"))
    named = dict(part.split("=", 1) for part in others if "=" in part)
    return Tag(kind.lower(), (first, *(part for part in others if "=" not in part)), named)
