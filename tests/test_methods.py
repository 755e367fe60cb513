import subprocess
import sys
from dataclasses import fields

import pytest

from hsipipe import methods
from hsipipe.errors import UserError
from hsipipe.methods import find_method, methods_of, tasks
from hsipipe.settings import settings_from
from hsipipe.training.settings import TrainingSettings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of tasks of which `write` makes the method denoising/mine."""
    monkeypatch.setattr(methods, "TASKS_FOLDER", tmp_path)
    methods_of.cache_clear()

    def write(text):
        place = tmp_path / "denoising" / "methods" / "mine"
        place.mkdir(parents=True, exist_ok=True)
        (tmp_path / "denoising" / "settings.py").touch()
        (place / "method.yaml").write_text(text)
        return find_method("denoising", "mine")

    yield write
    methods_of.cache_clear()


def every_method():
    return [method for task in tasks() for method in methods_of(task).values()]


@pytest.mark.parametrize("method", every_method(), ids=lambda method: method.name)
def test_defaults_keep_to_their_own_limits(method):
    defaults = {name: entry.get("default") for name, entry in method.settings.items()}
    assert method.complete(defaults) == method.complete({}) == defaults


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("svd", {"rank": -3}, "rank: must be at least 1"),
        ("svd", {"rank": 2.5}, "rank: must be a whole number"),
        ("svd", {"rnk": 2}, "did you mean 'rank'"),
        ("hyres", {"levels": 0}, "levels: must be at least 1"),
        ("hyres", {"levels": None}, "levels: must be a whole number"),
        ("hyres", {"wavelet": "db55"}, "did you mean 'db5'"),
        ("wsrrr", {"tolerance": -0.1}, "tolerance: must be at least 0"),
        ("otvca", {"iterations": 0}, "iterations: must be at least 1"),
        ("fasthyde", {"gain": 0}, "gain: must be above 0"),
        ("fasthyde", {"noise": "poison"}, "did you mean 'poisson'"),
        ("qrnn3d", {"epochs": -1}, "epochs: must be at least 1"),
        ("qrnn3d", {"channels": True}, "channels: must be a whole number"),
        ("qrnn3d", {"step_factor": 1.5}, "step_factor: must be at most 1"),
        # what only the settings of the training know
        ("qrnn3d", {"step_epochs": [45, 40]}, "step_epochs: must rise"),
        ("qrnn3d", {"step_epochs": [0]}, r"step_epochs\[0\]: must be at least 1"),
        ("qrnn3d", {"step_epochs": []}, "schedule `steps` needs epochs"),
        ("destripe+svd", {"rank": 0}, "rank: must be at least 1"),
    ],
)
def test_settings_are_checked(name, given, message):
    with pytest.raises(UserError, match=message) as raised:
        find_method("denoising", name).complete(given, file="study.yaml")
    assert str(raised.value).startswith("study.yaml: ")


def test_values_are_taken_as_their_type():
    assert find_method("denoising", "svd").complete({"rank": None})["rank"] is None
    assert find_method("denoising", "svd").complete({"rank": 4})["rank"] == 4
    assert find_method("denoising", "qrnn3d").complete({"learning_rate": "1e-3"})["learning_rate"] == 0.001


def test_a_method_needs_a_title_and_a_kind_only(folder):
    method = folder("title: Mine\nkind: direct\nsettings:\ncitation:\n")
    assert (method.name, method.task, method.backend, method.settings) == ("mine", "denoising", "torch", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: Mine", "kind: is missing"),
        ("- title", "must be a mapping"),
        ("{title: Mine, kind: direkt}", "did you mean 'direct'"),
        ("{title: Mine, kind: direct, backend: jax}", "unknown choice 'jax'"),
        ("{title: Mine, kind: direct, randm: true}", "did you mean 'random'"),
        ("{title: Mine, kind: direct, name: other}", "unknown key of a method 'name'"),
        ("{title: Mine, kind: direct, settings: {a: 3}}", "settings.a: must be names with values"),
        ("{title: Mine, kind: direct, settings: {a: {default: 3, minimun: 1}}}", "did you mean 'minimum'"),
        ("{title: Mine, kind: direct, settings: {a: {default: 3, type: integer}}}", "did you mean 'int'"),
        ("{title: Mine, kind: direct, settings: {a: {default: 0, minimum: 1}}}", "a: must be at least 1"),
        ("{title: Mine, kind: direct, settings: {a: {default: c, choices: [a, b]}}}", "unknown choice 'c'"),
    ],
)
def test_a_wrong_method_file_is_told(folder, text, message):
    with pytest.raises(UserError, match=message) as raised:
        folder(text)
    assert "method.yaml" in str(raised.value)


def test_a_fitted_method_has_the_settings_of_the_training(folder):
    method = folder(
        "title: Mine\nkind: encoder\nsettings:\n  width: {default: 3, minimum: 1}\n"
        "  learning_rate: {default: 1e-4, meaning: rate of the head}\n  schedule: {choices: [constant, cosine]}\n"
    )
    assert list(method.settings) == ["width", *(item.name for item in fields(TrainingSettings))]
    assert method.settings["learning_rate"] == {
        "default": 1e-4,
        "type": "float",
        "meaning": "rate of the head",
        "above": 0,
    }
    assert method.settings["optimizer"]["choices"] == ["adam", "adamw", "adamw8bit"]
    assert all(len(method.settings[item.name]["meaning"]) > 10 for item in fields(TrainingSettings))
    completed = method.complete({"pictures_every": 5, "gradient_clip": None, "epochs": 2})
    assert (completed["pictures_every"], completed["gradient_clip"], completed["learning_rate"]) == (5, None, 1e-4)
    inherited = {name: value for name, value in completed.items() if name != "width"}
    assert settings_from(TrainingSettings, inherited) == TrainingSettings(
        pictures_every=5, epochs=2, learning_rate=1e-4
    )
    with pytest.raises(UserError, match="did you mean 'constant'"):
        method.complete({"schedule": "constnt"})
    with pytest.raises(UserError, match="unknown choice 'steps'"):
        method.complete({"schedule": "steps"})


def test_null_can_undo_a_default_where_the_training_allows_it(folder):
    method = folder("title: Mine\nkind: trained\nsettings: {gradient_clip: {default: 1.0}, patience: {default: 10}}\n")
    assert method.complete({})["gradient_clip"] == 1.0
    assert method.complete({"gradient_clip": None, "patience": None})["gradient_clip"] is None
    with pytest.raises(UserError, match="epochs: must be a whole number"):
        method.complete({"epochs": None})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{epochs: {default: 0}}", "epochs: must be at least 1"),
        ("{epochs: {defaults: 1}}", "did you mean 'default'"),
        ("{epochs: {default: 1.5, type: float}}", r"epochs.type: is a setting of the training"),
        ("{schedule: {default: steps}}", "needs epochs"),
    ],
)
def test_what_a_fitted_method_changes_is_checked(folder, text, message):
    with pytest.raises(UserError, match=message) as raised:
        folder(f"title: Mine\nkind: trained\nsettings: {text}\n")
    assert "method.yaml" in str(raised.value)


def test_others_have_no_settings_of_a_training(folder):
    method = folder("{title: Mine, kind: direct, settings: {epochs: {default: 0}}}")
    assert method.complete({}) == {"epochs": 0}
    with pytest.raises(UserError, match="unknown setting"):
        method.complete({"batch_size": 2})


def test_reading_methods_does_not_import_torch():
    code = (
        "import sys; from hsipipe.methods import methods_of; methods_of('denoising');"
        "sys.exit('torch' in sys.modules or 'pytorch_lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
