"""Finding the extension that a script's title means, and its options in what a client sent for it."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from pydantic import BaseModel, JsonValue

from modules.errors import UnknownNameError, UserError
from modules.plugins.asking import asked
from modules.plugins.blame import broke_promise
from modules.plugins.finisher import picture_from
from modules.plugins.manager import Plugins
from modules.plugins.options import Options
from modules.plugins.script import Argument, Arguments, Keep, Part, Script

MOST_IMAGES = 32


@dataclass(frozen=True)
class Called:
    """An extension as clients call it."""

    extension: str
    script: Script
    options: type[Options]

    @property
    def args(self) -> tuple[Argument, ...]:
        """Its positional arguments."""
        if self.script.read or self.script.args:
            return self.script.args
        schema = self.options.model_json_schema()["properties"]
        return tuple(_argument(name, schema[name]) for name in self.options.model_fields)


class Scripts:
    """The scripts of the extensions that are active at the moment of the call."""

    def __init__(self, plugins: Plugins | None) -> None:
        self._plugins = plugins

    def all(self) -> tuple[Called, ...]:
        """Each, in the order of the extensions' names."""
        if self._plugins is None:
            return ()
        options = self._plugins.options
        rows = self._plugins.scripts()
        return tuple(Called(name, row, options[name]) for name, row in rows if name in options)

    def find(self, title: str, *, always_on: bool) -> Called:
        """The one of that title, in any case.

        Raises:
            UnknownNameError: there is none.
            UserError: it is of the other sort.
        """
        rows = self.all()
        for called in rows:
            if called.script.named(title):
                if always_on and not called.script.always_on:
                    raise UserError("error.script.selectable", found=title)
                return called
        known = ", ".join(each.script.title for each in rows) or "–"
        raise UnknownNameError("error.script.unknown", found=title[:200], known=known)

    def serving(self, part: Part) -> Called | None:
        """The one that takes care of a part of the API, or None."""
        return next((each for each in self.all() if part in each.script.serves), None)

    def read(self, called: Called, args: Arguments, keep: Keep) -> Mapping[str, JsonValue] | None:
        """The options in the arguments; None: it takes no part.

        Raises:
            UserError: what is wrong with them.
            ExtensionError: it failed by itself.
        """
        if not called.script.read:
            return _named(called, args)
        read = self._part(called, called.script.read)
        found = asked(called.extension, called.script.read, lambda: read(args, keep))
        if found is not None and not isinstance(found, Mapping):
            raise broke_promise(
                called.extension,
                called.script.read,
                "type",
                wanted="Mapping | None",
                found=type(found).__name__,
            )
        return found

    def forgive(self, prompt: str) -> tuple[str, list[UserError]]:
        """The prompt without what names nothing, and a word about each.

        Raises:
            ExtensionError: one of those who were asked failed.
        """
        told: list[UserError] = []
        for called in self.all():
            entry = called.script.forgives
            if entry:
                ask = functools.partial(self._part(called, entry), prompt)
                found = asked(called.extension, entry, ask)
                match found:
                    case (str(rest), list(reasons)):
                        prompt = rest
                        told += [each for each in reasons if isinstance(each, UserError)]
                    case _:
                        raise broke_promise(
                            called.extension,
                            entry,
                            "type",
                            wanted="tuple[str, list[UserError]]",
                            found=type(found).__name__,
                        )
        return prompt, told

    def images(
        self, called: Called, options: Options, receipt: JsonValue = None
    ) -> tuple[Image.Image, ...]:
        """The pictures that follow the job's own; `receipt` is what the extension kept in the first of those.

        Raises:
            ExtensionError: it failed.
        """
        if not called.script.images:
            return ()
        make = self._part(called, called.script.images, receipt=receipt)
        found = asked(called.extension, called.script.images, lambda: list(make(options)))
        return tuple(
            picture_from(called.extension, called.script.images, each)
            for each in found[:MOST_IMAGES]
        )

    def _part(self, called: Called, entry: str, **offered: Any) -> Any:
        assert self._plugins is not None  # there would be nothing to call
        return self._plugins.builder(called.extension, entry, **offered)


def _named(called: Called, args: Arguments) -> Mapping[str, JsonValue] | None:
    """The options of one that has no translation of its own; to be named at all switches it on."""
    if isinstance(args, Mapping):
        return {"enabled": True, **args}
    if not args:
        return None
    if len(args) == 1 and isinstance(args[0], Mapping):
        return {"enabled": True, **args[0]}
    names = list(called.options.model_fields)
    if len(args) > len(names):
        raise UserError(
            "error.script.args", found=len(args), most=len(names), script=called.script.title
        )
    return dict(zip(names, args, strict=False))


def _argument(name: str, schema: Mapping[str, Any]) -> Argument:
    choices = schema.get("enum")
    return Argument(
        label=name,
        value=_plain(schema.get("default")),
        minimum=schema.get("minimum", schema.get("exclusiveMinimum")),
        maximum=schema.get("maximum", schema.get("exclusiveMaximum")),
        step=schema.get("step"),
        choices=tuple(map(str, choices)) if isinstance(choices, Sequence) else None,
    )


def _plain(value: Any) -> JsonValue:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
