"""What there is, as the family lists it; every route is a GET, and those that look again a POST."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends

from modules.api.v1.models import SHORT, Checkpoints
from modules.api.v2.callers import Callers
from modules.diffusion.upscalers import LATENT_UPSCALERS
from modules.plugins.scripts import Called, Scripts

if TYPE_CHECKING:
    from modules.services.front import Studio

Rows = list[dict[str, Any]]


def list_routes(
    studio: "Studio", callers: Callers, checkpoints: Checkpoints, scripts: Scripts
) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["what there is"])
    owner = [Depends(callers.owner)]

    @router.get("/samplers")
    def samplers() -> Rows:
        """Samplers by their labels."""
        return [
            {
                "name": row.label,
                "aliases": [each for each in (row.name, *row.aliases) if each != row.label],
                "options": _sampler_options(row),
            }
            for row in studio.samplers
        ]

    @router.get("/schedulers")
    def schedulers() -> Rows:
        """Schedules."""
        return [
            {
                "name": row.name,
                "label": row.label,
                "aliases": list(row.aliases),
                "default_rho": 7.0 if row.name == "karras" else -1.0,
                "need_inner_model": row.spacing is None or row.name in ("sgm_uniform", "normal"),
            }
            for row in studio.schedules
        ]

    @router.get("/upscalers")
    def upscalers() -> Rows:
        """Upscalers of pictures."""
        return [
            {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4.0}
            for name in studio.upscalers
        ]

    @router.get("/latent-upscale-modes")
    def latent_upscale_modes() -> Rows:
        """Upscalers of latents, for hires fix."""
        return [{"name": row.name} for row in LATENT_UPSCALERS]

    @router.get("/sd-models")
    def sd_models() -> Rows:
        """Checkpoints; the hash is null until it was computed, which the first picture does."""
        found: Rows = []
        for card in studio.models().cards:
            digest = checkpoints.sha256(card)
            found.append(
                {
                    "title": checkpoints.title(card),
                    "model_name": card.name,
                    "hash": digest[:SHORT] or None,
                    "sha256": digest or None,
                    "filename": card.path.name,
                    "config": None,
                }
            )
        return found

    def vaes() -> Rows:
        return [{"model_name": name, "filename": name} for name in studio.vaes()]

    @router.get("/sd-vae")
    def sd_vae() -> Rows:
        """VAE files."""
        return vaes()

    @router.get("/sd-modules")
    def sd_modules() -> Rows:
        """The same, as Forge calls it."""
        return vaes()

    @router.get("/hypernetworks")
    def hypernetworks() -> Rows:
        """None: this kind of file is not used."""
        return []

    @router.get("/face-restorers")
    def face_restorers() -> Rows:
        """By the names under which clients ask for them, where an extension restores faces."""
        if scripts.serving("restore_faces") is None:
            return []
        return [{"name": name, "cmd_dir": None} for name in ("GFPGAN", "CodeFormer")]

    @router.get("/realesrgan-models")
    def realesrgan_models() -> Rows:
        """Upscalers that are files of that kind, by their names."""
        found = [name for name in studio.upscalers if "esrgan" in name.casefold()]
        return [{"name": name, "path": None, "scale": 4} for name in found]

    @router.get("/embeddings")
    def embeddings() -> dict[str, Any]:
        """Textual inversions that fit the default model; the others are not read for it."""
        card = checkpoints.default()
        loaded = {
            name: {
                "step": None,
                "sd_checkpoint": None,
                "sd_checkpoint_name": None,
                "shape": 0,
                "vectors": count,
            }
            for name, count in (studio.embeddings(card) if card else {}).items()
        }
        return {"loaded": loaded, "skipped": {}}

    @router.get("/scripts")
    def listed_scripts() -> dict[str, list[str]]:
        """Titles in small letters: extensions by their own, and by those under which clients know them."""
        found = [
            title.casefold()
            for called in scripts.all()
            for title in (called.script.title, *called.script.aliases)
        ]
        unique = list(dict.fromkeys(found))
        return {"txt2img": unique, "img2img": unique}

    @router.get("/script-info")
    def script_info() -> Rows:
        """The positional arguments of each script."""
        return [_script(called, img2img) for img2img in (False, True) for called in scripts.all()]

    @router.get("/extensions")
    def extensions() -> Rows:
        """The extensions that came from elsewhere, and where from."""
        return [
            {
                "name": report.name,
                "remote": report.origin.source,
                "branch": "",
                "commit_hash": report.origin.commit,
                "version": report.version,
                "commit_date": 0,
                "enabled": report.state == "active",
            }
            for report in studio.extensions()
            if report.origin is not None
        ]

    @router.post("/refresh-checkpoints", dependencies=owner)
    def refresh_checkpoints() -> None:
        """Look into the folder of models again."""
        studio.models(refresh=True)

    @router.post("/refresh-vae", dependencies=owner)
    def refresh_vae() -> None:
        """Nothing to do: that folder is looked at each time."""

    @router.post("/refresh-embeddings", dependencies=owner)
    def refresh_embeddings() -> None:
        """Nothing to do: that folder is looked at each time."""

    return router


def _sampler_options(row: Any) -> dict[str, str]:
    found = {"scheduler": row.automatic}
    if row.discard_next_to_last:
        found["discard_next_to_last_sigma"] = "True"
    if row.noise == "path":
        found["brownian_noise"] = "True"
    return found


def _script(called: Called, img2img: bool) -> dict[str, Any]:
    return {
        "name": called.script.title.casefold(),
        "is_alwayson": called.script.always_on,
        "is_img2img": img2img,
        "args": [
            {
                "label": arg.label,
                "value": arg.value,
                "minimum": arg.minimum,
                "maximum": arg.maximum,
                "step": arg.step,
                "choices": list(arg.choices) if arg.choices is not None else None,
            }
            for arg in called.args
        ],
    }
