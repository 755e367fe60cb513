"""The commands in all documents: `hsipipe` knows each verb and option that they name."""

import shlex
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from commands import commands_of

from hsipipe.cli import make_parser

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = {"|", ">", ">>", "<", "&&", ";", "2>&1"}


def of_hsipipe(document):
    """The arguments of each call of `hsipipe` in a document."""
    for command in commands_of(document):
        words = shlex.split(command.text)
        if words[0] == "hsipipe":
            end = next((place for place, word in enumerate(words) if word in SHELL), len(words))
            yield command, words[1:end]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_calls_name_verbs_and_options_that_there_are(document):
    parser = make_parser()
    for command, arguments in of_hsipipe(document):
        if "--help" not in arguments:
            assert callable(parser.parse_args(arguments).function), command


def test_documents_call_every_verb():
    called = {arguments[0] for document in DOCUMENTS for _, arguments in of_hsipipe(document)}
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
