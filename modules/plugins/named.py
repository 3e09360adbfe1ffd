"""An adapter under the eye of the core: its errors name it, its promises are checked.

What it hands back must have the shape that it was given, and the model must be as it was once it has left.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.parts import Parts
from modules.errors import ModelLeftChangedError, UserError
from modules.plugins.blame import blame, broke_promise
from modules.plugins.inside import Inside

if TYPE_CHECKING:
    from modules.diffusion.seal import Seal


_TENSORS = ("latents", "model_input", "conditioning", "denoised")
_FREE = {"conditioning": 1}
"""The dimension in which a replacement may differ: the number of tokens."""

MOST_TEXT = 4000
"""Characters of one parameter of a picture's text."""
MOST_RECEIPT = 64_000
"""Characters of a receipt."""
MOST_WARNINGS = 10
"""Of one adapter."""
TAKEN = frozenset(
    {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "Version"}
)
"""Parameters that say how to make the picture again; no extension may say otherwise."""
_PARAMETER = re.compile(r"\w[\w \-/]{1,63}", re.ASCII)


class NamedAdapter(Adapter):
    """Passes every call on to `inner`; what goes wrong inside becomes an `ExtensionError`."""

    def __init__(self, extension: str, inner: Adapter, inside: Inside) -> None:
        if not isinstance(inner, Adapter):
            raise broke_promise(
                extension,
                "prepare_generation",
                "type",
                wanted="Adapter",
                found=type(inner).__name__,
            )
        self.name = extension
        self.order = inner.order
        if hasattr(inner, "text_key"):
            self.text_key = inner.text_key
        self._inner = inner
        self._inside = inside

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """Enter and leave `inner`; an error of the generation in between stays the generation's.

        Raises:
            ModelLeftChangedError: it left the model changed.
        """
        from modules.diffusion.seal import seal  # torch: only the worker comes here

        before = seal(parts)
        with self._blamed("applied"):
            change = self._inner.applied(parts)
            if not hasattr(change, "__exit__"):
                found = type(change).__name__
                raise broke_promise(
                    self.name, "applied", "type", wanted="context manager", found=found
                )
            change.__enter__()
        try:
            yield
        except BaseException as error:
            try:
                with self._blamed("applied"):
                    change.__exit__(type(error), error, error.__traceback__)
            finally:
                if not isinstance(error, ModelLeftChangedError):  # that was one further inside
                    left_as_it_was(self.name, before, parts, "applied")
            raise
        else:
            with self._blamed("applied"):
                change.__exit__(None, None, None)
            left_as_it_was(self.name, before, parts, "applied")

    def before_model(self, step: Step) -> None:
        """See `Adapter`."""
        self._call("before_model", step)

    def after_guidance(self, step: Step) -> None:
        """See `Adapter`."""
        self._call("after_guidance", step)

    def after_step(self, step: Step) -> None:
        """See `Adapter`."""
        self._call("after_step", step)

    def warnings(self) -> Sequence[UserError]:
        """See `Adapter`; the first `MOST_WARNINGS`."""
        with self._blamed("warnings"):
            found = list(self._inner.warnings())
        wrong = [type(each).__name__ for each in found if not isinstance(each, UserError)]
        if wrong:
            raise self._wrong("warnings", "Sequence[UserError]", wrong[0])
        return found[:MOST_WARNINGS]

    def infotext(self) -> Mapping[str, str]:
        """See `Adapter`; keys and values are text."""
        with self._blamed("infotext"):
            found = self._inner.infotext()
        pairs = found.items() if isinstance(found, Mapping) else [(None, None)]
        if not all(isinstance(part, str) for pair in pairs for part in pair):
            raise self._wrong("infotext", "Mapping[str, str]", found)
        wrong = [key for key in found if not _PARAMETER.fullmatch(key) or key in TAKEN]
        if wrong:
            raise self._wrong("infotext", "a free parameter name", wrong[0])
        return {key: value[:MOST_TEXT] for key, value in found.items()}

    def receipt(self) -> JsonValue:
        """See `Adapter`; plain JSON of a bounded size."""
        with self._blamed("receipt"):
            found = self._inner.receipt()
        try:
            text = json.dumps(found, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._wrong("receipt", "plain JSON", found) from error
        if len(text) > MOST_RECEIPT:
            raise self._wrong("receipt", f"at most {MOST_RECEIPT} characters", f"{len(text)}")
        answer: JsonValue = json.loads(text)
        return answer

    def _wrong(self, hook: str, wanted: str, found: object) -> Exception:
        said = found if isinstance(found, str) else type(found).__name__
        return broke_promise(self.name, hook, "type", wanted=wanted, found=said)

    def _call(self, method: str, step: Step) -> None:
        given = {name: _facts(getattr(step, name, None)) for name in _TENSORS}
        request, extras = step.request, repr(step.request.extras)
        with self._blamed(method):
            answer = getattr(self._inner, method)(step)
        if answer is not None:
            raise broke_promise(
                self.name, method, "type", wanted="None", found=type(answer).__name__
            )
        if step.request is not request or repr(request.extras) != extras:
            raise broke_promise(
                self.name, method, "request"
            )  # the picture's text would not be true
        for name, facts in given.items():
            found = _facts(getattr(step, name, None))
            if facts is not None and not _fits(facts, found, _FREE.get(name)):
                raise broke_promise(
                    self.name, method, "shape", what=name, wanted=_say(facts), found=_say(found)
                )

    @contextmanager
    def _blamed(self, hook: str) -> Iterator[None]:
        with self._inside(self.name, hook), blame(self.name):
            yield


def left_as_it_was(extension: str, before: "Seal", parts: Parts, hook: str) -> None:
    """Compare with a seal that was taken before.

    Raises:
        ModelLeftChangedError: names the extension and the place.
    """
    from modules.diffusion.seal import seal

    place = before.difference(seal(parts))
    if place is not None:
        error = broke_promise(extension, hook, "undo", place=place)
        raise ModelLeftChangedError(error.key, **error.values)


def _facts(value: Any) -> tuple[tuple[int, ...], str, str] | None:
    shape = getattr(value, "shape", None)
    if shape is None:
        return None
    return tuple(shape), str(getattr(value, "dtype", "")), str(getattr(value, "device", ""))


def _fits(
    given: tuple[tuple[int, ...], str, str],
    found: tuple[tuple[int, ...], str, str] | None,
    free: int | None,
) -> bool:
    if found is None or given[1:] != found[1:] or len(given[0]) != len(found[0]):
        return False
    return all(
        mine == other or place == free
        for place, (mine, other) in enumerate(zip(given[0], found[0], strict=True))
    )


def _say(facts: tuple[tuple[int, ...], str, str] | None) -> str:
    if facts is None:
        return "-"
    return f"{list(facts[0])} {facts[1].removeprefix('torch.')}"
