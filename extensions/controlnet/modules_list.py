"""The preprocessors: names and sliders as the A1111 family has them, and which need weights."""

from dataclasses import dataclass

from modules.plugins import problem


@dataclass(frozen=True)
class Slider:
    """A number that a preprocessor takes: `threshold_a` or `threshold_b`."""

    name: str
    name_zh: str
    value: float
    low: float
    high: float
    step: float = 1.0


@dataclass(frozen=True)
class Weights:
    """Files that a preprocessor needs: of which repository on the model hub, and how large."""

    repository: str
    files: tuple[str, ...]
    megabytes: int


@dataclass(frozen=True)
class Module:
    """A preprocessor."""

    name: str
    title_zh: str
    type: str
    """The kind of control that it is for, such as "Canny"."""
    sliders: tuple[Slider, ...] = ()
    sized: bool = True
    """Whether it works at `processor_res`."""
    binary: bool = False
    """Whether what it makes is black and white lines, which have to stay so when they are resized."""
    weights: Weights | None = None


IP_ADAPTER = "ip-adapter-auto"
"""No preprocessor in truth: the picture itself is what an IP-Adapter's image encoder looks at."""
_HUB = "lllyasviel/Annotators"
_HED = Weights(_HUB, ("ControlNetHED.pth",), 30)
_PIDI = Weights(_HUB, ("table5_pidinet.pth",), 3)
_LINEART = Weights(_HUB, ("sk_model.pth", "sk_model2.pth"), 35)
_POSE = Weights(_HUB, ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"), 510)

MODULES: tuple[Module, ...] = (
    Module("none", "无", "All", sized=False),
    Module(
        "canny",
        "Canny 边缘",
        "Canny",
        (
            Slider("Low Threshold", "低阈值", 100, 1, 255),
            Slider("High Threshold", "高阈值", 200, 1, 255),
        ),
        binary=True,
    ),
    Module("invert (from white bg & black line)", "反相（白底黑线）", "Lineart", sized=False),
    Module("blur_gaussian", "高斯模糊", "Tile", (Slider("Sigma", "Sigma", 9, 0.01, 64, 0.01),)),
    Module(
        "recolor_luminance",
        "重新上色（亮度）",
        "Recolor",
        (Slider("Gamma Correction", "伽马校正", 1, 0.1, 2, 0.001),),
        sized=False,
    ),
    Module(
        "recolor_intensity",
        "重新上色（强度）",
        "Recolor",
        (Slider("Gamma Correction", "伽马校正", 1, 0.1, 2, 0.001),),
        sized=False,
    ),
    Module(
        "scribble_xdog",
        "涂鸦 XDoG",
        "Scribble",
        (Slider("XDoG Threshold", "XDoG 阈值", 32, 1, 64),),
        binary=True,
    ),
    Module("shuffle", "内容打乱", "Shuffle"),
    Module(
        "tile_resample",
        "分块重采样",
        "Tile",
        (Slider("Down Sampling Rate", "下采样率", 1, 1, 8, 0.01),),
        sized=False,
    ),
    Module(
        "threshold",
        "二值化",
        "Scribble",
        (Slider("Binarization Threshold", "二值化阈值", 127, 0, 255),),
        binary=True,
    ),
    Module("inpaint_only", "局部重绘", "Inpaint", sized=False),
    Module(IP_ADAPTER, "参考图（IP-Adapter）", "IP-Adapter", sized=False),
    Module("softedge_hed", "软边缘 HED", "SoftEdge", weights=_HED),
    Module("softedge_hedsafe", "软边缘 HED（安全）", "SoftEdge", weights=_HED),
    Module("scribble_hed", "涂鸦 HED", "Scribble", weights=_HED),
    Module("softedge_pidinet", "软边缘 PiDiNet", "SoftEdge", weights=_PIDI),
    Module("softedge_pidisafe", "软边缘 PiDiNet（安全）", "SoftEdge", weights=_PIDI),
    Module("scribble_pidinet", "涂鸦 PiDiNet", "Scribble", weights=_PIDI),
    Module("lineart_realistic", "写实线稿", "Lineart", weights=_LINEART),
    Module("lineart_coarse", "粗略线稿", "Lineart", weights=_LINEART),
    Module("lineart_anime", "动漫线稿", "Lineart", weights=Weights(_HUB, ("netG.pth",), 218)),
    Module(
        "depth_midas",
        "深度 MiDaS",
        "Depth",
        weights=Weights(_HUB, ("dpt_hybrid-midas-501f0c75.pt",), 493),
    ),
    Module("depth_zoe", "深度 Zoe", "Depth", weights=Weights(_HUB, ("ZoeD_M12_N.pt",), 1440)),
    Module(
        "mlsd",
        "直线 MLSD",
        "MLSD",
        (
            Slider("MLSD Value Threshold", "MLSD 数值阈值", 0.1, 0.01, 2, 0.01),
            Slider("MLSD Distance Threshold", "MLSD 距离阈值", 0.1, 0.01, 20, 0.01),
        ),
        binary=True,
        weights=Weights(_HUB, ("mlsd_large_512_fp32.pth",), 7),
    ),
    Module("normalbae", "法线 BAE", "NormalMap", weights=Weights(_HUB, ("scannet.pt",), 291)),
    Module("openpose", "姿势", "OpenPose", weights=_POSE),
    Module("openpose_full", "姿势（全部）", "OpenPose", weights=_POSE),
    Module("openpose_face", "姿势与面部", "OpenPose", weights=_POSE),
    Module("openpose_hand", "姿势与手部", "OpenPose", weights=_POSE),
)

_ALIASES = {
    "": "none",
    "invert": "invert (from white bg & black line)",
    "scribble_thr": "threshold",
    "binary": "threshold",
    "inpaint": "inpaint_only",
    "tile": "tile_resample",
    "blur": "blur_gaussian",
    "recolor": "recolor_luminance",
    "depth": "depth_midas",
    "normal_bae": "normalbae",
    "hed": "softedge_hed",
    "pidinet": "softedge_pidinet",
    "fake_scribble": "scribble_hed",
    "lineart": "lineart_realistic",
    "content shuffle": "shuffle",
    "ip-adapter": IP_ADAPTER,
    "ip-adapter_clip_g": IP_ADAPTER,
    "ip-adapter_clip_h": IP_ADAPTER,
    "ip-adapter_clip_sd15": IP_ADAPTER,
    "ip-adapter_clip_sdxl": IP_ADAPTER,
    "ip-adapter_clip_sdxl_plus_vith": IP_ADAPTER,
}


def module_named(name: str) -> Module:
    """The preprocessor of that name, in any case; names of other programs are understood.

    Raises:
        UserError: there is none; says which there are.
    """
    wanted = name.strip().casefold()
    wanted = _ALIASES.get(wanted, wanted)
    for module in MODULES:
        if module.name.casefold() == wanted:
            return module
    listed = ", ".join(module.name for module in MODULES)
    raise problem(
        f"There is no preprocessor “{name[:80]}”. There are: {listed}.",
        f"没有名为“{name[:80]}”的预处理器。现有：{listed}。",
    )
