"""The story of one job, with an engine that paints."""

import errno
from threading import Event

import pytest
from PIL import Image

from modules.diffusion.adapter import Adapter
from modules.errors import ExtensionError, LimitError, StorageError, UnknownNameError, UserError
from modules.imaging import infotext, metadata
from modules.schema import (
    Finished,
    GenerationRequest,
    ImageSaved,
    Limits,
    ModelCard,
    StageChanged,
    StepDone,
    Warned,
)
from modules.services.generation import Previews, resolve
from modules.services.jobs import JobStore
from modules.services.performing import perform
from tests.services.fakes import (
    CARD,
    FakeGenerate,
    FakeNames,
    FakePlugins,
    FaultyDisk,
    colour,
    service,
)


@pytest.fixture
def make_job(tmp_path):
    store = JobStore(tmp_path / "db")
    yield lambda **fields: store.submit(GenerationRequest(**{"seed": 11, **fields}))
    store.close()


def run(generation, job):
    events = []
    generation.run(job, events.append)
    return events


def images(events):
    return [event for event in events if isinstance(event, ImageSaved)]


def test_every_picture_is_saved_with_its_seed(tmp_path, make_job):
    job = make_job(prompt="cats", batch_size=2, batch_count=3)
    generate = FakeGenerate()
    found = images(run(service(tmp_path, generate), job))
    assert [(each.index, each.seed) for each in found] == [(i, 11 + i) for i in range(6)]
    assert generate.calls == [(0, 2), (2, 2), (4, 2)]
    for each in found:
        with Image.open(tmp_path / "outputs" / each.path) as image:
            assert image.getpixel((0, 0)) == colour(job.request, each.index)


def test_the_story_in_order(tmp_path, make_job):
    events = run(service(tmp_path), make_job(steps=2))
    told = [
        event.stage.value
        if isinstance(event, StageChanged)
        else f"{event.step}/{event.steps}"
        if isinstance(event, StepDone)
        else event.type
        for event in events
    ]
    assert told == [
        "loading", "encoding", "1/2", "2/2", "decoding", "finishing", "saving", "image"
    ]  # fmt: skip


def test_the_picture_holds_the_resolved_request(tmp_path, make_job):
    (saved,) = images(run(service(tmp_path), make_job(prompt="a cat")))
    found = metadata.decode(tmp_path / "outputs" / saved.path)
    assert found.request == GenerationRequest(
        prompt="a cat", seed=11, model="tiny", width=64, height=64, steps=3, cfg_scale=7.0,
        sampler="euler_a", schedule="default",
    )  # fmt: skip
    assert found.infotext == saved.infotext
    assert "Model hash: 0123456789, Model: tiny" in saved.infotext


def test_an_empty_prompt_is_allowed(tmp_path, make_job):
    assert len(images(run(service(tmp_path), make_job(prompt="")))) == 1


def test_a_second_attempt_makes_only_what_is_missing(tmp_path, make_job):
    job = make_job(batch_size=2, batch_count=3)
    before = images(run(service(tmp_path), job))
    (tmp_path / "outputs" / before[3].path).unlink()
    generate = FakeGenerate()
    after = images(run(service(tmp_path, generate), job))
    assert generate.calls == [
        (2, 2)
    ]  # the whole batch: one of another size is not equal to the bit
    assert sorted(after, key=lambda each: each.index) == before
    assert run(service(tmp_path, generate), job) == before  # nothing missing: no model is loaded
    assert len(generate.calls) == 1


@pytest.mark.parametrize(
    ("asked_at", "kept"), [("step", [0, 2]), ("encoding", [0, 2]), ("image", [0, 1, 2])]
)
def test_skip_leaves_out_the_batch_that_is_being_made_and_no_other(
    tmp_path, make_job, asked_at, kept
):
    """Asked for once its picture is saved it comes too late, and the next batch is made all the same."""
    skip, events = Event(), []

    def report(event):
        events.append(event)
        kind = event.stage.value if isinstance(event, StageChanged) else event.type
        place = event.index if isinstance(event, ImageSaved) else getattr(event, "batch", None)
        if (kind, place) == (asked_at, 1):
            skip.set()

    job = make_job(prompt="cats", batch_count=3)
    assert perform(service(tmp_path), job, report, Event(), skip) is None
    assert [each.index for each in images(events)] == kept
    warned = [each.warning for each in events if isinstance(each, Warned)]
    assert len(warned) == 3 - len(kept)
    assert isinstance(events[-1], Finished) and not events[-1].cancelled


