"""Broken files beside good ones, and models that change from job to job, on tiny models in a whole installation."""

import hashlib
import itertools
import shutil
import threading

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from modules.app import build_studio
from modules.errors import UserError
from modules.schema import GenerationRequest, JobState
from modules.settings import Settings
from tests.fixtures.tiny import make_tiny

SMALL = {"width": 64, "height": 64, "steps": 2, "cfg_scale": 2.0, "sampler": "euler"}
ASKED = GenerationRequest(prompt="a cat", seed=5)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models of different weights, and one whole file."""
    root = tmp_path_factory.mktemp("models")
    folder = root / "checkpoints"
    for name in ("one", "other"):
        made = make_tiny(folder / name, preview=False, card={"defaults": SMALL})
        if name == "other":
            file = made / "unet" / "diffusion_pytorch_model.safetensors"
            save_file({key: value * 1.2 for key, value in load_file(file).items()}, file)
    return root


@pytest.fixture
def make_studio(tmp_path):
    studios = []

    def make(models, **settings):
        (tmp_path / "none").mkdir(exist_ok=True)
        made = Settings(
            data_dir=tmp_path / "data",
            models_dir=models,
            extensions_dir=tmp_path / "none",
            default_model="one",
            limits={"min_side": 8},
            **settings,
        )
        studios.append(build_studio(made, in_process=True))
        return studios[-1]

    yield make
    for each in studios:
        each.close(2.0)


def pixels(studio, job):
    assert job.state is JobState.DONE, job.error
    with Image.open(studio.picture_file(job.pictures[0].id)) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def run(studio, **changes):
    return studio.run(studio.submit(ASKED.replace(**changes)).id)


def test_broken_files_are_named_and_the_good_model_works_on(models, make_studio, tmp_path):
    mine = tmp_path / "models"
    shutil.copytree(models, mine)
    folder = mine / "checkpoints"
    whole = (folder / "one" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    faults = {
        "cut.safetensors": whole[: len(whole) // 2],
        "page.safetensors": b"<!DOCTYPE html><html><body>Please log in</body></html>",
        "empty.safetensors": b"",
        "picture.safetensors": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        "lie.safetensors": (1 << 60).to_bytes(8, "little") + whole[8:],
    }
    for name, data in faults.items():
        (folder / name).write_bytes(data)
    shutil.copytree(folder / "one", folder / "torn")
    torn = folder / "torn" / "unet" / "diffusion_pytorch_model.safetensors"
    torn.write_bytes(whole[:-1000])

    studio = make_studio(mine)
    found = studio.models()
    assert {card.name for card in found.cards} >= {"one", "other"}
    named = {problem.path.name for problem in found.problems}
    assert named >= {*faults}
    before = pixels(studio, run(studio))
    for name in [*faults, "torn"]:
        with pytest.raises(UserError, match=name.split(".")[0]):
            job = run(studio, model=name.removesuffix(".safetensors"))
            raise UserError.from_dict(
                job.error
            )  # one whose header is whole is found out by the job
    assert pixels(studio, run(studio)) == before


def test_models_that_change_from_job_to_job_are_never_mixed(models, make_studio):
    """Two threads submit for two models, of which one alone may stay in memory."""
    studio = make_studio(models, model_cache_bytes=0)
    pairs = list(itertools.product(("one", "other"), (5, 6)))
    expected = {
        (model, seed): pixels(studio, run(studio, model=model, seed=seed)) for model, seed in pairs
    }
    assert len(set(expected.values())) == 4
    jobs = []

    def ask(client):
        for number in range(3):
            model, seed = pairs[(2 * number + client) % 4]
            jobs.append(studio.submit(ASKED.replace(model=model, seed=seed), str(client)))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    studio.start()
    for job in jobs:
        version = studio.version
        while not studio.job(job.id).state.finished:
            version = studio.watch(version, 1.0)
        wanted = job.request.model, job.request.seed
        assert pixels(studio, studio.job(job.id)) == expected[wanted], wanted


def test_a_whole_file_that_is_swapped_is_read_again(models, make_studio, tmp_path):
    """Overwriting a model in use gives the new one or a named error, never a mixture."""
    mine = tmp_path / "models"
    shutil.copytree(models, mine)
    studio = make_studio(mine)
    one, other = pixels(studio, run(studio)), pixels(studio, run(studio, model="other"))
    target = mine / "checkpoints" / "one" / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(mine / "checkpoints" / "other" / "unet" / target.name, target.with_suffix(".new"))
    target.with_suffix(".new").replace(target)
    studio.models(refresh=True)
    assert pixels(studio, run(studio)) in (one, other)
