"""The real page on a studio that draws circles: `python tests/browser/serve_fake.py FOLDER SECONDS_PER_STEP PORT [NAME …]`.

The names are those of extensions to load.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from modules.api.server import create_app, listen, serve
from modules.plugins.manager import Places, Plugins
from modules.services.inputs import InputPictures
from modules.settings import Settings
from modules.ui.shell import build_page
from tests.ui.fake_studio import FakeStudio

BROKEN = 'name = "broken"\ntitle = "Broken"\nversion = "1.0"\nplugin = "plugin:Nothing"\n'


def main(folder: Path, seconds_per_step: float, port: int, names: Sequence[str]) -> None:
    project = Path(__file__).resolve().parents[2]
    extensions = folder / "extensions"
    extensions.mkdir(parents=True, exist_ok=True)
    (extensions / "broken").mkdir(exist_ok=True)
    (extensions / "broken" / "extension.toml").write_text(BROKEN)
    for name in names or ("freeu",):
        if not (extensions / name).exists():
            (extensions / name).symlink_to(project / "extensions" / name)
    # The same folder as the studio's: an extension opens what the page has handed in.
    inputs = InputPictures(folder / "data" / "inputs")
    places = Places(project / "models", folder / "data" / "extensions", pictures=inputs)
    plugins = Plugins.load(extensions, places=places)
    studio = FakeStudio(folder, seconds_per_step=seconds_per_step, plugins=plugins)
    with listen("127.0.0.1", port) as sock:
        port = sock.getsockname()[1]
        page = build_page(studio, plugins, "0.1.0")
        app = create_app(studio, page, Settings(data_dir=folder, port=port), plugins=plugins)
        serve(app, sock, lambda: print(f"http://127.0.0.1:{port}/", flush=True))
    studio.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
