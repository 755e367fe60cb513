"""The command line as a whole: verbs are described alike, complete, and print nothing but JSON where asked for it."""

import argparse
import json
import logging
import re
import shutil
import subprocess

import numpy as np
import pytest

from hsipipe.bands.selection import STRATEGIES
from hsipipe.cli import main, make_parser
from hsipipe.cli.completion import FILES, FILES_TOO, FOLDERS, SHELLS
from hsipipe.cli.output import only_json, print_json
from hsipipe.cli.scenes import STRATEGY_NAMES
from hsipipe.cli.verbs import EXIT_CODES, GROUPS
from hsipipe.methods import find_method

PARSER = make_parser()
(CHOICES,) = [action for action in PARSER._actions if isinstance(action, argparse._SubParsersAction)]
WORDS = {"NAME", "AXES", "KEY=VALUE", "SPEC", "N", "PIXELS", "DB", "F", "R,G,B", "ROW,COLUMN"}
NAMES = {"TASK", "CASE", "VARIANT", "STUDY", "SHELL"}


@pytest.mark.parametrize("verb", CHOICES.choices)
def test_every_argument_is_described(verb):
    parser = CHOICES.choices[verb]
    told = PARSER.verbs[verb]
    assert told.group in GROUPS
    assert parser.description.endswith(".")
    assert len(told.summary) < 90
    assert told.examples
    for action in parser._actions:
        assert action.help, f"{verb} {action.dest}"
        if action.nargs != 0 and not (action.option_strings and action.choices):
            assert action.metavar in {*FILES, *FILES_TOO, *FOLDERS, *WORDS, *NAMES}, f"{verb} {action.dest}"
    text = parser.format_help()
    for line in told.examples:
        assert line in text
    assert all(len(line) <= 200 for line in text.splitlines())


def test_options_of_one_name_are_alike():
    """An option that several verbs have means the same kind of thing in all of them."""
    kinds = {}
    for verb, parser in CHOICES.choices.items():
        for action in parser._actions:
            for option in action.option_strings:
                kinds.setdefault(option, {})[verb] = (type(action).__name__, action.metavar, action.type)
    differ = {option: by_verb for option, by_verb in kinds.items() if len(set(by_verb.values())) > 1}
    # The outputs are a table, a model, an archive; `score --clusters` says what the prediction is, `train --size` which
    # size of the study.
    assert set(differ) <= {"--output", "--clusters", "--size"}, differ


