"""Nothing is left open, and what cannot be done is said before a model is touched."""

from dataclasses import replace

import pytest

from modules.errors import LimitError, UnknownNameError, UserError
from modules.schema import GenerationRequest, Limits
from modules.services.resolving import Lookups, resolve
from modules.services.vaes import VaeFiles, Vaes
from tests.services.fakes import CARD, FakeNames, find

PICTURE = "a" * 64
OTHER = CARD.model_copy(update={"name": "other"})
LOOKUPS = Lookups(
    find_model=lambda name: find((CARD, OTHER), name, CARD.name),
    size_of=lambda name: (300, 100),
    upscalers=lambda: ("4x Sharp",),
)


def resolved(lookups=LOOKUPS, limits=None, **fields):
    return resolve(GenerationRequest(**fields), CARD, limits or Limits(), FakeNames(), lookups)


def test_sides_that_are_no_multiples_are_taken():
    found = resolved(width=101, height=77)
    assert (found.width, found.height) == (101, 77)


def test_a_pictures_own_size_is_the_default():
    assert resolved(img2img={"image": PICTURE}).width == 300
    wide = Lookups(size_of=lambda name: (4000, 1000))
    found = resolved(wide, img2img={"image": PICTURE})
    assert (found.width, found.height) == (512, 128)
    only = {"mask": PICTURE, "area": "only_masked"}
    assert resolved(img2img={"image": PICTURE, "inpaint": only}).width == 64
    assert resolved(img2img={"image": PICTURE}, width=128).height == 64


def test_upscalers_are_spelled_as_they_are_called():
    for asked, name in (
        ("latent (NEAREST)", "Latent (nearest)"),
        ("lanczos", "Lanczos"),
        ("4X sharp", "4x Sharp"),
    ):
        assert resolved(hires={"upscaler": asked}).hires.upscaler == name
    with pytest.raises(UnknownNameError, match=r"no upscaler called “ESRGAN”.*Latent, .*4x Sharp"):
        resolved(hires={"upscaler": "ESRGAN"})


def test_the_samplers_of_the_second_pass_are_looked_up_too():
    assert resolved(hires={"sampler": "Euler A"}).hires.sampler == "euler_a"
    with pytest.raises(UnknownNameError):
        resolved(hires={"sampler": "nonsense"})


def test_the_refiner_is_looked_up():
    assert resolved(refiner={"model": "other"}).refiner.model == "other"
    with pytest.raises(UnknownNameError):
        resolved(refiner={"model": "nowhere"})
    with pytest.raises(UserError, match="is the model itself"):
        resolved(refiner={"model": "tiny"})


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("sdxl", r"family sdxl, the model of sd1.*same architecture"),
        ("sd3", "family sd3, the model of sd1"),
        ("flux1", "cannot take over"),
    ],
)
def test_a_refiner_of_other_latents_is_refused_before_it_is_loaded(family, words):
    other = CARD.model_copy(update={"name": "other", "family": family})
    lookups = replace(LOOKUPS, find_model=lambda name: other)
    request = GenerationRequest(refiner={"model": "other"})
    with pytest.raises(UserError, match=words):
        resolve(request, CARD, Limits(), FakeNames(), lookups)
    kin = replace(lookups, find_model=lambda name: other.model_copy(update={"family": "sd2"}))
    assert resolve(request, CARD, Limits(), FakeNames(), kin).refiner.model == "other"


def test_hires_fix_belongs_to_txt2img():
    with pytest.raises(UserError, match="belongs to txt2img"):
        resolved(hires={}, img2img={"image": PICTURE})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hires": {"scale": 8}, "width": 512, "height": 512}, "hires"),
        ({"hires": {"width": 65536}}, "hires"),
        ({"hires": {"steps": 151}}, "hires"),
        ({"img2img": {"image": PICTURE, "outpaint": {"left": 2048, "right": 2048}}}, "outpaint"),
        ({"hires": {"scale": 4}, "batch_size": 16, "batch_count": 100, "width": 512, "height": 512}, "pixels in all"),
    ],
)  # fmt: skip
def test_work_beyond_the_limits_is_refused_with_all_passes_counted(fields, words):
    with pytest.raises(LimitError) as caught:
        resolved(limits=Limits(max_result_side=2048), **fields)
    assert words in str(caught.value).casefold() or words in str(caught.value.values)


def test_resolving_twice_changes_nothing():
    for fields in (
        {"hires": {"sampler": "euler a", "upscaler": "latent"}},
        {"img2img": {"image": PICTURE}},
        {"refiner": {"model": "other"}},
    ):
        once = resolved(**fields)
        assert resolve(once, CARD, Limits(), FakeNames(), LOOKUPS) == once


def test_vaes_are_found_by_name_and_swapped_for_the_block(tmp_path):
    from contextlib import contextmanager
    from types import SimpleNamespace

    used = []

    @contextmanager
    def using(vae):
        used.append(vae)
        yield
        used.append("own")

    parts = SimpleNamespace(family="sd1", device="cpu", dtype="fp32", using=using)
    loads = []
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Nice.safetensors").write_bytes(b"x")
    checked = []
    files = VaeFiles(tmp_path, lambda path, family: checked.append((path.name, family)))
    assert files.fitting("sub/nice", "sdxl") == "sub/Nice"
    assert checked == [("Nice.safetensors", "sdxl")]
    vaes = Vaes(VaeFiles(tmp_path), lambda path, parts: loads.append(path) or path.name)
    assert VaeFiles(tmp_path).names() == ["sub/Nice"]
    for _ in range(2):
        with vaes.using("SUB/nice.safetensors", parts):
            assert used[-1] == "Nice.safetensors"
    assert used[-1] == "own" and len(loads) == 1
    with vaes.using(None, parts):
        assert used[-1] == "own"
    with pytest.raises(UnknownNameError, match=r"“\.\./x”.*sub/Nice"):
        vaes.find("../x")
    with pytest.raises(UnknownNameError):
        resolved(Lookups(vae=vaes.fitting), vae="none")
