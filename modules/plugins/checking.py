"""What extensions say to a request: whether their options are right, and what becomes of its words and its pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from modules.diffusion.prompts.networks import tags_of
from modules.errors import UserError
from modules.plugins.asking import ACTION_SECONDS, asked, hung
from modules.plugins.axis import Axis
from modules.plugins.blame import broke_promise, failed
from modules.plugins.catalogue import Catalogue
from modules.plugins.extension import Extension
from modules.plugins.limit import Hung, limited
from modules.plugins.options import Options
from modules.plugins.parameters import Said, answered, unflattened, whole
from modules.schema import GenerationRequest, Layout
from modules.schema.problems import explain


class Checking(Catalogue):
    """Checks, reads, rewrites and lays out requests, in either process."""

    def check(self, request: GenerationRequest) -> GenerationRequest:
        """Validate the extensions' options in `request.extras`; returns the request with them complete.

        Options with `enabled` false are left out. A prompt with a tag that an extension reads enables its options.

        Raises:
            UnknownNameError: for an extension that is not active here; says why if it is off.
            UserError: names the option and what was found.
        """
        self._roster.follow()
        extras: dict[str, Any] = {}
        for name, values in request.extras.items():
            if name not in self.options:
                raise self._roster.why_not(name)
            options = self._parse(name, values)
            if options.enabled:
                extras[name] = options.model_dump(mode="json")
        for name in self._tagged(request):
            if name not in extras:
                extras[name] = (
                    self._parse(name, {})
                    .model_copy(update={"enabled": True})
                    .model_dump(mode="json")
                )
        return request if extras == request.extras else request.replace(extras=extras)

    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Options by extension that parameters of a text mean, complete and valid, and the keys that were used.

        Raises:
            ExtensionError: names the extension that failed.
        """
        self._roster.follow()
        classes = self.options
        simple = unflattened(parameters, classes)
        found: dict[str, dict[str, Any]] = {}
        used: set[str] = set()
        for name, extension in self._roster.active():
            if name in classes:
                own = self._read(name, extension, parameters)
                said = whole(name, classes[name], own, simple.get(name, Said()))
                used |= said.keys
                if said.options:
                    found[name] = said.options
        return found, used

    def rewritten(self, request: GenerationRequest, index: int) -> GenerationRequest:
        """The checked request with the words of picture `index`, as the extensions write them, and checked again.

        Whoever wrote has no more to say in it, so rewriting it again changes nothing. The same request comes back
        if nobody writes.

        Raises:
            UserError: an extension's own words, or a tag or option in what it wrote is wrong.
            ExtensionError: names the extension that failed.
        """
        written = request
        for name, extension in self._roster.active():
            hook = extension.calls.get("rewrite_prompts")
            if hook is None or name not in written.extras:
                continue
            words = self._ask_words(name, hook, written, index)
            if words is not None:
                rest = {each: values for each, values in written.extras.items() if each != name}
                prompt, negative = words
                written = written.replace(prompt=prompt, negative_prompt=negative, extras=rest)
        return request if written is request else self.check(written)

    def lays_out(self, request: GenerationRequest) -> bool:
        """Whether an extension that makes grids is enabled in the request."""
        return any(
            "lay_out" in each.calls and name in request.extras
            for name, each in self._roster.active()
        )

    def lay_out(self, request: GenerationRequest, axes: Sequence[Axis], most: int) -> Layout | None:
        """The cells of a checked request for one picture, as the first extension that makes any lays them out.

        Raises:
            UserError: an extension's own words.
            ExtensionError: names the extension that failed.
        """
        for name, extension in self._roster.active():
            hook = extension.calls.get("lay_out")
            if hook is None or name not in request.extras:
                continue
            options = self._parse(name, request.extras[name])
            rest = {each: values for each, values in request.extras.items() if each != name}
            own = request.replace(extras=rest)
            found = self._ask(
                name,
                "lay_out",
                lambda hook=hook, own=own, options=options: hook(  # type: ignore[misc]
                    request=own, options=options, axes=axes, most=most
                ),
            )
            if found is not None and not isinstance(found, Layout):
                said = type(found).__name__
                raise broke_promise(name, "lay_out", "type", wanted="Layout | None", found=said)
            if found is not None:
                return found
        return None

    def check_request(self, request: GenerationRequest, family: str) -> None:
        """Let each extension that is enabled in a checked request, its seeds drawn, say what is wrong with it.

        Each sees the words of the first picture; who writes them sees what it is asked to write.

        Raises:
            UserError: an extension's own words.
            ExtensionError: names the extension that failed.
        """
        written = request if request.postprocess is not None else self.rewritten(request, 0)
        for name, extension in self._roster.active():
            hook = extension.calls.get("check_request")
            seen = written if name in written.extras else request
            if hook is None or name not in seen.extras:
                continue
            arguments = self._arguments(name, seen)
            found = self._ask(
                name,
                "check_request",
                lambda hook=hook, arguments=arguments: hook(**arguments, family=family),  # type: ignore[misc]
            )
            if found is not None:  # such as an error that was returned: it would be passed over
                said = type(found).__name__
                raise broke_promise(name, "check_request", "type", wanted="None", found=said)

    # ------------------------------------------------------------------------------------------- inside

    def _tagged(self, request: GenerationRequest) -> list[str]:
        """The extensions that read a tag of the prompt."""
        kinds = {tag.kind for tags in tags_of([request.prompt]) for tag in tags}
        active = self._roster.active()
        return [name for name, each in active if kinds.intersection(each.offers.tags)]

    def _read(self, name: str, extension: Extension, parameters: Mapping[str, str]) -> Said:
        hook = extension.calls.get("read_parameters")
        if hook is None or not parameters:
            return Said()
        own = dict(parameters)  # a copy for each
        try:
            with self._inside(name, "read_parameters"):
                said = limited(lambda: hook(parameters=own), ACTION_SECONDS)
        except Hung as error:
            raise hung(name, "read_parameters", error) from error
        except Exception as error:  # it may raise anything, and has nothing to refuse: it is blamed
            raise failed(name, error) from error
        return answered(name, said, parameters)

    def _ask_words(
        self, name: str, hook: Callable[..., Any], request: GenerationRequest, index: int
    ) -> tuple[str, str] | None:
        arguments = self._arguments(name, request)
        found = self._ask(name, "rewrite_prompts", lambda: hook(**arguments, index=index))
        match found:
            case None:
                return None
            case (str(prompt), str(negative)):
                return prompt, negative
        wanted, said = "tuple[str, str] | None", type(found).__name__
        raise broke_promise(name, "rewrite_prompts", "type", wanted=wanted, found=said)

    def _ask(self, name: str, hook: str, call: Callable[[], Any]) -> Any:
        """What a hook says that may refuse what somebody has written, in its own words."""
        with self._inside(name, hook):
            return asked(name, hook, call)

    def _arguments(self, name: str, request: GenerationRequest) -> dict[str, Any]:
        # A copy for each: what one does to the nested parts of a request must not reach the others.
        own = request.model_copy(deep=True)
        return {"request": own, "options": self._parse(name, own.extras[name])}

    def _parse(self, name: str, values: Mapping[str, Any]) -> Options:
        try:
            return self.options[name].model_validate(values)
        except ValidationError as error:
            wrong = explain(error)
            raise UserError(
                "error.extension.option",
                extension=name,
                option=wrong.field or "options",
                found=wrong.found,
                why=wrong.why,
            ) from error
        except KeyError:
            raise self._roster.why_not(name) from None
