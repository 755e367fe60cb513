"""What the documentation shows is true: its examples run, its commands exist, its figures are those measured."""

import csv
import importlib
import posixpath
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import hsipipe.tasks.denoising.methods
from hsipipe import methods
from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.cli import make_parser
from hsipipe.cli.scenes import parse_assignments
from hsipipe.config.load import load_paper, read_config
from hsipipe.degrade.noise import parse_noise
from hsipipe.methods import find_method, methods_of
from hsipipe.nets import heads
from hsipipe.nets.vit import PRESETS, build_encoder
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.tasks import load_task
from hsipipe.tasks.denoising.fit import sort_settings, squared_error
from hsipipe.tasks.denoising.methods.vit.model import ADAPTATIONS
from hsipipe.tasks.denoising.trained import load_denoiser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
DOCS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
TUNING, METHODS = DOCS["docs/guides/fine-tuning.md"], DOCS["docs/guides/methods.md"]
AFTER_A_COMMAND = re.compile(r"\s(\||\|\||&&|\d?>)\s.*")


def tracked_files():
    """The files of the repository itself, without what was built or fetched."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    return [ROOT / name for name in listed if (ROOT / name).is_file()] or [
        path for folder in ("src", "workflow", "config", "profiles", "docs") for path in (ROOT / folder).rglob("*.*")
    ]


def chapter(text, heading):
    """A chapter of a page, with the sections in it."""
    return next(part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{heading}\n"))


def blocks(text, language):
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def rows(text):
    """The cells of the rows of all tables, headings among them."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r" \| ", line.strip("| "))] for line in lines]


def commands(program):
    """Every command of a program that a page shows, as (page, words)."""
    found = []
    for name, text in DOCS.items():
        for block in blocks(text, "bash"):
            lines = [AFTER_A_COMMAND.sub("", line) for line in block.replace("\\\n", " ").splitlines()]
            found += [(name, shlex.split(line, comments=True)) for line in lines if line.startswith(f"{program} ")]
    return found


@pytest.fixture(scope="module")
def generated(docs_generator):
    """The pages that are made when the site is built, as docs/PATH -> text."""
    return {f"docs/{name}": text for name, text in docs_generator.generated().items()}


def test_every_page_is_linked_and_every_link_leads_somewhere(generated):
    linked = set()
    for name, text in DOCS.items():
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            assert place in generated or (ROOT / place).exists(), f"{name} links to {target}"
            linked.add(place)
    assert set(DOCS) - {"README.md", "docs/index.md"} <= linked


