"""The upscalers of hires fix that enlarge latents. Importable without torch.

Those that enlarge pictures are handed in (`inputs.Inputs.upscalers`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LatentUpscaler:
    """One row: `mode` and `antialias` as `torch.nn.functional.interpolate` takes them."""

    name: str
    mode: str
    antialias: bool = False


LATENT_UPSCALERS: tuple[LatentUpscaler, ...] = (
    LatentUpscaler("Latent", "bilinear"),
    LatentUpscaler("Latent (antialiased)", "bilinear", True),
    LatentUpscaler("Latent (bicubic)", "bicubic"),
    LatentUpscaler("Latent (bicubic antialiased)", "bicubic", True),
    LatentUpscaler("Latent (nearest)", "nearest"),
    LatentUpscaler("Latent (nearest-exact)", "nearest-exact"),
)


def find_latent_upscaler(name: str) -> LatentUpscaler | None:
    """The row of that name, in any case; None where there is none."""
    wanted = " ".join(name.split()).casefold()
    return next((row for row in LATENT_UPSCALERS if row.name.casefold() == wanted), None)
