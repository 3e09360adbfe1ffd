"""`noisette reproduce`: a picture again from what it says of itself."""

import tempfile
from pathlib import Path

from modules.cli.run import FAILED, OK, Run, export_to


def reproduce(run: Run) -> int:
    """Make a picture again and say whether it is the same."""
    options = run.options
    export = export_to(options.output)
    from modules.app import build_worker
    from modules.services.reproduce import reproduce

    found = reproduce(options.image, build_worker(run.settings))
    reasons = [each.message(run.language) for each in found.reasons]
    if export is not None:
        with tempfile.TemporaryDirectory(prefix="noisette-") as folder:
            remade = Path(folder) / f"{options.image.stem}.png"
            found.image.save(remade)
            export.save([remade])
    if options.json:
        run.print_json(
            {
                "identical": found.identical,
                "differing": found.differing,
                "largest": found.largest,
                "reasons": reasons,
                "request": found.request.model_dump(mode="json"),
            }
        )
    elif found.identical:
        print(run.say("cli.reproduce.identical"))
    else:
        share = f"{100 * found.differing:.3g}"
        print(run.say("cli.reproduce.differs", share=share, largest=found.largest))
    if not options.json:
        for line in reasons or ([] if found.identical else [run.say("cli.reproduce.unknown")]):
            print(line)
    return OK if found.identical else FAILED
