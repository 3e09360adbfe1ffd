"""`noisette doctor`, `bench`, `backup`, `restore` and `version`: what is here, how well it runs, and that it stays."""

import json
import sys
import time

from modules import __version__
from modules.cli.run import FAILED, OK, Run, note


def doctor(run: Run) -> int:
    """Examine the installation."""
    from modules import doctor

    findings = doctor.examine(run.settings)
    if run.options.json:
        run.print_json([finding.to_dict(run.language) for finding in findings])
    else:
        print(doctor.table(findings, run.language))
    return FAILED if any(finding.level is doctor.Level.BROKEN for finding in findings) else OK


def bench(run: Run) -> int:
    """Measure speed and memory, or whether memory grows."""
    from modules import bench, bench_leaks

    if run.options.leaks:
        result = bench_leaks.measure(run.settings, progress=note)
    else:
        repeat, large = run.options.repeat, run.options.large
        result = bench.measure(run.settings, repeat, progress=note, large=large)
    print(bench.table(result, run.language))
    if run.options.json:
        run.options.json.write_text(json.dumps(result.to_dict(), indent=2), encoding="utf-8")
    return OK if result.good else FAILED


def backup(run: Run) -> int:
    """Write data and settings to a file; the program may run meanwhile."""
    from modules.services.backup import write_backup

    options = run.options
    made = write_backup(run.settings, options.file, pictures=options.pictures)
    megabytes = round(options.file.stat().st_size / 1e6, 1)
    print(run.say("cli.backup.done", file=options.file, files=made.files, megabytes=megabytes))
    return OK


def restore(run: Run) -> int:
    """Put data and settings of a backup in the place of those that are here."""
    from modules.services.restore import restore

    back = restore(run.settings, run.options.file)
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(back.summary.created))
    print(run.say("cli.restore.done", files=back.summary.files, made=made))
    if back.before is not None:
        note(run.say("cli.restore.before", folder=back.before))
    return OK


def version(run: Run) -> int:
    """Say which version this is."""
    print(f"Noisette {__version__} (Python {sys.version.split()[0]})")
    return OK
