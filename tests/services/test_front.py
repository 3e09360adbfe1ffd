"""The studio refuses what cannot be done, and keeps clients apart."""

import json
import os
import time

import pytest
from PIL import Image

from modules.errors import LimitError, UnknownNameError, UserError
from modules.schema import GenerationRequest, Img2Img, JobState, Limits
from modules.services.front import UNUSED_SECONDS
from modules.services.models import Models
from tests.services.fakes import CARD, FakeGenerate, FakeScan, find, house

ASKED = GenerationRequest(prompt="a cat")


@pytest.fixture
def here(tmp_path):
    here = house(tmp_path, FakeGenerate(0.01), limits=Limits(max_batch_count=4))
    yield here
    here.studio.close(2.0)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"model": "nothing"}, UnknownNameError),
        ({"sampler": "nothing"}, UnknownNameError),
        ({"batch_count": 5}, LimitError),
        ({"width": 4096}, LimitError),
        ({"prompt": "x" * 40_000}, LimitError),
        ({"extras": {"e": {"picture": "x" * 3_000_000}}}, LimitError),
    ],
)
def test_a_bad_request_leaves_no_row(here, fields, kind):
    with pytest.raises(kind):
        here.studio.submit(GenerationRequest(**fields))
    assert sum(here.studio.counts().values()) == 0


def refusing(*prompts):
    """Refuses requests of these prompts, and notes what it was asked."""

    def refuse(request, family):
        seen.append((request.prompt, request.seed, request.model, family))
        if request.prompt in prompts:
            raise UserError("Not that.")

    seen = []
    return refuse, seen


def test_what_an_extension_refuses_by_now_is_not_queued_again(here):
    job = here.studio.submit(ASKED)
    here.studio.cancel(job.id)
    here.plugins.refuse, seen = refusing("a cat")
    with pytest.raises(UserError, match="Not that"):
        here.studio.retry(job.id)
    assert here.studio.job(job.id).state is JobState.CANCELLED
    assert [prompt for prompt, *_ in seen] == ["a cat"]
    here.plugins.refuse, _ = refusing()
    assert here.studio.retry(job.id).state is JobState.QUEUED
    here.plugins.refuse, seen = refusing("a cat")
    with pytest.raises(UserError) as caught:  # it waits already, which is what there is to say
        here.studio.retry(job.id)
    assert caught.value.key == "error.job.no_retry" and seen == []


def test_what_an_extension_refuses_leaves_no_row(here):
    here.plugins.refuse, seen = refusing("a dog")
    with pytest.raises(UserError, match="Not that"):
        here.studio.submit(GenerationRequest(prompt="a dog"))
    with pytest.raises(UserError, match="Not that"):
        here.studio.submit_all([ASKED, GenerationRequest(prompt="a dog")])
    assert sum(here.studio.counts().values()) == 0
    job = here.studio.submit(ASKED)
    assert seen[-1] == ("a cat", job.request.seed, CARD.name, CARD.family)  # as it is queued


def test_an_extension_is_not_asked_by_a_look_at_the_words(here):
    here.plugins.refuse, seen = refusing("a cat")
    assert here.studio.words(ASKED, "") and here.studio.resolve(ASKED, "")
    assert seen == []


def test_the_row_holds_everything_that_makes_the_picture(here):
    request = here.studio.submit(ASKED).request
    left_open = ("model", "width", "height", "steps", "cfg_scale", "sampler", "schedule")
    assert [name for name in left_open if getattr(request, name) is None] == []
    assert request.model == CARD.name
    assert request.seed >= 0


def test_clients_are_kept_apart(here):
    here.studio.start()
    mine = here.finish(here.studio.submit(ASKED, "me").id)
    assert [job.id for job in here.studio.jobs("me")] == [mine.id]
    assert here.studio.jobs("other") == []
    assert [picture.job_id for picture in here.studio.pictures("me")] == [mine.id]
    assert here.studio.pictures("other") == []
    for method in (here.studio.job, here.studio.cancel, here.studio.retry):
        with pytest.raises(UserError, match="no job"):
            method(mine.id, "other")
    for method in (here.studio.job, here.studio.cancel):
        assert method(mine.id).id == mine.id


