"""How programs that speak `/sdapi/v1` call an extension: `alwayson_scripts.<title>.args`, positional or named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

Keep = Callable[[str], str]
"""Hands in a picture as clients send it (base64 or a `data:` address); its id. Raises a `UserError`."""

Part = Literal["prompt_styles", "restore_faces", "extras", "caption"]


@dataclass(frozen=True)
class Argument:
    """One positional argument, as `/sdapi/v1/script-info` tells it."""

    label: str
    value: JsonValue = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Script:
    """A title under which such programs know the extension; it and the `aliases` are found in any case.

    `read` names a function in the extension's own files that translates: `read(args, keep)` is handed what stands in
    `args`, a list or an object, and returns the extension's options by name, or None to take no part. `keep(image)`
    hands in a picture that is among them and gives its id. A `UserError` refuses the request.

    Without `read` the arguments are the options themselves: an object by their names, alone or as the only one of a
    list, or a list in the order in which they are declared. An extension that registers no script is called so, by
    its title and by its name.
    """

    title: str
    aliases: tuple[str, ...] = ()
    """Further titles; they are listed as scripts too."""
    read: str = ""
    always_on: bool = True
    """False: chosen by `script_name`, with its arguments in `script_args`."""
    args: tuple[Argument, ...] = ()
    """For people who look them up; made from the options where there is no `read`."""
    images: str = ""
    """Names a function `images(options)` whose pictures (PIL) follow the job's own in the answer, such as what a
    preprocessor made; it is called once the job is done. One that takes `receipt` is handed what your adapter kept in the
    first picture (`Adapter.receipt`), or None."""
    forgives: str = ""
    """Names a function `forgive(prompt)` that takes out of a prompt what names nothing, such as a tag of a file that is
    not here, and returns the rest with a `UserError` for each; programs of the field expect a warning there."""
    serves: tuple[Part, ...] = ()
    """Parts of the API that lead here as well, each handed to `read` as its `args`: "prompt_styles" (a list of names),
    "restore_faces" (an object with the fields of the options that say how), "extras" (the fields of
    `extra-single-image`), "caption" (an object with `model`; the job's picture has the answer as `Caption` in its text)."""

    def named(self, title: str) -> bool:
        """Whether it is meant."""
        wanted = title.strip().casefold()
        return wanted in (each.casefold() for each in (self.title, *self.aliases))


Arguments = list[Any] | Mapping[str, Any]
