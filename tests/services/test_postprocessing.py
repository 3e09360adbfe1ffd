"""Jobs that begin with a finished picture."""

import pytest
from PIL import Image

from modules.errors import Cancelled, UserError
from modules.imaging import infotext, metadata
from modules.schema import GenerationRequest, ImageSaved, Job, JobState, Stage, StepDone
from modules.services.inputs import InputPictures
from modules.services.outputs import Outputs
from modules.services.postprocessing import Postprocessing, resolve

TEXT = "a red apple\nNegative prompt: leaf\nSteps: 20, Sampler: Euler, CFG scale: 3, Seed: 7, Model: pocket"


class Double:
    """Twice as wide, in two pieces of work."""

    def finish(self, image, request, index, progress):
        progress(0.5)
        return image.resize((image.width * 2, image.height))

    def infotext(self):
        return {"Postprocess upscale by": 2}


class Plugins:
    def __init__(self, *finishers):
        self.finishers = finishers

    def check(self, request):
        return request

    def finishers_for(self, request):
        return self.finishers


@pytest.fixture
def inputs(tmp_path):
    return InputPictures(tmp_path / "inputs")


def job_of(inputs, text=TEXT, extras=None):
    given = inputs.keep(Image.new("RGB", (10, 6), "red"))
    request = GenerationRequest(
        postprocess={"image": given, "name": "apple.png", "infotext": text},
        extras={"double": {"enabled": True}} if extras is None else extras,
        prompt="not read",
    )
    request = resolve(request, inputs.size)
    return Job(
        id=3,
        uid="0a" * 4,
        state=JobState.RUNNING,
        request=request,
        client="",
        attempts=1,
        created=0,
    )


def service(tmp_path, inputs, *finishers):
    outputs = Outputs(tmp_path / "outputs")
    return Postprocessing(Plugins(*finishers), inputs, outputs, "Noisette 9"), outputs


def test_the_picture_goes_through_all_finishers_and_keeps_its_words(tmp_path, inputs):
    events = []
    working, outputs = service(tmp_path, inputs, Double(), Double())
    job = job_of(inputs)
    working.run(job, events.append)
    (saved,) = [each for each in events if isinstance(each, ImageSaved)]
    assert (saved.width, saved.height) == (40, 6)
    assert saved.path.startswith("postprocess/")
    steps = [each.step for each in events if isinstance(each, StepDone)]
    assert steps == [0, 25, 50, 75]
    assert all(each.stage is Stage.FINISHING for each in events if isinstance(each, StepDone))
    said = metadata.decode(outputs.folder / saved.path)
    assert said.infotext == f"{TEXT}, Postprocess upscale by: 2, Version: Noisette 9"
    # What fills the fields is what the source says; what makes it again is the job.
    assert (said.request.prompt, said.request.seed, said.exact) == ("a red apple", 7, False)
    assert said.postprocess == job.request


def test_a_second_attempt_finds_what_was_saved(tmp_path, inputs):
    working, _ = service(tmp_path, inputs, Double())
    job, events = job_of(inputs), []
    working.run(job, events.append)
    again, _ = service(tmp_path, inputs)  # with nothing that could do it once more
    again.run(job, events.append)
    first, second = [each for each in events if isinstance(each, ImageSaved)]
    assert first == second


def test_it_stops_between_pieces_of_work_and_saves_nothing(tmp_path, inputs):
    def stop(event):
        if isinstance(event, StepDone) and event.step == 50:
            raise Cancelled

    working, outputs = service(tmp_path, inputs, Double())
    with pytest.raises(Cancelled):
        working.run(job_of(inputs), stop)
    assert not list(outputs.folder.rglob("*.png"))


def test_a_picture_that_says_nothing_says_what_was_done_with_it(tmp_path, inputs):
    made = service(tmp_path, inputs, Double())[0].make(job_of(inputs, text=""), lambda event: None)
    assert made.infotext == "Postprocess upscale by: 2, Version: Noisette 9"


def test_nothing_to_do_and_no_picture_are_refused(tmp_path, inputs):
    with pytest.raises(UserError, match="nothing to be done"):
        job_of(inputs, extras={})
    with pytest.raises(UserError, match="nothing to be done"):
        job_of(inputs, extras={"double": {"enabled": False}})
    request = GenerationRequest(postprocess={"image": "0" * 64}, extras={"double": {}})
    with pytest.raises(UserError, match="000000000000"):
        resolve(request, inputs.size)


def test_a_text_is_extended_so_that_it_can_still_be_read():
    assert infotext.read(infotext.extended(TEXT, {"A word": "x, y"})).parameters["A word"] == "x, y"
    assert infotext.extended("only a prompt", {"A word": 1}) == "only a prompt\nA word: 1"
    assert infotext.extended("as it was", {}) == "as it was"
