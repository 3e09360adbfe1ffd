"""Who handed in which picture: the rows, what a request names, and how both last."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.errors import StorageError, UserError
from modules.schema import (
    Cell,
    Finished,
    GenerationRequest,
    ImageSaved,
    InputsKept,
    JobState,
    Layout,
    LayoutAxis,
)
from modules.services.backup import write_backup
from modules.services.handed_in import HandedIn
from modules.services.inputs import InputPictures, KeepingPictures, named_in
from modules.services.jobs import MIGRATIONS, JobStore
from modules.services.outputs import Outputs
from modules.services.rebuild import mend
from modules.services.restore import restore
from modules.services.worker import InProcessWorker
from modules.settings import Settings
from tests.services.fakes import FakePlugins, house, saved, service

ANNA, BERT, OWNER = "guest:anna", "guest:bert", "a" * 32
A, B, C, D = ("0123456789abcdef" * 4, "b" * 64, "c0" * 32, "d" * 64)
DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "data" / "noisette.sqlite3")
    yield store
    store.close()


@pytest.fixture
def inputs(store: JobStore, tmp_path: Path) -> HandedIn:
    return HandedIn(InputPictures(tmp_path / "data" / "inputs"), store)


def png(tmp_path: Path, colour: str) -> bytes:
    file = tmp_path / f"{colour}.png"
    Image.new("RGB", (8, 8), colour).save(file)
    return file.read_bytes()


# ------------------------------------------------------------------------------------------- what a request names


def test_every_field_that_names_a_picture_is_known():
    """A further field of that kind has to be looked at as well: this fails until it is."""
    schema = GenerationRequest.model_json_schema()

    def fields(part: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        if "[0-9a-f]{64}" in part.get("pattern", ""):
            yield path
        for each in (*part.get("anyOf", ()), *part.get("allOf", ())):
            yield from fields(each, path)
        for name, each in part.get("properties", {}).items():
            yield from fields(each, (*path, name))

    found = set(fields(schema, ()))
    assert found == {("img2img", "image"), ("img2img", "inpaint", "mask"), ("postprocess", "image")}
    group = {"image": A, "inpaint": {"mask": B}}
    asked = GenerationRequest.model_validate({"img2img": group, "postprocess": {"image": C}})
    assert set(named_in(asked.model_dump())) == {A, B, C}
    assert set(named_in(json.loads(asked.model_dump_json()))) == {A, B, C}


@pytest.mark.parametrize(
    "options",
    [
        {"image": A},
        {"units": [{"enabled": False, "image": A}]},
        {"deep": [[{"a": [{A: 1}]}]]},
        {"values": f"1, {A}, 3"},
        {"values": f"\f{A}\x1f"},
        {"values": f"\b{A}"},
        {"values": f"http://here/ui/inputs/{A}?x"},
        {"values": A.upper()},
    ],
)
def test_options_of_extensions_may_name_one_anywhere(options: dict[str, Any]):
    assert A in set(named_in(GenerationRequest(extras={"x": options}).model_dump()))


def test_prompts_and_texts_name_none():
    asked = GenerationRequest(
        prompt=A,
        negative_prompt=f"no {B}",
        model=C,
        postprocess={"image": D, "name": A, "infotext": f"a\nInit image hash: {B}"},
    )
    assert list(named_in(asked.model_dump())) == [D]


# ------------------------------------------------------------------------------------------- the rows


def test_a_guest_finds_his_own_and_everybody_else_finds_all(inputs: HandedIn, tmp_path: Path):
    name = inputs.of(ANNA).add(png(tmp_path, "red"))
    for client in (ANNA, OWNER, "cli", ""):
        assert inputs.of(client).size(name) == (8, 8)
        assert inputs.of(client).path(name).is_file()
        inputs.of(client).check(GenerationRequest(img2img={"image": name}))
    said = set()
    for asked in (name, A, "x", "", "../x"):
        for look in (
            inputs.of(BERT).size,
            inputs.of(BERT).path,
            lambda it: inputs.of(BERT).check(GenerationRequest(extras={"e": {"i": it}})),
        ):
            try:
                look(asked)
            except UserError as error:
                said.add((error.key, error.values["id"] == asked[:12]))
    assert said == {("error.input.missing", True)}
    assert inputs.of(BERT).add(png(tmp_path, "red")) == name
    assert inputs.of(BERT).size(name) == (8, 8)


def test_no_file_is_looked_at_for_what_is_not_ones_own(
    inputs: HandedIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So that no clock can tell whether it is there."""
    name = inputs.of(ANNA).add(png(tmp_path, "red"))

    def never(*_: object) -> None:
        raise AssertionError("the folder was asked")

    for method in ("has", "path", "size", "open"):
        monkeypatch.setattr(InputPictures, method, never)
    for asked in (name, A):
        for look in (inputs.of(BERT).size, inputs.of(BERT).path):
            with pytest.raises(UserError, match="not here any more"):
                look(asked)


