"""How large a result is, and whether that can be done."""

from dataclasses import dataclass

from modules.plugins import problem

from .options import UpscalerOptions

MOST_PIXELS = 64_000_000
"""Of a result."""
MOST_BETWEEN = 160_000_000
"""Of what a model of a fixed factor makes on the way, before it is shrunk."""


@dataclass(frozen=True)
class Target:
    """Enlarge to `width` x `height`, then cut out `box` (left, upper, right, lower) where there is one."""

    width: int
    height: int
    box: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Of the result."""
        if self.box is None:
            return self.width, self.height
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def target(options: UpscalerOptions, width: int, height: int) -> Target:
    """For a picture of `width` x `height`.

    Raises:
        UserError: the result would have too many pixels.
    """
    if options.mode == "by":
        wanted = Target(round(width * options.scale), round(height * options.scale))
    else:
        across, down = options.width / width, options.height / height
        ratio = max(across, down) if options.crop else min(across, down)
        wide, high = max(1, round(width * ratio)), max(1, round(height * ratio))
        wanted = Target(wide, high)
        if options.crop:
            left, upper = (wide - options.width) // 2, (high - options.height) // 2
            box = (left, upper, left + options.width, upper + options.height)
            wanted = Target(wide, high, box if (wide, high) != (box[2], box[3]) else None)
    if wanted.width * wanted.height > MOST_PIXELS:
        found = f"{wanted.width} x {wanted.height}"
        most = MOST_PIXELS // 1_000_000
        raise problem(
            f"The result would be {found} pixels, more than {most} million. "
            "Choose a smaller factor or size.",
            f"结果将为 {found} 像素，超过 {most} 百万。请选择更小的倍数或尺寸。",
        )
    return wanted


def check_between(width: int, height: int, factor: int, name: str) -> None:
    """Look whether a model of a fixed factor may enlarge a picture of `width` x `height`.

    Raises:
        UserError: what it makes would have too many pixels.
    """
    if width * height * factor * factor > MOST_BETWEEN:
        found = f"{width * factor} x {height * factor}"
        most = MOST_BETWEEN // 1_000_000
        raise problem(
            f"“{name}” enlarges {factor} times: {width} x {height} would become {found}, more than {most} million "
            "pixels on the way. Choose a model of a smaller factor, or Lanczos.",
            f"“{name}”固定放大 {factor} 倍：{width} x {height} 途中会变为 {found}，超过 {most} 百万像素。"
            "请选择倍数更小的模型，或使用 Lanczos。",
        )
