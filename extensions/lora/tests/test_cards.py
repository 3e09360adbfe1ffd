"""What files say of themselves, by stripped headers: names and shapes as trainers write them, no weights."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from extensions.lora.aliases import original_names
from extensions.lora.architecture import KNOWN
from extensions.lora.card import describe, misfit
from extensions.lora.dialects import Modules, read
from extensions.lora.files import Header, read_header, short_hash
from extensions.lora.rows import Row
from extensions.lora.shelf import Shelf
from modules.errors import UserError

Shapes = dict[str, tuple[int, ...]]
FAMILIES = {family: Modules.of(known.layout()) for family, known in KNOWN.items()}


def attention(part: str, family: str) -> list[tuple[str, tuple[int, ...]]]:
    ends = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
    text = ("_proj", ".fc1", ".fc2")
    return [
        (path, shape)
        for path, shape in FAMILIES[family].layout[part].items()
        if path.endswith(ends if part == "unet" else text)
    ]


def pair(stem: str, shape: tuple[int, ...], rank: int, ends: tuple[str, str]) -> Shapes:
    kernel = shape[2:]
    return {
        stem + ends[0]: (rank, shape[1], *kernel),
        stem + ends[1]: (shape[0], rank, *[1 for _ in kernel]),
    }


def kohya_sd(family: str) -> Shapes:
    """As sd-scripts writes it for SD 1.x and 2.x, with the text encoder."""
    found: Shapes = {}
    for part, prefix in (("unet", "lora_unet_"), ("text_encoder", "lora_te_text_model_")):
        for path, shape in attention(part, family):
            stem = prefix + path.replace(".", "_")
            found |= pair(stem, shape, 16, (".lora_down.weight", ".lora_up.weight"))
            found[f"{stem}.alpha"] = ()
    return found


def kohya_xl() -> Shapes:
    """As sd-scripts writes it for SDXL: the original code's names, two text encoders."""
    found: Shapes = {}
    for path, shape in attention("unet", "sdxl"):
        stem = "lora_unet_" + next(original_names(path, 2)).replace(".", "_")
        found |= pair(stem, shape, 32, (".lora_down.weight", ".lora_up.weight"))
        found[f"{stem}.alpha"] = ()
    for part, prefix in (("text_encoder", "lora_te1_"), ("text_encoder_2", "lora_te2_")):
        for path, shape in attention(part, "sdxl"):
            stem = prefix + "text_model_" + path.replace(".", "_")
            found |= pair(stem, shape, 32, (".lora_down.weight", ".lora_up.weight"))
    return found


def diffusers(family: str) -> Shapes:
    found: Shapes = {}
    for path, shape in attention("unet", family):
        found |= pair(f"unet.{path}", shape, 4, (".lora_A.weight", ".lora_B.weight"))
    for path, shape in attention("text_encoder", family):
        found |= pair(
            f"text_encoder.text_model.{path}", shape, 4, (".lora_A.weight", ".lora_B.weight")
        )
    return found


def old_diffusers() -> Shapes:
    found: Shapes = {}
    for path, shape in attention("unet", "sd1"):
        if ".attn" in path:
            head, _, last = path.rpartition(".attn")
            stem = (
                f"unet.{head}.attn{last.replace('.to_', '.processor.to_').removesuffix('.0')}_lora"
            )
            found |= pair(stem, shape, 4, (".down.weight", ".up.weight"))
    return found


