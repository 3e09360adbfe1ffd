"""The table of addresses and roles in docs/sharing.md and docs/sharing.zh-CN.md, made from `modules/api/rules.py`.

    python tools/routes.py            # writes it into both
    python tools/routes.py --check    # says whether both have it; the exit status is 1 where one has not

What stands between the two marks belongs to this program; `tests/api/access/test_docs.py` compares it.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from modules.api.rules import Rule, rules
from modules.services.access import Role

DOCS = Path(__file__).resolve().parents[1] / "docs"
FILES = {"en": DOCS / "sharing.md", "zh": DOCS / "sharing.zh-CN.md"}
BEGIN, END = "<!-- tools/routes.py -->", "<!-- /tools/routes.py -->"
HEAD = {
    "en": ("Addresses", "Methods", "Without logging in", "Guest", "Owner"),
    "zh": ("地址", "方法", "未登录", "访客", "所有者"),
}
YES = {"en": "yes", "zh": "可以"}
REST = {"en": "any address that has no rule", "zh": "没有规则的任何地址"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def table(language: str, rows: Sequence[Rule] | None = None) -> str:
    """The table: a line for what has the same beginning, methods and role."""
    lines: dict[tuple[str, str, Role], list[str]] = {}
    decided: dict[tuple[str, str], Role] = {}
    for rule in rules() if rows is None else rows:
        # Of several rows that fit, the first decides.
        methods = [each for each in rule.methods.split() if (each, rule.path) not in decided]
        decided |= {(each, rule.path): rule.least for each in methods}
        # Gradio answers many addresses with and without a slash at the end: one is told.
        other = rule.path.rstrip("/")
        told = [each for each in methods if decided.get((each, other)) != rule.least]
        told = methods if other == rule.path else told
        if told:
            beginning = _beginning(rule.path)
            key = (beginning, "*" if len(told) == len(METHODS) else ", ".join(told), rule.least)
            path = rule.path.removeprefix(beginning)
            lines.setdefault(key, []).append(re.sub(r"\{\w+:path\}", "…", path))
    head = HEAD[language]
    made = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for (beginning, methods_told, least), paths in sorted(
        lines.items(), key=lambda each: each[0][0]
    ):
        first, *others = paths if beginning != "/" else [f"/{path}" for path in paths]
        shown = (first if beginning == "/" else beginning + first, *others)
        addresses = ", ".join(f"`{each}`" for each in shown)
        made.append(f"| {addresses} | {methods_told} | {_who(least, YES[language])} |")
    made.append(f"| {REST[language]} | * | {_who(Role.OWNER, YES[language])} |")
    return "\n".join(made)


def _beginning(path: str) -> str:
    """What the addresses of one line share: two parts of the APIs, one of all else."""
    found = re.match(r"/(?:api|sdapi)/v\d/|/[^/{]+/(?=.)", path)
    return found.group() if found else "/"


def _who(least: Role, yes: str) -> str:
    may = (least is Role.ANYBODY, least <= Role.GUEST, True)
    return " | ".join(yes if each else "" for each in may)


def found(language: str) -> str:
    """The table that the guide has now."""
    text = FILES[language].read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Put the table into both guides."""
    for language, file in FILES.items():
        before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        text = f"{before}{BEGIN}\n\n{table(language)}\n\n{END}{after}"
        file.write_text(text, encoding="utf-8")


def main(words: Sequence[str]) -> int:
    if "--check" not in words:
        write()
        return 0
    old = [str(FILES[each]) for each in FILES if found(each) != table(each)]
    for each in old:
        print(f"{each}: the table is not that of modules/api/rules.py; run python tools/routes.py")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