def test_very_many_names_end_at_the_first_that_is_not_ones_own(inputs: HandedIn, tmp_path: Path):
    own = inputs.of(BERT).add(png(tmp_path, "red"))
    many = [f"{number:064x}" for number in range(5000)]
    asked = GenerationRequest(extras={"x": {"values": ", ".join(many)}})
    looked: list[int] = []
    rows = inputs._rows
    ask = rows.handed_in

    def counted(client: str, names: Any) -> frozenset[str]:
        looked.append(len(names))
        return ask(client, names)

    rows.handed_in = counted  # type: ignore[method-assign]
    with pytest.raises(UserError):
        inputs.of(BERT).check(asked)
    assert len(looked) == 1
    same = GenerationRequest(extras={"x": {"values": ", ".join([own] * 5000)}})
    inputs.of(BERT).check(same)
    assert looked[1:] == [1]


def test_rows_go_with_their_files_and_stay_with_them(
    inputs: HandedIn, store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = {
        colour: inputs.of(ANNA).add(png(tmp_path, colour)) for colour in ("red", "blue", "green")
    }
    old = time.time() - 10 * DAY
    for colour in ("red", "green"):
        os.utime(inputs.pictures.path(names[colour]), (old, old))
    # While the folder is being cleaned, somebody hands in again what has just gone.
    clean = InputPictures.clean

    def cleaned(pictures: InputPictures, *given: Any) -> int:
        gone = clean(pictures, *given)
        inputs.of(ANNA).add(png(tmp_path, "green"))
        return gone

    monkeypatch.setattr(InputPictures, "clean", cleaned)
    assert inputs.clean(7 * DAY) == 2
    assert store.handed_in(ANNA, list(names.values())) == {names["blue"], names["green"]}
    assert {name for _, name in store.all_handed_in()} == {names["blue"], names["green"]}
    assert inputs.of(ANNA).size(names["green"]) == (8, 8)


def test_a_folder_that_is_away_takes_no_rows_with_it(inputs: HandedIn, tmp_path: Path):
    name = inputs.of(ANNA).add(png(tmp_path, "red"))
    inputs.pictures.folder.rename(tmp_path / "elsewhere")
    assert inputs.clean(0.0) == 0
    (tmp_path / "elsewhere").rename(inputs.pictures.folder)
    assert inputs.of(ANNA).size(name) == (8, 8)


def test_the_owner_leaves_no_rows(inputs: HandedIn, store: JobStore, tmp_path: Path):
    for client in (OWNER, "cli", ""):
        inputs.of(client).add(png(tmp_path, "red"))
    assert store.all_handed_in() == []


# ------------------------------------------------------------------------------------------- what there was before


def test_an_installation_of_before_gets_its_rows_from_its_jobs(tmp_path: Path):
    file = tmp_path / "data" / "noisette.sqlite3"
    file.parent.mkdir()
    unit = {"enabled": True, "image": C}
    told = {
        ANNA: {"img2img": {"image": A, "inpaint": {"mask": B}}, "extras": {"c": {"units": [unit]}}},
        BERT: {"prompt": A, "postprocess": {"image": D, "infotext": f"Init image hash: {B}"}},
        OWNER: {"img2img": {"image": "e" * 64}},
    }
    cell = Cell(request=GenerationRequest(extras={"c": {"image": "f" * 64}}), at=(0, 0, 0))
    layout = Layout(x=LayoutAxis(title="Steps", labels=("1",)), cells=(cell,))
    with sqlite3.connect(file) as db:
        for script in MIGRATIONS[:3]:
            assert isinstance(script, str)
            db.executescript(script)
        db.execute("PRAGMA user_version = 3")
        rows = [(json.dumps(asked), client) for client, asked in told.items()]
        rows += [("no JSON", BERT), ("[" * 100_000, BERT), ("7", BERT), ("{}", BERT)]
        db.executemany(
            "INSERT INTO jobs (uid, state, request, client, created) VALUES (hex(randomblob(4)), 'done', ?, ?, 0)",
            rows,
        )
        db.execute("INSERT INTO layouts VALUES (7, ?)", (layout.model_dump_json(),))
        db.execute("INSERT INTO layouts VALUES (6, 'no JSON')")
    db.close()
    store = JobStore(file)
    every = [A, B, C, D, "e" * 64, "f" * 64]
    assert store.handed_in(ANNA, every) == {A, B, C}
    assert store.handed_in(BERT, every) == {D, "f" * 64}
    assert len(store.all_handed_in()) == 5
    store.close()
    JobStore(file).close()  # and once is enough


def test_backup_and_restore_keep_pictures_and_rows_together(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "here")
    store = JobStore(settings.database)
    inputs = HandedIn(InputPictures(settings.data_dir / "data" / "inputs"), store)
    name = inputs.of(ANNA).add(png(tmp_path, "red"))
    write_backup(settings, tmp_path / "kept.zip")
    store.close()
    there = Settings(data_dir=tmp_path / "there")
    (tmp_path / "there").mkdir()
    restore(there, tmp_path / "kept.zip")
    store = JobStore(there.database)
    inputs = HandedIn(InputPictures(there.data_dir / "data" / "inputs"), store)
    assert inputs.of(ANNA).size(name) == (8, 8)
    with pytest.raises(UserError):
        inputs.of(BERT).size(name)
    store.close()


def test_after_a_damaged_queue_guests_hand_in_again(tmp_path: Path):
    """Who had asked for a picture stood in the rows alone: its jobs are the owner's then, and so is what they name."""
    here = house(tmp_path)
    data = png(tmp_path, "red")
    name = here.studio.inputs.of(ANNA).add(data)
    here.studio.close()
    file = tmp_path / "data" / "noisette.sqlite3"
    file.write_bytes(b"no database" * 1000)
    assert mend(file, Outputs(tmp_path / "outputs")) is not None
    here = house(tmp_path)
    assert here.studio.inputs.of("cli").size(name) == (8, 8)
    with pytest.raises(UserError):
        here.studio.inputs.of(ANNA).size(name)
    here.studio.inputs.of(ANNA).add(data)
    assert here.studio.inputs.of(ANNA).size(name) == (8, 8)
    here.studio.close()


# ------------------------------------------------------------------------------------------- what a job keeps


class Stamp:
    """A finisher that keeps a picture of its making, as ControlNet keeps its maps."""

    def __init__(self, pictures: KeepingPictures) -> None:
        self.pictures = pictures
        self.name = ""

    def finish(self, image: Image.Image, *_: Any) -> Image.Image:
        self.name = self.pictures.keep(Image.new("RGB", (8, 8), "gold"))
        return image

    def infotext(self) -> dict[str, object]:
        return {}


def test_what_an_extension_keeps_in_a_job_is_his_who_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pictures = KeepingPictures(tmp_path / "data" / "inputs")
    stamp = Stamp(pictures)
    plugins = FakePlugins()
    plugins.finishers = (stamp,)
    made = service(tmp_path, plugins=plugins, inputs=pictures, kept=pictures.taken)
    pictures.keep(Image.new("RGB", (8, 8), "gray"))  # left over: nobody's
    here = house(tmp_path, worker=InProcessWorker(lambda: made))
    here.studio.start()
    job = here.finish(here.studio.submit(GenerationRequest(batch_count=2), ANNA).id, 60.0)
    assert job.state is JobState.DONE
    assert here.studio.inputs.of(ANNA).size(stamp.name) == (8, 8)
    with pytest.raises(UserError):
        here.studio.inputs.of(BERT).size(stamp.name)
    assert [name for _, name in here.store.all_handed_in()] == [stamp.name]
    here.studio.close()


class Telling:
    """A worker that tells what it was given to tell."""

    def __init__(self, *events: Any) -> None:
        self._events = events

    def start(self) -> None:
        pass

    def run(self, job: Any, on_event: Any) -> None:
        for event in (*self._events, Finished()):
            on_event(event.model_copy(update={"job_id": job.id}))

    def close(self, timeout: float = 0.0) -> None:
        pass


def test_a_disk_that_refuses_the_row_for_a_while_only_delays_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = house(tmp_path, worker=Telling(InputsKept(inputs=(A,)), saved(0)))
    hand_in, refused = here.store.hand_in, []

    def stubborn(*given: Any) -> None:
        if not refused:
            refused.append(given)
            raise StorageError("error.storage.full", path=tmp_path)
        hand_in(*given)

    monkeypatch.setattr(here.store, "hand_in", stubborn)
    job = here.studio.submit(GenerationRequest(), ANNA)
    ended = here.studio.run(job.id)
    assert ended.state is JobState.DONE and len(ended.pictures) == 1
    assert refused and here.store.handed_in(ANNA, [A]) == {A}
    assert not any(isinstance(each, InputsKept) for each in here.plugins.events)
    assert any(isinstance(each, ImageSaved) for each in here.plugins.events)
    here.studio.close()
