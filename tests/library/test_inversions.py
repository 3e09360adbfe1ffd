"""What the page knows of textual inversions: names, tokens and which model reads them, from headers alone."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from modules.library.inversions import Inversions
from modules.schema import ModelCard


def card(family: str, path: Path = Path("nowhere.safetensors")) -> ModelCard:
    return ModelCard(name="m", title="M", family=family, path=path, size_bytes=0)


def put(file: Path, **tensors: tuple[int, ...]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, file)


def none(path: Path) -> Path | None:
    return None


def test_each_model_gets_those_that_its_encoders_can_read(tmp_path: Path):
    put(tmp_path / "one.safetensors", emb_params=(4, 768))
    put(tmp_path / "sub" / "two.safetensors", emb_params=(2, 1024))
    put(tmp_path / "pair.safetensors", clip_l=(3, 768), clip_g=(3, 1280))
    put(tmp_path / "word.safetensors", **{"<cat>": (768,)})
    (tmp_path / "broken.safetensors").write_bytes(b"no header")
    put(tmp_path / "lora.safetensors", **{"unet.down.weight": (4, 4)})
    found = Inversions(tmp_path, none)
    assert found.fitting(card("sd1")) == {"one": 4, "pair": 3, "word": 1}
    assert found.fitting(card("sd2")) == {"two": 2}
    assert found.fitting(card("sdxl")) == {"pair": 3}
    assert found.fitting(card("flux1")) == {}


def test_a_folders_own_encoder_counts_not_its_family(tmp_path: Path):
    put(tmp_path / "embeddings" / "one.safetensors", emb_params=(4, 768))
    model = tmp_path / "model"
    (model / "text_encoder").mkdir(parents=True)
    (model / "text_encoder" / "config.json").write_text('{"hidden_size": 192}')
    assert Inversions(tmp_path / "embeddings", none).fitting(card("sd1", model)) == {}


def test_what_is_changed_removed_or_converted_is_seen(tmp_path: Path):
    file = tmp_path / "one.safetensors"
    put(file, emb_params=(4, 768))
    (tmp_path / "old.pt").write_bytes(b"a pickle")
    put(tmp_path / "copies" / "x.safetensors", emb_params=(6, 768))
    copy = (tmp_path / "copies" / "x.safetensors").rename(tmp_path / "x.converted")
    copies: dict[Path, Path] = {}
    found = Inversions(tmp_path, copies.get)
    assert found.fitting(card("sd1")) == {"one": 4}
    copies[tmp_path / "old.pt"] = copy
    put(file, emb_params=(5, 768))
    assert found.fitting(card("sd1")) == {"old": 6, "one": 5}
    file.unlink()
    assert found.fitting(card("sd1")) == {"old": 6}


def test_it_counts_as_what_generates_reads(tmp_path: Path):
    from modules.library.embeddings import read_embedding

    put(tmp_path / "one.safetensors", emb_params=(4, 768))
    put(tmp_path / "pair.safetensors", clip_l=(3, 768), clip_g=(3, 1280))
    put(tmp_path / "word.safetensors", **{"<cat>": (768,)})
    for one in Inversions(tmp_path, none).all():
        whole = read_embedding(tmp_path / f"{one.name}.safetensors")
        assert [len(part) for part in whole.vectors] == [one.vectors] * len(one.widths)
