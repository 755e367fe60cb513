import pytest

from hsipipe import methods
from hsipipe.errors import UserError
from hsipipe.methods import find_method, methods_of, tasks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of tasks of which `write` makes the method denoising/mine."""
    monkeypatch.setattr(methods, "TASKS_FOLDER", tmp_path)
    methods_of.cache_clear()

    def write(text):
        place = tmp_path / "denoising" / "methods" / "mine"
        place.mkdir(parents=True, exist_ok=True)
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
