"""The preprocessors of controlnet-aux: what they import is here, and what they make has the picture's size."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from extensions.controlnet import detectors
from extensions.controlnet.detectors import PACKAGES, detect
from extensions.controlnet.fetching import Fetching
from extensions.controlnet.modules_list import MODULES, Module, module_named
from modules.errors import UserError
from modules.plugins.host import Host

HEAVY = [module for module in MODULES if module.weights is not None]
OWN = {
    "hed": ("hed",),
    "hedsafe": ("hed",),
    "pidinet": ("pidi", "pidi.model"),
    "pidisafe": ("pidi", "pidi.model"),
    "realistic": ("lineart",),
    "coarse": ("lineart",),
    "anime": ("lineart_anime",),
    "midas": ("midas", "midas.api", "midas.midas.dpt_depth", "midas.midas.vit"),
    "zoe": (
        "zoe",
        "zoe.zoedepth.models.zoedepth.zoedepth_v1",
        "zoe.zoedepth.models.base_models.midas",
        "zoe.zoedepth.models.base_models.midas_repo.midas.dpt_depth",
        "zoe.zoedepth.models.base_models.midas_repo.midas.backbones.beit",
    ),
    "mlsd": ("mlsd", "mlsd.models.mbv2_mlsd_large", "mlsd.utils"),
    "normalbae": ("normalbae", "normalbae.nets.NNET", "normalbae.nets.submodules.decoder"),
    "openpose": ("open_pose", "open_pose.body", "open_pose.hand", "open_pose.face"),
}
"""Below controlnet_aux, by the preprocessor's name or what follows its first underscore."""


def paths_of(module: Module) -> tuple[str, ...]:
    kind, _, variant = module.name.partition("_")
    return OWN[kind] if kind in OWN else OWN[variant]


@pytest.mark.parametrize("module", HEAVY, ids=lambda module: module.name)
def test_what_an_offered_preprocessor_imports_is_installed(module: Module) -> None:
    for path in paths_of(module):
        import_module(f"controlnet_aux.{path}")


def test_the_packages_that_are_looked_for_are_those_of_the_lock() -> None:
    lock = (Path(__file__).parents[3] / "requirements" / "lock.txt").read_text("utf-8")
    pinned = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    names = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}
    for name in PACKAGES:
        assert find_spec(name) is not None, name
        wanted = names.get(name, name.replace("_", "-"))
        assert wanted in pinned or wanted.startswith("torch"), name


@pytest.mark.parametrize("module", HEAVY, ids=lambda module: module.name)
def test_a_missing_package_is_said_before_anything_is_fetched(
    host: Host, monkeypatch: pytest.MonkeyPatch, module: Module
) -> None:
    monkeypatch.setattr(detectors, "find_spec", lambda name: None if name == "timm" else object())
    with pytest.raises(UserError, match=f"{module.name} needs the Python package timm") as caught:
        Fetching(host).run(module, lambda share: None)
    assert "Python 包 timm" in caught.value.message("zh")
    assert not (host.models / "annotators").exists()


def test_a_package_that_is_missing_later_is_not_blamed_on_the_weights(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = module_named("mlsd")
    _files(host, module)

    def broken(name: str, place: str) -> Any:
        raise ModuleNotFoundError("No module named 'paint'", name="paint")

    monkeypatch.setattr(detectors, "_made", broken)
    with pytest.raises(UserError, match="mlsd needs the Python package paint"):
        detect(host, module, _noise(64, 64), [0.1, 0.1])


def test_damaged_weights_are_said(host: Host) -> None:
    module = module_named("mlsd")
    _files(host, module, b"")
    with pytest.raises(UserError, match="weights of the preprocessor mlsd cannot be read"):
        detect(host, module, _noise(64, 64), [0.1, 0.1])


def _files(host: Host, module: Module, data: bytes = b"x") -> None:
    assert module.weights is not None
    for name in module.weights.files:
        path = host.models / "annotators" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _noise(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "face", "hand"),
    [
        ("openpose", False, False),
        ("openpose_full", True, True),
        ("openpose_face", True, False),
        ("openpose_hand", False, True),
    ],
)
def test_poses_are_drawn_without_matplotlib(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str, face: bool, hand: bool
) -> None:
    import controlnet_aux
    from controlnet_aux.open_pose import PoseResult
    from controlnet_aux.open_pose.body import BodyResult, Keypoint

    asked: list[Any] = []

    class Detector:
        """As the one of controlnet-aux where its networks have found somebody."""

        @classmethod
        def from_pretrained(cls, place: str) -> "Detector":
            assert Path(place) == host.models / "annotators"
            return cls()

        def detect_poses(
            self, pixels: Any, include_hand: bool = False, include_face: bool = False
        ) -> list[Any]:
            asked.append((pixels.shape, include_hand, include_face))
            body = [Keypoint(0.3 + 0.02 * n, 0.1 + 0.04 * n) for n in range(18)]
            fingers = [Keypoint(0.1 + 0.03 * (n % 5), 0.5 + 0.02 * n) for n in range(21)]
            features = [Keypoint(0.8, 0.1 + 0.005 * n) for n in range(70)]
            return [
                PoseResult(
                    BodyResult(body, 1.0, 18),
                    fingers if include_hand else None,
                    None,
                    features if include_face else None,
                )
            ]

    monkeypatch.setattr(controlnet_aux, "OpenposeDetector", Detector)
    module = module_named(name)
    _files(host, module)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib", None)
        made = detect(host, module, _noise(200, 150), [])
    assert asked == [((200, 150, 3), hand, face)]
    assert made.shape == (200, 150, 3) and made.dtype == np.uint8
    colours = {tuple(each) for each in made.reshape(-1, 3).tolist()}
    assert ((255, 255, 255) in colours) == face
    assert bool(made[100:190, 10:40].any()) == hand and made[:, 45:110].any()


def _small(name: str) -> dict[str, Any]:
    """Random weights of the small networks, in the files that hold the trained ones."""
    if name.endswith(("pidinet", "pidisafe")):
        from controlnet_aux.pidi.model import pidinet

        return {"table5_pidinet.pth": {"state_dict": pidinet().state_dict()}}
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    return {"mlsd_large_512_fp32.pth": MobileV2_MLSD_Large().state_dict()}


@pytest.mark.parametrize("name", ["softedge_pidinet", "scribble_pidinet", "mlsd"])
@pytest.mark.parametrize("size", [(64, 64), (100, 170), (20, 45)])
def test_a_map_has_the_size_of_its_picture(host: Host, name: str, size: tuple[int, int]) -> None:
    """controlnet-aux would round its sides to multiples of 64, and those of a small picture to nothing."""
    module = module_named(name)
    place = host.models / "annotators"
    place.mkdir(parents=True)
    for file, weights in _small(name).items():
        torch.save(weights, place / file)
    made = detect(host, module, _noise(*size), [slider.value for slider in module.sliders])
    assert made.shape == (*size, 3) and made.dtype == np.uint8
