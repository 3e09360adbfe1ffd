"""Examples of the OpenAPI documents of `/sdapi/v1` and `/internal`: what to send, and what comes back.

They are laid into the document as it is asked for, so that the shapes hold only what is checked of a request.
"""

from collections.abc import Mapping
from typing import Any

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""One red pixel, in base64."""
_INFO = '{"prompt": "a red apple", "seed": 1234, "all_seeds": [1234], "infotexts": ["…"], "warnings": []}'
_ASKED = {"prompt": "a red apple", "steps": 20, "width": 512, "height": 512, "seed": 1234}
_REPORT = {
    "Platform": "Linux-6.1-x86_64",
    "Python": "3.11.7",
    "Version": "0.1.0",
    "Executable": "python",
    "Models": ["pocket"],
    "Extensions": [{"name": "an-extension", "version": "1.0.0", "state": "active"}],
    "Jobs": {"queued": 0, "running": 1, "done": 5, "failed": 0, "cancelled": 0},
}

BODIES: Mapping[str, Any] = {
    "/txt2img": {**_ASKED, "sampler_name": "Euler a", "override_settings": {"sd_vae": "Automatic"}},
    "/img2img": {**_ASKED, "init_images": [PNG], "denoising_strength": 0.6},
    "/extra-single-image": {"image": PNG, "upscaler_1": "Lanczos", "upscaling_resize": 2},
    "/extra-batch-images": {
        "imageList": [{"data": PNG, "name": "apple.png"}],
        "upscaler_1": "Lanczos",
    },
    "/png-info": {"image": PNG},
    "/interrogate": {"image": PNG, "model": "clip"},
    "/options": {"CLIP_stop_at_last_layers": 2},
    "/progress": {"id_task": "task(apple)", "id_live_preview": -1, "live_preview": True},
    "/create/embedding": {"name": "apple"},
    "/create/hypernetwork": {"name": "apple"},
    "/train/embedding": {"embedding_name": "apple"},
    "/train/hypernetwork": {"hypernetwork_name": "apple"},
}
"""What to send, by the path."""

ANSWERS: Mapping[tuple[str, str], Any] = {
    ("post", "/txt2img"): {"images": [PNG], "parameters": _ASKED, "info": _INFO},
    ("post", "/img2img"): {"images": [PNG], "parameters": _ASKED, "info": _INFO},
    ("post", "/extra-single-image"): {"html_info": "<p>Lanczos</p>", "image": PNG},
    ("post", "/extra-batch-images"): {"html_info": "<p>Lanczos</p>", "images": [PNG]},
    ("post", "/png-info"): {
        "info": "a red apple\nSteps: 20, Seed: 1234",
        "items": {},
        "parameters": {"Steps": "20", "Seed": "1234"},
    },
    ("post", "/interrogate"): {"caption": "a red apple on a table"},
    ("get", "/progress"): {
        "progress": 0.25,
        "eta_relative": 6.5,
        "state": {
            "skipped": False,
            "interrupted": False,
            "stopping_generation": False,
            "job": "Batch 1 out of 2",
            "job_count": 2,
            "job_timestamp": "20260131120000",
            "job_no": 0,
            "sampling_step": 10,
            "sampling_steps": 20,
        },
        "current_image": None,
        "textinfo": "Denoising",
    },
    ("post", "/interrupt"): {},
    ("post", "/skip"): None,
    ("get", "/samplers"): [
        {"name": "Euler a", "aliases": ["euler_a"], "options": {"scheduler": "uniform"}}
    ],
    ("get", "/schedulers"): [
        {
            "name": "karras",
            "label": "Karras",
            "aliases": None,
            "default_rho": 7.0,
            "need_inner_model": False,
        }
    ],
    ("get", "/upscalers"): [
        {"name": "Lanczos", "model_name": None, "model_path": None, "model_url": None, "scale": 4.0}
    ],
    ("get", "/latent-upscale-modes"): [{"name": "Latent"}],
    ("get", "/sd-models"): [
        {
            "title": "pocket [0175d68470]",
            "model_name": "pocket",
            "hash": "0175d68470",
            "sha256": None,
            "filename": "pocket",
            "config": None,
        }
    ],
    ("get", "/sd-vae"): [{"model_name": "vae-ft-mse", "filename": "vae-ft-mse"}],
    ("get", "/sd-modules"): [{"model_name": "vae-ft-mse", "filename": "vae-ft-mse"}],
    ("get", "/hypernetworks"): [],
    ("get", "/face-restorers"): [{"name": "GFPGAN", "cmd_dir": None}],
    ("get", "/realesrgan-models"): [],
    ("get", "/embeddings"): {"loaded": {}, "skipped": {}},
    ("get", "/scripts"): {"txt2img": ["an extension"], "img2img": ["an extension"]},
    ("get", "/script-info"): [
        {"name": "an extension", "is_alwayson": True, "is_img2img": False, "args": []}
    ],
    ("get", "/extensions"): [],
    ("post", "/refresh-checkpoints"): None,
    ("post", "/refresh-vae"): None,
    ("post", "/refresh-embeddings"): None,
    ("get", "/options"): {
        "sd_model_checkpoint": "pocket [0175d68470]",
        "CLIP_stop_at_last_layers": 1,
    },
    ("post", "/options"): None,
    ("get", "/cmd-flags"): {"host": "127.0.0.1", "port": 7860, "share": False},
    ("get", "/memory"): {
        "ram": {"free": 25095876608, "used": 180633600, "total": 25276510208},
        "cuda": {"error": "unavailable"},
    },
    ("post", "/unload-checkpoint"): {},
    ("post", "/reload-checkpoint"): {},
    ("post", "/server-stop"): "Stopping.",
    ("post", "/server-kill"): "Stopping.",
    ("post", "/progress"): {
        "active": True,
        "queued": False,
        "completed": False,
        "progress": 0.25,
        "eta": 6.5,
        "live_preview": None,
        "id_live_preview": -1,
        "textinfo": "Denoising",
    },
    ("get", "/pending-tasks"): {"size": 1, "tasks": ["task(apple)"]},
    ("get", "/quicksettings-hint"): [
        {"name": "sd_model_checkpoint", "label": "Stable Diffusion checkpoint"}
    ],
    ("get", "/ping"): {},
    ("get", "/profile-startup"): {"total": 0.3, "records": {"an-extension": 0.2, "another": 0.1}},
    ("get", "/sysinfo"): _REPORT,
    ("get", "/sysinfo-download"): _REPORT,
}
"""What comes back, by method and path."""
REFUSED = frozenset(
    {
        "/server-restart",
        "/create/embedding",
        "/create/hypernetwork",
        "/train/embedding",
        "/train/hypernetwork",
    }
)
"""What no request gets an answer from but a refusal."""


def add_examples(document: Mapping[str, Any]) -> None:
    """Lay the examples into a document of OpenAPI, in place."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None and path in BODIES:
                body["example"] = BODIES[path]
            told = operation["responses"].get("200", {}).get("content", {})
            if (method, path) in ANSWERS and "application/json" in told:
                told["application/json"]["example"] = ANSWERS[method, path]