def test_previews_are_files_beside(tmp_path, make_job):
    job = make_job(steps=4)
    previews = Previews(tmp_path / "spool", every=2)
    events = run(service(tmp_path, previews=previews), job)
    assert [e.preview for e in events if isinstance(e, StepDone)] == [
        None, f"{job.id}.webp", None, f"{job.id}.webp"
    ]  # fmt: skip
    with Image.open(tmp_path / "spool" / f"{job.id}.webp") as image:
        assert image.format == "WEBP"
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_no_room_for_a_preview_is_no_reason_to_fail(tmp_path, make_job):
    (tmp_path / "file").write_text("in the way")
    events = run(service(tmp_path, previews=Previews(tmp_path / "file")), make_job())
    assert len([event for event in events if isinstance(event, Warned)]) == 1
    assert len(images(events)) == 1


def test_finishers_change_the_picture_in_their_order(tmp_path, make_job):
    class Paint:
        def __init__(self, colour):
            self.colour = colour

        def finish(self, image, request, index, progress):
            return Image.new("RGB", (index + 1, image.height), self.colour)

        def infotext(self):
            return {f"Painted {self.colour}": "yes"}

    plugins = FakePlugins([Paint("red"), Paint("lime")])
    found = images(run(service(tmp_path, plugins=plugins), make_job(batch_size=2)))
    with Image.open(tmp_path / "outputs" / found[1].path) as image:
        assert (image.size, image.getpixel((0, 0))) == ((2, 64), (0, 255, 0))
    assert found[1].width == 2
    assert "Painted red: yes, Painted lime: yes" in found[1].infotext


def test_an_extension_that_fails_fails_the_job_and_saves_nothing(tmp_path, make_job):
    class Broken:
        def finish(self, image, request, index, progress):
            raise ExtensionError("The extension broken failed.")

    with pytest.raises(ExtensionError, match="broken"):
        run(service(tmp_path, plugins=FakePlugins([Broken()])), make_job())
    assert not list(tmp_path.rglob("*.png"))


def test_adapters_reach_the_engine(tmp_path, make_job):
    class Adapting(FakePlugins):
        def adapters_for(self, request, parts):
            assert parts is CARD
            return [adapter]

    adapter, given = Adapter(), []

    def generate(parts, request, adapters, report, *, first, count, preview, inputs):
        given.append((adapters, first, count, preview))
        return [Image.new("RGB", (8, 8))]

    run(service(tmp_path, plugins=Adapting(), generate=generate), make_job())
    assert given == [([adapter], 0, 1, True)]


def test_what_an_adapter_says_stands_in_the_picture(tmp_path, make_job):
    class Telling(Adapter):
        name = "glow"

        def infotext(self):
            return {"Glow": "much, and more"}

        def receipt(self):
            return [{"name": "ink", "applied": 0.5}]

    class Adapting(FakePlugins):
        def adapters_for(self, request, parts):
            return [Telling(), Adapter()]

    events = run(service(tmp_path, plugins=Adapting()), make_job())
    (saved,) = images(events)
    assert infotext.read(saved.infotext).parameters["Glow"] == "much, and more"
    said = metadata.decode(next(tmp_path.rglob("*.png")))
    assert said.data["receipts"] == {"glow": [{"name": "ink", "applied": 0.5}]}


def test_what_an_adapter_warns_of_is_told_once(tmp_path, make_job):
    class Warning(Adapter):
        def warnings(self):
            return [UserError("error.extension.said", en="Not used.", zh="未使用。")]

    class Adapting(FakePlugins):
        def adapters_for(self, request, parts):
            return [Warning(), Adapter()]

    events = run(service(tmp_path, plugins=Adapting()), make_job(batch_count=2))
    (told,) = [UserError.from_dict(each.warning) for each in events if isinstance(each, Warned)]
    assert (told.message("en"), told.message("zh")) == ("Not used.", "未使用。")
    kinds = [type(each) for each in events]
    assert kinds.index(Warned) < kinds.index(StepDone) and len(images(events)) == 2


def test_one_picture_that_cannot_be_saved_does_not_take_the_others_along(tmp_path, make_job):
    job = make_job(batch_size=3)
    disk = FaultyDisk("write", 2, errno.ENOSPC, only="outputs/txt2img")
    events = []
    with pytest.raises(StorageError, match="disk is full"):
        service(tmp_path, disk=disk).run(job, events.append)
    assert [each.index for each in images(events)] == [0, 2]
    assert len(list((tmp_path / "data" / "unsaved").rglob("*.png"))) == 1


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"sampler": "Eulre"}, UnknownNameError, "No sampler"),
        ({"height": 520}, LimitError, "from 8 to 512"),
        ({"steps": 151}, LimitError, "1 to 150"),
        ({"width": 8}, LimitError, "64 to 2048"),
    ],
)
def test_what_cannot_be_done_is_refused(fields, kind, words):
    with pytest.raises(kind, match=words):
        resolve(GenerationRequest(**fields), CARD, Limits(), FakeNames())


