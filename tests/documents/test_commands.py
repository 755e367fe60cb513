"""Documents taken apart into commands, and the verbs that they show."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from commands import commands_of

from hsipipe.cli import make_parser

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_documents_call_every_verb():
    texts = [command.text for document in DOCUMENTS for command in commands_of(document)]
    called = {text.split()[1] for text in texts if text.startswith("hsipipe ")}
    (verbs,) = (action.choices for action in make_parser()._actions if action.dest == "verb")
    assert set(verbs) - called <= {"doctor"}


def test_commands_are_taken_apart(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n\n```bash\nfirst --set a=1#2  # why\nsecond 'x # y' \\\n  --more   # end\n\n# nothing\n```\n\n"
        "```python\nnot_this()\n```\n\n<!-- not run -->\n```bash\nthird\n```\n"
    )
    found = commands_of(page)
    assert [(command.text, command.line, command.is_run) for command in found] == [
        ("first --set a=1#2", 4, True),
        ("second 'x # y' --more", 6, True),
        ("third", 17, False),
    ]
    assert {command.chapter for command in found} == {"One"}
