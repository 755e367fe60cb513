import math

import pytest

from hsipipe.errors import UserError
from hsipipe.settings import as_plain, describe, settings_from
from hsipipe.training.settings import NEUTRAL_SETTINGS, TrainingSettings


def test_schedules():
    constant = TrainingSettings(epochs=2, steps_per_epoch=5, learning_rate=0.1)
    assert [constant.learning_rate_at(step) for step in range(10)] == [0.1] * 10
    cosine = TrainingSettings(epochs=2, steps_per_epoch=5, learning_rate=0.1, schedule="cosine")
    assert cosine.learning_rate_at(0) == 0.1
    assert cosine.learning_rate_at(5) == pytest.approx(0.05)
    assert cosine.learning_rate_at(9) == pytest.approx(0.05 * (1 + math.cos(0.9 * math.pi)))
    warm = TrainingSettings(epochs=2, steps_per_epoch=5, learning_rate=0.1, warmup_steps=4)
    assert [warm.learning_rate_at(step) for step in range(5)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_steps_of_the_paper():
    """QRNN3D: a tenth from epoch 40 on, a hundredth from epoch 45 on."""
    steps = TrainingSettings(learning_rate=1e-3, schedule="steps", step_epochs=(40, 45), steps_per_epoch=250)
    rates = {epoch: steps.learning_rate_at(epoch * 250) for epoch in (0, 39, 40, 44, 45, 49)}
    assert rates == pytest.approx({0: 1e-3, 39: 1e-3, 40: 1e-4, 44: 1e-4, 45: 1e-5, 49: 1e-5})
    assert steps.learning_rate_at(40 * 250 - 1) == 1e-3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epochs": 0}, "epochs: must be at least 1"),
        ({"learning_rate": 0}, "learning_rate: must be above 0"),
        ({"optimizer": "adma"}, "did you mean 'adam'"),
        ({"schedule": "steps"}, "needs epochs"),
        ({"schedule": "steps", "step_epochs": (4, 4)}, "must rise"),
        ({"batch_size": 2.5}, "batch_size: must be a whole number"),
    ],
)
def test_refused(change, text):
    with pytest.raises(UserError, match=text):
        TrainingSettings(**change)
    with pytest.raises(UserError, match=f"config.yaml: .*{text}"):
        settings_from(TrainingSettings, change, "config.yaml")


def test_round_trip_and_documentation():
    settings = TrainingSettings(schedule="steps", step_epochs=(2, 3), gradient_clip=1.0)
    assert settings_from(TrainingSettings, as_plain(settings)) == settings
    assert all(len(entry.meaning) > 10 for entry in describe(TrainingSettings))


def test_what_changes_no_weights():
    assert set(NEUTRAL_SETTINGS) == {"checkpoint_every_s", "pictures_every", "empty_cache", "watch"}


def test_when_pictures_are_drawn():
    often, never = TrainingSettings(pictures_every=3), TrainingSettings()
    assert [epoch for epoch in range(1, 10) if often.draws_pictures_at(epoch)] == [3, 6, 9]
    assert not any(never.draws_pictures_at(epoch) for epoch in range(1, 10))