def lycoris() -> Shapes:
    """LoHa in the attention, LoKr and DoRA in convolutions, norms."""
    found: Shapes = {}
    for path, shape in FAMILIES["sd1"].layout["unet"].items():
        stem = "lora_unet_" + path.replace(".", "_")
        if len(shape) == 2:
            for half in "12":
                found[f"{stem}.hada_w{half}_a"] = (shape[0], 8)
                found[f"{stem}.hada_w{half}_b"] = (8, shape[1])
        elif path.endswith("conv1"):
            found[f"{stem}.lokr_w1"] = (4, 4)
            found[f"{stem}.lokr_w2_a"] = (shape[0] // 4, 8)
            found[f"{stem}.lokr_w2_b"] = (8, shape[1] // 4 * 9)
        elif path.endswith("conv2"):
            found |= pair(stem, shape, 8, (".lora_down.weight", ".lora_up.weight"))
            found[f"{stem}.dora_scale"] = (1, shape[1], 1, 1)
        elif len(shape) == 1:
            found |= {f"{stem}.w_norm": shape, f"{stem}.b_norm": shape}
    return found


@pytest.mark.parametrize(
    ("shapes", "family", "rank", "kinds", "parts"),
    [
        (kohya_sd("sd1"), "sd1", "16", ("lora",), ("text_encoder", "unet")),
        (kohya_sd("sd2"), "sd2", "16", ("lora",), ("text_encoder", "unet")),
        (kohya_xl(), "sdxl", "32", ("lora",), ("text_encoder", "text_encoder_2", "unet")),
        (diffusers("sd1"), "sd1", "4", ("lora",), ("text_encoder", "unet")),
        (diffusers("sdxl"), "sdxl", "4", ("lora",), ("text_encoder", "unet")),
        (old_diffusers(), "sd1", "4", ("lora",), ("unet",)),
        (lycoris(), "sd1", "8", ("loha", "lokr", "dora", "norm"), ("unet",)),
    ],
    ids=["kohya sd1", "kohya sd2", "kohya sdxl", "peft sd1", "peft sdxl", "old diffusers", "lycoris"],
)  # fmt: skip
def test_family_rank_and_every_key(
    shapes: Shapes,
    family: str,
    rank: str,
    kinds: tuple[str, ...],
    parts: tuple[str, ...],
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.safetensors"
    path.touch()
    card = describe("x", path, Header(shapes), FAMILIES)
    assert (card.family, card.rank, card.kinds, card.parts) == (family, rank, kinds, parts)
    assert card.fraction == 1.0 and card.unknown == ()
    for other in ("sd1", "sd2", "sdxl"):
        assert (misfit(card, other) is None) == (other == family)


@pytest.mark.parametrize(
    ("key", "base"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj.lora_down.weight", "FLUX"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "FLUX"),
        ("lora_unet_joint_blocks_0_x_block_attn_proj.lora_down.weight", "Stable Diffusion 3"),
    ],
)
def test_other_families_are_named(key: str, base: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.touch()
    card = describe("x", path, Header({key: (16, 3072)}), FAMILIES)
    assert (card.family, card.base, card.fraction) == (None, base, 0.0)
    warning = misfit(card, "sdxl")
    assert warning is not None and base in warning[0] and warning[0] != warning[1]


def test_shapes_of_another_width_are_misfits() -> None:
    found = read(kohya_sd("sd2"), FAMILIES["sd1"])
    assert found.misfits and 0 < found.fraction < 1
    assert any("attn2_to_k" in key for key in found.misfits)


def test_a_key_in_two_dialects_counts_once() -> None:
    path, shape = attention("unet", "sd1")[0]
    both = pair(
        "lora_unet_" + path.replace(".", "_"), shape, 4, (".lora_down.weight", ".lora_up.weight")
    )
    both |= pair(f"unet.{path}", shape, 4, (".lora_A.weight", ".lora_B.weight"))
    found = read(both, FAMILIES["sd1"])
    assert len(found.targets) == 1 and len(found.unknown) == 2 and found.fraction == 0.5


def write(path: Path, metadata: dict[str, str] | None = None, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file(
        {
            f"{stem}.lora_down.weight": rng.normal(size=(4, 768)).astype(np.float16),
            f"{stem}.lora_up.weight": rng.normal(size=(1280, 4)).astype(np.float16),
        },
        str(path),
        metadata,
    )
    return path


def test_words_tags_and_notes(tmp_path: Path) -> None:
    tags = {"10_ink": {"ink": 40, "cat": 3}, "5_more": {"ink": 2, "dog": 9, "bad": "x"}}
    path = write(
        tmp_path / "lora" / "ink.safetensors",
        {
            "ss_tag_frequency": json.dumps(tags),
            "modelspec.trigger_phrase": "inked, bold",
            "modelspec.title": "Ink",
            "ss_output_name": "ink-v2",
        },
    )
    path.with_suffix(".json").write_text(
        json.dumps(
            {
                "activation text": "ink drawing, inked",
                "preferred weight": 0.7,
                "notes": "For line art.",
            }
        )
    )
    Image.new("RGB", (600, 400), "red").save(path.with_suffix(".png"))
    shelf = Shelf(tmp_path)
    (file,) = shelf.files()
    card = shelf.card(file)
    assert card.words == ("ink drawing", "inked", "bold")
    assert card.tags == (("ink", 42), ("dog", 9), ("cat", 3))
    assert (card.title, card.weight, card.note, card.alias) == (
        "Ink",
        0.7,
        "For line art.",
        "ink-v2",
    )
    assert 0 < len(shelf.thumb(file)) < 20_000
    assert shelf.find(Row(name="ink-v2")) == file
    for words, there in (("ink", 1), ("LINE art", 1), ("bold ink", 1), ("oil", 0)):
        assert len(shelf.search(words)) == there


@pytest.mark.parametrize(
    "metadata", [{"ss_tag_frequency": "{"}, {"ss_tag_frequency": "[" * 100_000}]
)
def test_hostile_metadata_is_passed_over(metadata: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "lora" / "x.safetensors", metadata)
    shelf = Shelf(tmp_path)
    assert shelf.card(shelf.files()[0]).tags == ()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a whole safetensors file"),
        (b"<html>", "not a whole safetensors file"),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a whole safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "not a whole safetensors file"),
        (struct.pack("<Q", 90) + json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).ljust(90).encode(), "not a whole"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_hides_no_other(data: bytes, why: str, tmp_path: Path) -> None:
    write(tmp_path / "lora" / "good.safetensors")
    bad = tmp_path / "lora" / "bad.safetensors"
    bad.write_bytes(data)
    with pytest.raises(UserError, match=f"bad.safetensors.*{why}"):
        read_header(bad)
    shelf = Shelf(tmp_path)
    assert shelf.find(Row(name="good")).name == "good"
    assert [file.name for file in shelf.search("")] == ["bad", "good"]


def test_the_hash_is_of_the_tensors_alone(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.safetensors")
    titled = write(tmp_path / "b.safetensors", {"modelspec.title": "x"})
    other = write(tmp_path / "c.safetensors", seed=1)
    hashes = [short_hash(path, {}) for path in (plain, titled, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(len(each) == 12 for each in hashes)
    assert short_hash(plain, {"sshs_model_hash": "ABCDEF012345" + "0" * 52}) == "abcdef012345"
    assert short_hash(plain, {"sshs_model_hash": "none"}) == hashes[0]


def test_finding_by_name_and_hash(tmp_path: Path) -> None:
    write(tmp_path / "lora" / "a" / "ink.safetensors")
    write(tmp_path / "lora" / "b" / "ink.safetensors", seed=1)
    write(tmp_path / "lora" / "wash.safetensors", seed=2)
    shelf = Shelf(tmp_path)
    assert shelf.find(Row(name="a/ink")).name == "a/ink"
    assert shelf.find(Row(name="WASH")).name == "wash"
    with pytest.raises(UserError, match="Several LoRAs are called 'ink': a/ink, b/ink"):
        shelf.find(Row(name="ink"))
    known = shelf.hash(shelf.find(Row(name="b/ink")))
    assert shelf.find(Row(name="gone", hash=known)).name == "b/ink"
    with pytest.raises(UserError, match=r"no LoRA 'wahs'. Did you mean 'wash'"):
        shelf.find(Row(name="wahs"))


def test_a_model_of_other_widths_that_is_here_is_known(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "models" / "checkpoints" / "pocket"
    for part in ("unet", "text_encoder"):
        target = tmp_path / "checkpoints" / "pocket" / part / "config.json"
        target.parent.mkdir(parents=True)
        target.write_bytes((source / part / "config.json").read_bytes())
    shelf = Shelf(tmp_path)
    (model,) = shelf.customs().values()
    rng = np.random.default_rng(0)
    tensors = {}
    for path, shape in model.layout["unet"].items():
        if path.endswith("to_k"):
            stem = "lora_unet_" + path.replace(".", "_")
            tensors[f"{stem}.lora_down.weight"] = rng.normal(size=(2, shape[1])).astype(np.float16)
            tensors[f"{stem}.lora_up.weight"] = rng.normal(size=(shape[0], 2)).astype(np.float16)
    (tmp_path / "lora").mkdir()
    save_file(tensors, str(tmp_path / "lora" / "small.safetensors"))
    card = shelf.card(shelf.files()[0])
    assert (card.family, card.base, card.fraction) == ("sd1", "Stable Diffusion 1.x (pocket)", 1.0)
    assert shelf.fraction(card, "pocket") == 1.0
    assert shelf.fraction(card, "other") is None
