from hsipipe.provenance.steps import Step
from hsipipe.provenance.versions import told_of_other_code


def made(path, code, commit="abc+", **wildcards):
    environment = {"hsipipe": "0.1", "commit": commit}
    return Step(path, "k", code, {}, wildcards, [], [{"path": path}], "", 0.0, environment=environment)


def test_results_of_the_same_code_are_not_told():
    assert told_of_other_code([made("run", "1")], lambda *_: "1") == ""
    assert told_of_other_code([made("run", None)], lambda *_: "1") == ""  # a step without code of its own
    assert told_of_other_code([made("run", "1")], lambda *_: None) == ""  # no longer part of the study


def test_those_of_other_code_are_told_with_what_keeps_them():
    steps = [made("a", "1", variant="x"), made("b", "1", variant="y")]
    told = told_of_other_code(steps, lambda _, wildcards: "2" if wildcards == (("variant", "y"),) else "1")
    assert told.startswith("b: made by other code (commit abc+; 1 such steps)")
    assert told.endswith("git checkout abc")
    assert told_of_other_code([made("a", "1", commit=None)], lambda *_: "2").endswith("install hsipipe 0.1")


def test_the_code_of_a_step_is_looked_up_once_for_all_cases_and_seeds():
    asked = []
    steps = [made("run", "1", variant="x", case=case, seed=seed) for case in "abc" for seed in "01"]
    told_of_other_code(steps, lambda *what: asked.append(what) or "1")
    assert len(asked) == 1
