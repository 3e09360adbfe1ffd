"""Jobs that begin with a finished picture: it goes through the steps of extensions (finishers), and no model is loaded.

Such a job is one picture. It waits in the same queue, stops in the same way and is saved, found again after a crash and
reproduced as any other; its text is that of the picture it was made from, with what the finishers say of their part.
"""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from modules.errors import UserError
from modules.imaging import infotext
from modules.schema import Event, GenerationRequest, Job, Stage, StageChanged, StepDone
from modules.services.inputs import InputPictures
from modules.services.outputs import Outputs


class Extensions(Protocol):
    """What `modules.plugins.Plugins` does for such a job."""

    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def finishers_for(self, request: GenerationRequest) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Made:
    """What came of it."""

    image: Image.Image
    infotext: str
    facts: Mapping[str, str] = field(default_factory=dict)


def resolve(
    request: GenerationRequest, size_of: Callable[[str], tuple[int, int]]
) -> GenerationRequest:
    """The request with what counts: the picture and the options of extensions.

    Raises:
        UserError: there is no such picture, or nothing that is to be done with it.
    """
    given = request.postprocess
    assert given is not None  # who calls has looked
    size_of(given.image)
    if not any(options.get("enabled", True) for options in request.extras.values()):
        raise UserError("error.postprocess.nothing")
    return GenerationRequest(postprocess=given, extras=request.extras, seed=0)


class Postprocessing:
    """Runs such jobs."""

    def __init__(
        self, plugins: Extensions, inputs: InputPictures, outputs: Outputs, version: str
    ) -> None:
        self._plugins = plugins
        self._inputs = inputs
        self._outputs = outputs
        self._version = version

    def run(self, job: Job, report: Callable[[Event], None]) -> None:
        """Make the picture and save it; one that an earlier attempt saved is kept.

        Raises:
            UserError: what is wrong with the request, an extension or the disk.
            Cancelled: `report` raised it.
        """
        saved = self._outputs.find(job, 0)
        if saved is None:
            made = self.make(job, report)
            report(StageChanged(stage=Stage.SAVING))
            saved = self._outputs.save(made.image, job, 0, made.infotext, made=None, **made.facts)
        report(saved)

    def make(self, job: Job, report: Callable[[Event], None]) -> Made:
        """The picture, not saved.

        Raises:
            UserError: as `run`.
        """
        report(StageChanged(stage=Stage.PREPARING))
        request = self._plugins.check(resolve(job.request, self._inputs.size))
        given = request.postprocess
        assert given is not None
        finishers = self._plugins.finishers_for(request)
        if not finishers:
            raise UserError("error.postprocess.nothing")
        image = self._inputs.open(given.image)
        began = time.monotonic()
        for number, finisher in enumerate(finishers):

            def going_on(share: float, number: int = number) -> None:
                step = round(100 * (number + share) / len(finishers))
                seconds = time.monotonic() - began
                report(StepDone(stage=Stage.FINISHING, step=step, steps=100, seconds=seconds))

            going_on(0.0)
            image = finisher.finish(image, request, 0, going_on)
        said = {key: value for each in finishers for key, value in each.infotext().items()}
        said["Version"] = self._version
        facts = {"program": self._version, "machine": platform.machine()}
        return Made(image, infotext.extended(given.infotext, said), facts)