def test_without_a_verb_all_are_listed_by_what_they_are_for(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    for heading in GROUPS.values():
        assert f"\n{heading}:\n" in told
    for verb in CHOICES.choices:
        assert re.search(rf"^  {verb} +\w", told, flags=re.MULTILINE)
    for code in EXIT_CODES:
        assert re.search(rf"^  {code} +\w", told, flags=re.MULTILINE)
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == told


def test_ctrl_c_ends_with_130(monkeypatch, tmp_path, capsys):
    def interrupted(*_arguments, **_how):
        raise KeyboardInterrupt

    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((8, 9, 4)))
    monkeypatch.setattr("hsipipe.scenes.readers.open_image", interrupted)
    assert main(["info", str(tmp_path / "a.npy")]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_only_json_reaches_standard_output(capsys):
    with only_json(True):
        print("what a library prints")
        print_json({"a": [float("nan"), 1.5]})
        print("more")
    told = capsys.readouterr()
    assert json.loads(told.out) == {"a": [None, 1.5]}
    assert told.err == "what a library prints\nmore\n"


def test_denoise_tells_the_noise_that_was_added(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row, col = np.mgrid[:40, :36] / 9
    maps = np.stack([np.sin(row + phase) * np.cos(1.3 * col - phase) for phase in (0, 1, 2)])
    spectra = np.random.default_rng(0).random((3, 16))
    cube = np.einsum("krc,kb->rcb", maps, spectra) * 100 + 500
    noise = np.random.default_rng(1).normal(0, 4, cube.shape)
    np.save("noisy.npy", (cube + noise).astype(np.float32))
    assert main(["denoise", "noisy.npy", "out.npy", "--json", "--figure", "f.png", "--tile", "24"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["input"], told["output"], told["method"]) == ("noisy.npy", "out.npy", "blind")
    assert (told["rows"], told["cols"], told["bands"], told["wavelength_nm"]) == (40, 36, 16, None)
    assert told["noise"]["median"] == pytest.approx(4, rel=0.1)
    assert len(told["noise"]["by_band"]) == len(told["removed"]["by_band"]) == 16
    assert told["removed"]["rms"] == pytest.approx(4, rel=0.1)
    assert told["noise"]["snr_db"] == pytest.approx(20 * np.log10(500 / 4), abs=1)
    # What was removed is the noise: little of it is left.
    assert np.std(np.load("out.npy") - cube) < 2
    assert main(["denoise", "noisy.npy", "out.npy", "--quiet"]) == 0
    assert re.match(r"out.npy: blind, \d+\.\d s; noise of the bands [34]\.\d+ \(median; SNR 4", capsys.readouterr().out)


def test_strategies_of_the_help_are_those_there_are():
    assert sorted(STRATEGY_NAMES) == sorted(STRATEGIES)


def completed(script, *words):
    """What bash offers for the last word."""
    program = f"""source {script}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
_shtab_hsipipe hsipipe '{words[-1]}' '{words[-2]}'; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, cwd=script.parent)
    return done.stdout.split()


@pytest.fixture
def bash(tmp_path, capsys):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "hsipipe.bash").write_text(capsys.readouterr().out)
    (tmp_path / "scene.tif").touch()
    return tmp_path / "hsipipe.bash"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["deno"], {"denoise"}),
        (["denoise", "sc"], {"scene.tif"}),
        (["denoise", "scene.tif", "out.tif", "--method", "hy"], {"hyres"}),
        (["denoise", "scene.tif", "out.tif", "--method", "destripe+fa"], {"destripe+fasthyde"}),
        (["denoise", "scene.tif", "out.tif", "--method", "qrn"], set()),  # is trained: --model
        (["fuse", "a.tif", "b.tif", "c.tif", "--method", "gs"], {"gsa"}),
        (["segment", "a.tif", "b.tif", "--method", "km"], {"kmeans"}),
        (["segment", "a.tif", "b.tif", "--encoder", "non"], {"none"}),
        (["bands", "scene.tif", "--strategy", "iss"], {"issc"}),
        (["bands", "scene.tif", "--strat"], {"--strategy"}),
        (["plot", "scene.tif", "a.png", "--colours", "inf"], {"infrared"}),
        (["score", "seg"], {"segmentation"}),
        (["score", "fusion", "--truth", "sce"], {"scene.tif"}),
        (["methods", "--task", "rep"], {"representation"}),
    ],
)
def test_bash_completes(bash, words, offered):
    assert set(completed(bash, "hsipipe", *words)) == offered


def test_completed_methods_are_taken():
    from hsipipe.cli.completion import TASK_OF, prepared

    (choices,) = [a for a in prepared(make_parser())._actions if isinstance(a, argparse._SubParsersAction)]
    for verb, task in TASK_OF.items():
        (method,) = [action for action in choices.choices[verb]._actions if "--method" in action.option_strings]
        assert len(method.choices) >= 3
        for name in method.choices:
            assert not find_method(task, name).is_fitted


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_understood_by_their_shells(shell, tmp_path, capsys):
    assert main(["completion", shell]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = [shell, "-f", "-c", "source script"] if shell == "tcsh" else [shell, "-n", "script"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "script" in [path.name for path in tmp_path.iterdir()]


def test_quiet_keeps_notes_back(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((8, 9, 4)))
    main(["info", str(tmp_path / "a.npy"), "--quiet"])
    assert logging.getLogger().level == logging.WARNING
    main(["info", str(tmp_path / "a.npy")])
    assert logging.getLogger().level == logging.INFO
    assert "bands  4" in capsys.readouterr().out