def test_a_picture_file(here, tmp_path):
    here.studio.start()
    job = here.finish(here.studio.submit(ASKED).id)
    path = here.studio.picture_file(job.pictures[0].id)
    assert path.is_relative_to(tmp_path / "outputs")
    path.unlink()
    with pytest.raises(UserError, match="not in the outputs folder any more"):
        here.studio.picture_file(job.pictures[0].id)


def test_progress_from_waiting_to_done(here):
    jobs = [here.studio.submit(ASKED) for _ in range(3)]
    assert [here.studio.progress(job.id).position for job in jobs] == [0, 1, 2]
    assert here.studio.progress(jobs[0].id).state is JobState.QUEUED
    here.studio.start()
    here.finish(jobs[2].id)
    done = here.studio.progress(jobs[2].id)
    assert (done.state, done.fraction, done.saved, done.position) == (JobState.DONE, 1.0, 1, 0)


def test_the_preview_is_there_while_it_runs_and_gone_after(here):
    seen = []
    here.studio.start()
    job = here.studio.submit(ASKED.replace(steps=20))
    version = -1
    while not here.studio.job(job.id).state.finished:
        version = here.studio.watch(version, 1.0)
        seen.append(here.studio.preview_file(job.id))
    assert any(seen)
    assert here.studio.preview_file(job.id) is None


def test_without_a_dispatcher_jobs_are_only_queued(here):
    here.studio._dispatcher, dispatcher = None, here.studio._dispatcher
    assert here.studio.submit(ASKED).state is JobState.QUEUED
    assert here.studio.cancel(1).state is JobState.CANCELLED
    with pytest.raises(UserError, match="can only queue"):
        here.studio.run(1)
    here.studio._dispatcher = dispatcher


def test_run_in_this_thread_does_just_that_job(here):
    first, second = here.studio.submit(ASKED), here.studio.submit(ASKED)
    assert here.studio.run(second.id).state is JobState.DONE
    assert here.studio.job(first.id).state is JobState.QUEUED


def test_a_new_model_is_found_without_a_restart():
    scans = [type("Empty", (), {"cards": (), "problems": ()}), FakeScan]
    models = Models(lambda: scans.pop(0), find, CARD.name)
    assert models.all().cards == ()
    assert models.find("tiny") is CARD
    assert models.find(None) is CARD
    assert scans == []


def test_a_start_clears_input_pictures_that_nothing_names(here):
    inputs, old = here.studio.inputs.pictures, time.time() - 2 * UNUSED_SECONDS
    names = [inputs.keep(Image.new("RGB", (8, 8), (level, 0, 0))) for level in range(5)]
    of_a_job, of_a_draft, of_a_batch, of_nobody, fresh = names
    for name in names[:-1]:
        os.utime(inputs.path(name), (old, old))
    here.studio.submit(ASKED.replace(width=64, height=64, img2img=Img2Img(image=of_a_job)))
    here.studio.drafts.keep("me", "img2img", {"img2img__image": of_a_draft})
    batch = json.dumps([{"name": "a.png", "id": of_a_batch}])
    here.studio.drafts.keep("you", "img2img", {"batch__images": batch})
    here.studio.tidy()
    kept = {path.stem for path in inputs.folder.glob("*.png")}
    assert kept == {of_a_job, of_a_draft, of_a_batch, fresh}
    assert of_nobody not in kept


def test_lists_of_the_page(here, tmp_path):
    (tmp_path / "models" / "vae").mkdir(parents=True)
    (tmp_path / "models" / "vae" / "crisp.safetensors").write_bytes(b"x")
    assert here.studio.vaes() == ["crisp"]
    assert set(here.studio.upscalers) > {"Lanczos", "Nearest"}
    assert here.studio.resolve(ASKED.replace(vae="CRISP"), "").vae == "crisp"
    with pytest.raises(UserError, match="crisp"):
        here.studio.submit(ASKED.replace(vae="gone"))
