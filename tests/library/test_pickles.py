"""Legacy files: what they hold comes out, what they want to run does not run."""

import collections
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from modules.errors import ModelFileError
from modules.library.embeddings import Shelf, read_embedding
from modules.library.pickles import Converter

CANARY = "canary"


@pytest.fixture
def converter(tmp_path):
    return Converter(tmp_path / "cache")


class Runs:
    """Runs something when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


WEIGHTS = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "half": torch.arange(6.0).half(),
    "brain": torch.arange(6.0).bfloat16(),
    "turned": torch.arange(12.0).reshape(3, 4).T,
    "part": torch.arange(12.0)[3:7],
    "whole": torch.tensor([1, -2, 3]),
    "one": torch.tensor(2.5),
    "none": torch.zeros(0, 4),
    "yes": torch.tensor([True, False]),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_is_converted_number_for_number(converter, tmp_path, zipped):
    path = tmp_path / "old.ckpt"
    state = collections.OrderedDict(WEIGHTS)
    state["trained"] = torch.nn.Parameter(torch.ones(2))
    root = {"state_dict": state, "global_step": 7, "optimizer": [torch.ones(1)], "epoch": {1, 2}}
    torch.save(root, path, _use_new_zipfile_serialization=zipped)
    before = path.read_bytes()
    assert converter.known(path) is None
    copy = converter.get(path)
    same(load_file(copy), {**WEIGHTS, "trained": torch.ones(2)})
    assert converter.known(path) == copy
    assert converter.get(path) == copy
    assert path.read_bytes() == before
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]
    os.utime(path, ns=(1, 1))
    assert converter.known(path) is None


def hostile(tmp_path, value, form):
    path = tmp_path / f"evil{form}.pt"
    if form == "bare":
        path.write_bytes(pickle.dumps(value))
    elif form == "zip":
        torch.save({"state_dict": {"a": torch.ones(1), "b": value}}, path)
    else:
        torch.save(
            {"state_dict": {"a": torch.ones(1), "b": value}},
            path,
            _use_new_zipfile_serialization=False,
        )
    return path


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.mkdir, r"(posix|nt)\.mkdir"),
        (eval, r"(builtins|__builtin__)\.eval"),
        (getattr, r"(builtins|__builtin__)\.getattr"),
        (torch.load, r"torch\.serialization\.load"),
        (torch.hub.load, r"torch\.hub\.load"),
    ],
)
def test_a_program_is_refused_by_name_and_not_run(converter, tmp_path, form, function, name):
    canary = tmp_path / CANARY
    text = f"__import__('os').mkdir({str(canary)!r})"
    argument = text if function is eval else str(canary)
    path = hostile(tmp_path, Runs(function, argument), form)
    with pytest.raises(ModelFileError, match=rf"opening it would run {name}"):
        converter.get(path)
    assert not canary.exists()
    assert converter.known(path) is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_canary_would_sing(tmp_path):
    """The same file in the hands of pickle itself: else the test above could not fail."""
    canary = tmp_path / CANARY
    path = hostile(tmp_path, Runs(os.mkdir, str(canary)), "bare")
    pickle.loads(path.read_bytes())
    assert canary.is_dir()


def test_what_training_programs_leave_behind_does_no_harm(converter, tmp_path):
    """A GLOBAL of pytorch_lightning, called with arguments: nothing of that name is imported."""
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "callbacks": 0}, path)
    inner = (
        b"\x80\x02}q\x00(X\x09\x00\x00\x00callbackscpytorch_lightning.callbacks\nModelCheckpoint\n"
        b"(X\x01\x00\x00\x00xtR}b"
    )
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    old = entries[name]
    assert old.startswith(b"\x80\x02}q\x00(") and old.endswith(b".")
    entries[name] = inner + old[len(b"\x80\x02}q\x00(") :]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    same(load_file(converter.get(path)), {"a": torch.ones(2)})


def damaged(tmp_path):
    good = tmp_path / "good.pt"
    torch.save({"a": torch.ones(64)}, good)
    data = good.read_bytes()
    packed = tmp_path / "packed.pt"
    with (
        zipfile.ZipFile(good) as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for info in archive.infolist():
            out.writestr(info.filename, archive.read(info))
    return {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "text": b"hello",
        "packed": packed.read_bytes(),
        "no tensors": pickle.dumps({"a": 1}),
        "endless": b"\x80\x02" + b"(" * 100_000 + b".",
        "deep": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    }


@pytest.mark.parametrize(
    "fault", ["cut", "empty", "text", "packed", "no tensors", "endless", "deep"]
)
def test_damaged_files_are_named(converter, tmp_path, fault):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(damaged(tmp_path)[fault])
    with pytest.raises(ModelFileError, match=r"bad\.ckpt cannot be converted"):
        converter.get(path)
    assert converter.known(path) is None


def test_a_view_beyond_its_storage_reads_nothing(converter, tmp_path):
    path = tmp_path / "bad.pt"
    torch.save({"a": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    data = next(name for name in entries if "/data/" in name)
    entries[data] = entries[data][:8]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry, value in entries.items():
            archive.writestr(entry, value)
    with pytest.raises(ModelFileError, match="a lies outside its storage"):
        converter.get(path)


def test_a_missing_file(converter, tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        converter.get(tmp_path / "gone.ckpt")


class Parts:
    """As much of a model as embeddings look at."""

    def __init__(self, *widths):
        def encoder(width):
            config = type("Config", (), {"hidden_size": width})
            return None if width is None else type("Encoder", (), {"config": config})

        self.text_encoder, self.text_encoder_2 = map(encoder, widths)


def test_embeddings_by_name_for_the_models_they_fit(converter, tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "embeddings"
    (folder / "more").mkdir(parents=True)
    one, two = torch.randn(2, 768), torch.randn(3, 1024)
    save_file({"emb_params": one.half()}, folder / "one.safetensors")
    torch.save(
        {"string_to_token": {"*": 265}, "string_to_param": {"*": two}, "name": "x", "step": 1},
        folder / "two.pt",
    )
    torch.save({"<cat>": torch.ones(768)}, folder / "more" / "cat.bin")
    pair = {"clip_l": torch.randn(2, 768), "clip_g": torch.randn(2, 1280)}
    save_file(pair, folder / "pair.safetensors")
    torch.save({"a": Runs(os.mkdir, str(tmp_path / CANARY))}, folder / "evil.pt")
    shelf = Shelf(folder, converter)
    sd1 = shelf.fitting(Parts(768, None))
    assert set(sd1) == {"one", "cat", "pair"}
    assert torch.equal(sd1["one"].vectors[0], one.half().float())
    assert (sd1["one"].tokens, sd1["cat"].tokens) == (2, 1)
    sd2 = shelf.fitting(Parts(1024, None))
    assert torch.equal(sd2["two"].vectors[0], two)
    sdxl = shelf.fitting(Parts(768, 1280))
    assert set(sdxl) == {"pair"}
    assert [part.shape[1] for part in sdxl["pair"].vectors] == [768, 1280]
    refiner = shelf.fitting(Parts(None, 1280))
    assert refiner["pair"].vectors[0] is None
    assert torch.equal(refiner["pair"].vectors[1], pair["clip_g"])
    (problem,) = shelf.problems()
    assert problem.path.name == "evil.pt"
    assert "mkdir" in problem.reason
    assert not (tmp_path / CANARY).exists()
    assert sd1["one"] is sd1["one"]
    save_file({"emb_params": torch.zeros(5, 768)}, folder / "one.safetensors")
    (folder / "more" / "cat.bin").unlink()
    assert set(sd1) == {"one", "pair"}
    assert sd1["one"].tokens == 5


def test_what_is_no_embedding_is_named(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "x.safetensors"
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}, file)
    with pytest.raises(ModelFileError, match="no embedding but: lora"):
        read_embedding(file)
    save_file({"emb_params": torch.full((1, 768), float("nan"))}, file)
    with pytest.raises(ModelFileError, match="NaN"):
        read_embedding(file)