def test_resolving_twice_changes_nothing():
    once = resolve(GenerationRequest(), CARD, Limits(), FakeNames())
    assert resolve(once, CARD, Limits(), FakeNames()) == once
    named = ("model", "width", "height", "steps", "cfg_scale", "sampler", "schedule")
    assert None not in [getattr(once, name) for name in named]


def test_an_unknown_model_is_refused(tmp_path, make_job):
    with pytest.raises(UserError, match="No model other"):
        run(service(tmp_path), make_job(model="other"))


def test_warm_up_loads_the_default_model(tmp_path):
    assert service(tmp_path).warm_up() == "tiny"


def test_options_of_extensions_stand_in_the_text(tmp_path, make_job):
    extras = {"lora": {"enabled": True, "weight_a": 0.5, "names": ["x"], "note": "a, b"}}
    (saved,) = images(run(service(tmp_path), make_job(extras=extras)))
    assert 'lora weight a: 0.5, lora note: "a, b", Version' in saved.infotext
    assert "names" not in saved.infotext


def test_the_card_is_what_the_model_source_gets(tmp_path, make_job):
    seen = []

    class Source:
        def acquire(self, card):
            seen.append(card)
            raise UserError("stop here")

    with pytest.raises(UserError, match="stop here"):
        run(service(tmp_path, cache=Source()), make_job())
    assert isinstance(seen[0], ModelCard)


def numbered(request, index):
    """Each picture has a word of its own, as wildcards make them."""
    if "words" not in request.extras:
        return request
    return request.replace(prompt=f"{request.prompt} {request.seed_of(index)}", extras={})


def same(request, index):
    return (
        request.replace(prompt=f"{request.prompt}, in oil", extras={})
        if request.extras
        else request
    )


@pytest.fixture
def writing(tmp_path):
    def get(rewrite, generate=None):
        plugins = FakePlugins()
        plugins.rewrite = rewrite
        return service(tmp_path, generate, plugins=plugins)

    return get


def read(tmp_path, event):
    with Image.open(tmp_path / "outputs" / event.path) as image:
        return metadata.decode(image), image.getpixel((0, 0))


def test_pictures_with_words_of_their_own_are_jobs_of_their_own(tmp_path, make_job, writing):
    job = make_job(prompt="a cat", batch_size=2, batch_count=2, extras={"words": {"enabled": True}})
    generate = FakeGenerate()
    events = run(writing(numbered, generate), job)
    found = images(events)
    assert generate.calls == [(0, 1)] * 4
    assert [each.seed for each in found] == [11, 12, 13, 14]
    for index, each in enumerate(found):
        said, pixel = read(tmp_path, each)
        assert said.request.prompt == f"a cat {11 + index}"
        assert (said.request.pictures, said.request.seed) == (1, 11 + index)
        assert said.data["index"] == index
        assert said.data["asked"]["prompt"] == "a cat"
        assert said.data["asked"]["extras"] == {"words": {"enabled": True}}
        assert f"Seed: {11 + index}" in said.infotext
        assert pixel == colour(job.request, index)
    steps = [(each.batch, each.batches) for each in events if isinstance(each, StepDone)]
    assert steps == sorted(steps) and steps[-1] == (3, 4)


def test_words_that_are_the_same_stay_one_batch(tmp_path, make_job, writing):
    job = make_job(prompt="a cat", batch_size=2, extras={"styles": {"enabled": True}})
    generate = FakeGenerate()
    found = images(run(writing(same, generate), job))
    assert generate.calls == [(0, 2)]
    said, _ = read(tmp_path, found[1])
    assert (said.request.prompt, said.request.batch_size) == ("a cat, in oil", 2)
    assert "a cat, in oil" in said.infotext


def test_a_picture_of_written_words_is_found_again_and_made_again(tmp_path, make_job, writing):
    job = make_job(prompt="a cat", batch_size=2, extras={"words": {"enabled": True}})
    first = images(run(writing(numbered), job))
    generate = FakeGenerate()
    assert images(run(writing(numbered, generate), job)) == first
    assert generate.calls == []
    said, pixel = read(tmp_path, first[1])
    again = job.model_copy(update={"request": said.request})
    image, _ = writing(numbered).remake(again, 0, lambda event: None)
    assert image.getpixel((0, 0)) == pixel


def test_without_a_writer_nothing_is_said_of_it(tmp_path, make_job, writing):
    (found,) = images(run(writing(lambda request, index: request), make_job(prompt="a cat")))
    assert "asked" not in read(tmp_path, found)[0].data