def test_links_to_headings_name_headings(generated):
    known = {**DOCS, **generated}
    for name, text in DOCS.items():
        for page, anchor in re.findall(r"\]\(([\w./-]*)#([\w.-]+)\)", text):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(name), page)) if page else name
            headings = re.findall(r"^#+ (.*)$", known[place], flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{name} links to {page}#{anchor}"


def test_files_of_the_documentation_that_the_code_names_are_there(generated):
    """In comments, messages and descriptions, anywhere in the repository."""
    for path in tracked_files():
        if path.suffix in {".py", ".yaml", ".smk", ".toml", ".csv", ".md", ""} and path.name != "CHANGELOG.md":
            for name in re.findall(r"\bdocs/[\w/-]+\.(?:md|png|py)\b", path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists() or name in generated, f"{path.relative_to(ROOT)} names {name}"


@pytest.mark.parametrize("words", [words for _, words in commands("hsipipe")], ids=" ".join)
def test_commands_exist(words):
    words = words[: words.index(">")] if ">" in words else words  # the rest is the shell's
    options = make_parser().parse_args(words[1:])
    if getattr(options, "method", None):
        if options.method == "spectral_bilateral":  # the one that the tutorial adds
            return
        task = {"fuse": "fusion", "segment": "segmentation"}.get(options.verb, "denoising")
        method = find_method(task, options.method)
        method.complete(parse_assignments(options.set))
    if options.verb == "degrade" and options.noise is not None:
        parse_noise(options.noise)
    if options.verb == "train":
        paper = load_paper(read_config(ROOT / options.config), file=options.config)
        assert paper.case(options.task, options.case).models_from is None
        variant = paper.variant(options.task, options.variant)
        assert variant.method.is_fitted
        variant.method.complete({**variant.settings, **parse_assignments(options.set)})


@pytest.mark.parametrize(("page", "words"), commands("snakemake"), ids=lambda value: " ".join(value[:5]))
def test_snakemake_is_given_configs_that_are_there(page, words):
    """Whatever follows `--configfile` without an option between is taken for another config."""
    if "--configfile" not in words:
        return
    after = words[words.index("--configfile") + 1 :]
    files = after[: next((index for index, word in enumerate(after) if word.startswith("-")), len(after))]
    own = {name for text in DOCS.values() for name in re.findall(r"(?:write a config, `|<!-- file: )([\w.-]+)", text)}
    assert files
    for file in files:
        assert file in own or (ROOT / file).is_file(), f"{page}: {file}"


def test_method_description_of_the_documentation_is_complete(tmp_path, monkeypatch):
    description, inherited = blocks(chapter(METHODS, "method.yaml"), "yaml")
    for name, text in {"shown": description, "fitted": f"title: t\nkind: trained\n{inherited}"}.items():
        (tmp_path / "denoising" / "methods" / name).mkdir(parents=True)
        (tmp_path / "denoising" / "methods" / name / "method.yaml").write_text(text)
    monkeypatch.setattr(methods, "TASKS_FOLDER", tmp_path)
    shown, fitted = (methods._read(path) for path in sorted(tmp_path.rglob("method.yaml"), reverse=True))
    assert set(yaml.safe_load(description)) == set(methods.Method.__dataclass_fields__) - {"name", "task"}
    assert shown.complete({}) == {"rank": 5}
    assert fitted.complete({"patience": None})["patience"] is None
    assert fitted.settings["learning_rate"]["default"] == 0.0001
    assert fitted.settings["batch_size"]["minimum"] == 1


def test_keys_of_settings_are_documented():
    named = {key for cells in rows(chapter(METHODS, "method.yaml")) for key in re.findall(r"`(\w+)`", cells[0])}
    assert named == set(methods.ENTRY_KEYS)


def test_study_of_the_documentation_is_complete():
    (text,) = blocks(chapter(TUNING, "In a study of your own"), "yaml")
    listed = {
        "paper": "p",
        "scenes": {"s": {"simulate": {"items": 3}}},
        "tables": {"t": {"task": "denoising", "cases": ["c"], "metrics": ["mpsnr"]}},
    }
    listed["denoising"] = yaml.safe_load(text)["denoising"] | {"cases": {"c": {"scenes": ["s"], "noise": "hyspecnet"}}}
    paper = load_paper(listed, file="study.yaml")
    starts = {
        name: paper.start_of("denoising", "c", variant, 0) for name, variant in paper.variants["denoising"].items()
    }
    encoder = "results/denoising/c/mae/seed0/model.pt"
    assert {starts[name] for name in ("full", "lora", "qlora", "lora-skip")} == {encoder}
    assert starts["from-file"] == "mae.pth"
    assert starts["unpretrained"] is None
    assert "mae" not in {run.variant for run in paper.runs()}


def test_study_of_the_rehearsal_is_complete():
    (text,) = blocks(chapter(DOCS["docs/guides/scaling.md"], "Rehearse it"), "yaml")
    paper = load_paper(yaml.safe_load(text), file="rehearsal.yaml")
    assert {run.variant for run in paper.runs()} == {"noisy", "forpdn", "qrnn3d"}


def test_names_of_settings_are_those_of_the_method():
    """With the defaults of the two programs, where ours is a setting of `vit` or of a case."""
    settings = find_method("denoising", "vit").settings
    table = {cells[0]: cells[1] for cells in rows(chapter(TUNING, "Names of settings"))[1:]}
    assert len(table) == 20
    of_case = {"--data_path", "--stripe_intensity", "--save_dir", "--resume_from"}
    for theirs, ours in table.items():
        if re.match(r"`(--\w+)", theirs)[1] in of_case:
            continue
        for name, default in re.findall(r"`(\w+)`(?: \(([^,)]+))?", ours):
            entry = settings.get(name, {"default": None} if name in ADAPTATIONS else None)
            assert entry is not None, name
            if default:
                assert entry["default"] == yaml.safe_load(default), name
    noise = re.findall(r"`([^`]+)`", table["`--stripe_intensity` (0.5)"])
    assert parse_noise(noise[1]) == parse_noise("hyspecnet")
    assert parse_noise(noise[2]).components[1].intensity == 0.3


def test_settings_that_the_page_names_exist():
    known = set(find_method("denoising", "vit").settings) | set(find_method("denoising", "mae").settings)
    given = re.findall(r"`(\w+): [\w.]+`", TUNING)
    assert {"checkpointing", "accumulate", "optimizer", "gradient_clip"} <= set(given) <= known


def test_presets_of_the_documentation():
    table = [cells for cells in rows(chapter(TUNING, "The encoder")) if cells[0].strip("`").split("`")[0] in PRESETS]
    assert len(table) == len(PRESETS)
    for name, *numbers in table:
        preset = name.strip("`").split("`")[0]
        with torch.device("meta"):
            encoder = build_encoder(bands=202, image_size=128, preset=preset)
        parameters = sum(parameter.numel() for parameter in encoder.parameters())
        assert [int(number.replace(",", "")) for number in numbers] == [*PRESETS[preset], parameters]


@pytest.fixture(scope="module")
def account():
    with open(ROOT / "benchmarks" / "finetuning.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["part"] == "account"]


def test_memory_is_that_of_the_account(account):
    found = {
        (row["adaptation"], row["precision"], row["checkpointing"]): float(row["value"])
        for row in account
        if row["quantity"] == "total memory" and row["batch"] == "32"
    }
    table = [cells for cells in rows(chapter(TUNING, "Memory")) if cells[0].strip("`") in ADAPTATIONS]
    assert len(table) == len(ADAPTATIONS)
    for name, *shown in table:
        values = [
            found[name.strip("`"), precision, again] for precision in ("float32", "bfloat16") for again in ("no", "yes")
        ]
        assert shown == [f"{value:.2f}" for value in values]


def test_trained_parameters_are_those_of_the_account(account):
    found = {row["adaptation"]: float(row["value"]) for row in account if row["quantity"] == "trainable"}
    table = [cells for cells in rows(chapter(TUNING, "The adaptations")) if cells[0].strip("`") in ADAPTATIONS]
    assert {name.strip("`"): float(cell.replace(",", "")) for name, _, cell in table} == found


def test_heads_of_the_documentation():
    shown = {}
    for cells in rows(chapter(TUNING, "The heads")):
        if (name := cells[0].strip("`").split("`")[0]) in heads.HEADS:
            shown[name] = int(cells[2].replace(",", ""))
    with torch.device("meta"):
        made = {name: heads.build_head(name, bands=202, patch=4, width=384) for name in heads.HEADS}
    assert shown == {name: sum(value.numel() for value in head.parameters()) for name, head in made.items()}


def test_own_head(monkeypatch):
    code, entry = blocks(chapter(TUNING, "Add your own head"), "python")
    monkeypatch.setattr(heads, "HEADS", dict(heads.HEADS))
    exec(code + entry, {"HEADS": heads.HEADS})
    (described,) = blocks(chapter(TUNING, "Add your own head"), "yaml")
    (variant,) = re.findall(r"`(\{method: vit.*?\})`", chapter(TUNING, "Add your own head"))
    method = find_method("denoising", "vit")
    monkeypatch.setitem(method.settings, "head", yaml.safe_load(described)["head"])
    given = {name: value for name, value in yaml.safe_load(variant).items() if name != "method"}
    assert set(method.settings["head"]["choices"]) == set(heads.HEADS)
    settings = method.complete({**given, "preset": "tiny", "image_size": 16})
    torch.manual_seed(0)
    network = method.load().build(bands=20, **sort_settings(settings)[0])
    assert type(network.head).__name__ == "SpectraHead"

    noisy, clean = torch.rand(2, 2, 20, 16, 16)
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    loss = squared_error(network, {"input": noisy, "target": clean})
    loss.backward()
    optimizer.step()
    moved = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert {"head.shares.weight", "head.spectra.weight", "encoder.vit.patch_embed.proj.weight"} <= moved
    with torch.no_grad():
        denoised = network(noisy)
    assert denoised.shape == noisy.shape
    assert squared_error(lambda _: denoised, {"input": noisy, "target": clean}) < loss
    spectra = denoised - network.head.spectra.bias[:, None, None]
    assert torch.linalg.matrix_rank(spectra.movedim(1, -1).reshape(-1, 20).double(), rtol=1e-5) == 12


WITH_PREPARE = "loss and prepare"


@pytest.fixture(params=["loss", WITH_PREPARE])
def own_method(request, tmp_path, monkeypatch):
    """The method whose training step is its own, in a folder of methods of its own; without and with its `prepare`."""
    part = chapter(TUNING, "Add your own training step")
    code, prepare = blocks(part, "python")
    (description,) = blocks(part, "yaml")
    (name,) = set(re.findall(r"tasks/denoising/methods/(\w+)/", part))
    folder = tmp_path / "denoising" / "methods"
    (folder / name).mkdir(parents=True)
    (tmp_path / "denoising" / "settings.py").touch()
    (folder / name / "model.py").write_text(code + (prepare if request.param == WITH_PREPARE else ""))
    (folder / name / "method.yaml").write_text(description)
    monkeypatch.setattr(methods, "TASKS_FOLDER", tmp_path)
    package = hsipipe.tasks.denoising.methods
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()
    methods_of.cache_clear()
    yield find_method("denoising", name)
    methods_of.cache_clear()
    for module in [module for module in sys.modules if module.startswith(f"{package.__name__}.{name}")]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A tiny case: mixtures of four smooth spectra, of which two images are trained on."""
    folder = tmp_path_factory.mktemp("case")
    generator = np.random.default_rng(0)
    centres = np.linspace(400, 1000, 12)
    spectra = np.exp(-(((centres - generator.uniform(400, 1000, (4, 1))) / 200) ** 2))
    items = []
    for number in range(4):
        cube = np.einsum("kc,khw->chw", spectra, generator.random((4, 24, 20))).astype(np.float32)
        items.append(Item(cube, name=f"i{number}", wavelength_nm=centres))
    write_scene(folder / "s.h5", items, name="s")
    with Scene(folder / "s.h5") as scene:
        units = split_scenes([scene], SplitSettings(fractions=(0.5, 0.25, 0.25)))
        selection = select_case_bands([scene], units, {"strategy": "all"})
    settings = {"noise": "gaussian:sigma=0.1", "seed": 0, "figure_unit": 0}
    load_task("denoising", "prepare")(
        [folder / "s.h5"], units, selection, settings, name="c", output=folder / "case.h5"
    )
    return SimpleNamespace(path=folder / "case.h5", scenes=[folder / "s.h5"], units=units, settings=settings)


def test_own_training_step(own_method, case, tmp_path, monkeypatch):
    module = own_method.load()
    network = module.build(bands=12, slope_weight=2.0)
    batch = {"input": torch.zeros(1, 2, 1, 1), "target": torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)}
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)  # then it changes nothing, and the error is -1 and -3
    assert module.loss(network, batch).item() == pytest.approx((1 + 9) / 2 + 2 * 4)

    drawn = []
    if prepares := hasattr(module, "prepare"):
        prepare = module.prepare

        def spied(network, cubes, **named):
            draw = prepare(network, cubes, **named)
            return lambda number, device, size: drawn.append((number, size)) or draw(number, device, size)

        monkeypatch.setattr(module, "prepare", spied)
    settings = own_method.complete({"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "patch": 16})
    names = {"output": "model.pt", "curves": "loss_curves.png", "samples": "samples.png"}
    outputs = {key: tmp_path / name for key, name in names.items()}
    load_task("denoising", "fit")(
        case.path,
        case.scenes,
        case.units,
        own_method,
        settings,
        case_settings=case.settings,
        seed=0,
        key="k",
        state=tmp_path / "state",
        **outputs,
    )
    assert all(path.stat().st_size for path in outputs.values())
    assert not prepares or {(0, 2), (1, 2)} <= set(drawn)
    denoiser = load_denoiser(outputs["output"])
    assert [row["step"] for row in denoiser.content["history"]] == [2]
    assert np.isfinite(denoiser.content["history"][0]["train_loss"])
    noisy = torch.rand(1, 7, 19, 33)  # of another size and number of bands
    with torch.no_grad():
        denoised = denoiser(noisy)
    assert denoised.shape == noisy.shape
    assert not torch.equal(denoised, noisy)


@pytest.mark.parametrize("own_method", [WITH_PREPARE], indirect=True)
def test_own_batches_have_two_noisy_versions(own_method):
    module = own_method.load()
    clean = torch.full((12, 40, 40), 0.5)
    noise = parse_noise("gaussian:sigma=0.1")
    draw = module.prepare(module.build(bands=12), [clean], noise=noise, seed=("c", 0))
    batch, again, other = (draw(number, torch.device("cpu"), 3) for number in (4, 4, 5))
    assert batch["input"].shape == batch["target"].shape == (3, 12, 32, 32)
    errors = [batch[name] - 0.5 for name in ("input", "target")]
    assert [error.std().item() for error in errors] == pytest.approx([0.1, 0.1], rel=0.05)
    assert abs((errors[0] * errors[1]).mean().item()) < 0.001, "the two noises have nothing in common"
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["target"], other["target"])
