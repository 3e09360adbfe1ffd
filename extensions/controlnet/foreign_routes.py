"""Which well-known addresses are served; `api` answers there."""

from modules.plugins import ForeignRoutes

ROUTES = ForeignRoutes(
    (
        "/controlnet/version",
        "/controlnet/model_list",
        "/controlnet/module_list",
        "/controlnet/control_types",
        "/controlnet/settings",
        "/controlnet/detect",
        "/controlnet/render_openpose_json",
        "/controlnet/preview",
    ),
    build="api:router",
    seconds=180.0,
)
