"""`noisette extensions …`: list, write, check, install, update, roll back, remove, switch on and off.

Whoever runs it sits at this machine, so it may do everything that the page may do on localhost.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.cli.run import Run
from modules.cli.waiting import queue_of
from modules.errors import UserError
from modules.settings import Settings
from modules.texts import translate

if TYPE_CHECKING:
    from modules.plugins.manager import Plugins
    from modules.plugins.report import ExtensionReport
    from modules.services.extensions import Extensions, Preview

OK, FAILED, NO = 0, 1, 2
ACTIONS = (
    "list",
    "new",
    "check",
    "install",
    "update",
    "rollback",
    "remove",
    "enable",
    "disable",
    "run",
)
Print = Callable[[str], None]
Ask = Callable[[str], str]


def extensions(run: Run) -> int:
    """List, write, check, install, update, roll back, remove, switch extensions."""
    return carry_out(run.options, run.settings, print, _ask)


def _ask(question: str) -> str:
    try:
        return input(question + " ")
    except EOFError:  # nobody there to answer
        print()
        return ""


def add_arguments(parser: argparse.ArgumentParser, say: Callable[[str], str]) -> None:
    """What stands after `noisette extensions`."""
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list", help=say("extension_action")
    )
    parser.add_argument("what", nargs="?", default="", metavar="WHAT", help=say("extension_what"))
    parser.add_argument("words", nargs="*", default=[], metavar="WORD", help=say("extension_words"))
    parser.add_argument("--commit", default="", metavar="SHA", help=say("extension_commit"))
    parser.add_argument("--yes", action="store_true", help=say("extension_yes"))
    parser.add_argument("--json", action="store_true", help=say("json"))


def carry_out(options: argparse.Namespace, settings: Settings, show: Print, ask: Ask) -> int:
    """Carry out one action; the exit status.

    Args:
        show: prints a line.
        ask: asks the person at the terminal; an empty answer where there is none.
    """
    command = _Command(options, settings, show, ask)
    if options.action != "list" and not options.what:
        raise UserError("cli.extensions.which", action=options.action)
    if options.action == "new":
        return command.new()
    if options.action == "check":
        return command.check()
    if options.words and options.action != "run":
        raise UserError(
            "cli.extensions.words", found=" ".join(options.words), action=options.action
        )
    plugins = load(settings)
    try:
        return command.act(plugins)
    finally:
        plugins.close()


def load(settings: Settings) -> "Plugins":
    from modules.plugins.manager import Places, Plugins
    from modules.plugins.switches import Switches

    return Plugins.load(
        settings.extensions_dir,
        switches=Switches(settings.extensions_file),
        places=Places(
            settings.models_dir,
            settings.data_dir / "data" / "extensions",
            settings.device,
            settings.converted_dir,
        ),
        process="command",
        safe_mode=settings.safe_mode,
    )


class _Command:
    def __init__(
        self, options: argparse.Namespace, settings: Settings, show: Print, ask: Ask
    ) -> None:
        self._options = options
        self._settings = settings
        self._show = show
        self._ask = ask

    def say(self, key: str, **values: object) -> str:
        return translate(f"cli.extensions.{key}", self._settings.language, **values)

    def tell(self, key: str, **values: object) -> None:
        self._show(self.say(key, **values))

    def new(self) -> int:
        from modules.plugins.skeleton import write_skeleton

        given = Path(self._options.what)
        folder = given.parent if len(given.parts) > 1 else self._settings.extensions_dir
        place = write_skeleton(folder.expanduser(), given.name)
        self.tell("written", path=place, name=given.name)
        return OK

    def check(self) -> int:
        from modules.plugins.conformance import check

        path = Path(self._options.what).expanduser()
        if not path.is_dir():
            path = self._settings.extensions_dir / self._options.what
        if not path.is_dir():
            raise UserError("cli.extensions.no_folder", found=self._options.what)
        good = True
        for finding in check(path, self._settings.models_dir):
            good &= finding.good
            self._show(f"{'ok  ' if finding.good else 'NOT '} {finding.check}: {finding.promise}")
            if finding.why:
                self._show("     " + finding.why.replace("\n", "\n     "))
        self.tell("check.good" if good else "check.bad")
        return OK if good else FAILED

    def act(self, plugins: "Plugins") -> int:
        from modules.services.extensions import Extensions

        desk = Extensions(plugins)
        name = self._options.what
        match self._options.action:
            case "list":
                return self.listed(plugins, desk)
            case "install":
                return self.install(desk, desk.prepare(name, self._options.commit))
            case "update":
                found = desk.prepare_update(name)
                if found is None:
                    self.tell("newest", name=name)
                    return OK
                return self.install(desk, found)
            case "enable":
                report = plugins.enable(name)
                if report.reason is not None:
                    raise report.reason
            case "run":
                return self.run(plugins)
            case action:
                getattr(desk, action)(name)
        self.tell(f"done.{self._options.action}", name=name)
        return OK

    def run(self, plugins: "Plugins") -> int:
        name, words = self._options.what, self._options.words
        known = {command.name: command for command in plugins.commands(name)}
        if not words or words[0] not in known:
            if not known:
                self.tell("commands.none", name=name)
            for command in known.values():
                chinese = self._settings.language == "zh"
                title = (command.title_zh if chinese else "") or command.title
                self._show(f"noisette extensions run {name} {command.name} {command.usage}")
                self._show(f"    {title}")
            return NO if words else OK
        with queue_of(self._settings) as queue:
            self._show(plugins.run_command(name, known[words[0]], words[1:], queue))
        return OK

    def install(self, desk: "Extensions", preview: "Preview") -> int:
        language = self._settings.language
        for line in _lines(preview, language, self.say):
            self._show(line)
        if not self._options.yes:
            answer = self._ask(self.say("sure", name=preview.manifest.name))
            if answer.strip().lower() not in ("y", "yes", "是"):
                desk.discard(preview.id)
                self.tell("not_installed")
                return NO
        name = desk.install(preview.id)
        self.tell("done.install", name=name)
        return OK

    def listed(self, plugins: "Plugins", desk: "Extensions") -> int:
        language = self._settings.language
        if self._options.json:
            rows = [_row(report, language) for report in plugins.reports]
            self._show(json.dumps(rows, ensure_ascii=False, indent=2))
            return OK
        for report in plugins.reports:
            title = report.title_zh if language == "zh" else report.title
            time = f"{report.seconds * 1000:.0f} ms" if report.state == "active" else "-"
            self._show(f"{report.name}\t{report.version or '-'}\t{report.state}\t{time}\t{title}")
            for text in filter(None, (report.reason, *report.warnings)):
                self._show(f"    {text.message(language)}")
        for name in desk.removed():
            self._show(f"{name}\t-\t{self.say('removed')}")
        if not plugins.reports:
            self.tell("none", folder=self._settings.extensions_dir)
        return OK


def _row(report: "ExtensionReport", language: str) -> dict[str, Any]:
    failures, origin = report.failures, report.origin
    return {
        "name": report.name,
        "title": report.title_zh if language == "zh" else report.title,
        "version": report.version,
        "state": report.state,
        "reason": report.reason.message(language) if report.reason else None,
        "seconds": round(report.seconds, 4),
        "hooks": list(report.hooks),
        "warnings": [warning.message(language) for warning in report.warnings],
        "traceback": report.traceback,
        "failures": failures.model_dump(mode="json") if failures else None,
        "origin": origin.model_dump(mode="json") if origin else None,
    }


def _lines(preview: "Preview", language: str, say: Callable[..., str]) -> list[str]:
    """What a person needs to decide."""
    manifest = preview.manifest
    title = (manifest.title_zh if language == "zh" else "") or manifest.title
    about = (manifest.description_zh if language == "zh" else "") or manifest.description
    before = (
        f" ({say('replaces', version=preview.version_before)})" if preview.version_before else ""
    )
    permissions = [
        translate(f"ui.extensions.permission.{name}", language)
        for name in manifest.permissions or ("none",)
    ]
    packages = [package.pinned for package in preview.packages] or [
        translate("ui.extensions.packages.none", language)
    ]
    lines = [
        f"{title} {manifest.version}{before}",
        about,
        f"{say('from')}: {preview.source}{' @ ' + preview.commit if preview.commit else ''}",
        f"SHA-256: {preview.digest}",
        f"{say('asks_for')}: {', '.join(permissions)}",
        f"{say('packages')}: {', '.join(packages)}",
        f"{say('files', n=len(preview.files), bytes=preview.size)}:",
        *(f"    {file.path}  {file.size}" for file in preview.files[:40]),
    ]
    if len(preview.files) > 40:
        lines.append("    …")
    lines.append(translate("ui.extensions.trust", language))
    return [line for line in lines if line]
