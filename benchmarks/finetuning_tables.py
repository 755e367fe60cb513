"""finetuning.csv as readable tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Row = dict[str, str]

PAPER_GB = {"full": "9.8", "frozen": "5.2", "lora": "4.1", "qlora": "2.9"}
BLOCKS = {"no": "stored", "yes": "recomputed"}
ON_OFF = {"no": "off", "yes": "on"}
# What a GPU alone can tell: part, what it is called here.
MEASURED = {
    "memory": "peak memory, and the largest batch that fits by it",
    "speed": "milliseconds per step, samples per second, share of the measured bfloat16 matrix peak, torch.compile and "
    "channels_last on and off, drawing a batch against a step, hours for 200 epochs of HySpecNet-11k",
}


class Rows:
    """Rows of the table."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __call__(self, quantity: str, **where: str) -> list[Row]:
        """The rows that match."""
        return [
            row
            for row in self.rows
            if row["quantity"] == quantity and all(row[column] == value for column, value in where.items())
        ]

    def number(self, quantity: str, **where: str) -> float | None:
        """The one value that matches, or None."""
        found = self(quantity, **where)
        return float(found[0]["value"]) if found else None

    def column(self, name: str, quantity: str, **where: str) -> list[str]:
        """The different values of a column among the rows that match, in their order."""
        return list(dict.fromkeys(row[name] for row in self(quantity, **where)))


def as_markdown(rows: Sequence[Row]) -> str:
    """All tables, what made them, and what is missing."""
    text = ["# Fine-tuning at the paper's size", ""]
    units = "GB are 10^9 bytes, GFLOP 10^9 operations (a product and its sum are two)."
    text += [f"Network: {rows[0]['network']}. {units}", ""]
    account = Rows([row for row in rows if row["part"] == "account"])
    if account.rows:
        text += [*_parameters(account), *_work(account), *_memory(account), *_paper(account)]
        text += _batches(account, "Largest batch within a memory, by the account")
    devices = [device for device in dict.fromkeys(row["device"] for row in rows) if device != "any"]
    for device in devices:
        here = [row for row in rows if row["device"] == device]
        memory = Rows([row for row in here if row["part"] == "memory"])
        speed = Rows([row for row in here if row["part"] == "speed"])
        if memory("peak memory"):
            title = f"## Peak memory measured on {device}, GB"
            note = "Of two steps, without the clean images that batches are cut from; inf: more than the GPU has."
            text += [title, "", note, "", *_by_batch(memory, "peak memory")]
            text += _batches(memory, f"Largest batch within a memory, measured on {device}")
        if speed.rows:
            text += _speed(speed, device)
    text += [*_not_measured(rows, devices), *_made_by(rows)]
    return "\n".join(text).rstrip() + "\n"


def _parameters(rows: Rows) -> list[str]:
    names = ("weights memory", "gradients memory", "optimizer memory")
    lines = [
        [
            name,
            *(f"{rows.number(what, adaptation=name):,.0f}" for what in ("parameters", "trainable")),
            *(f"{1000 * (rows.number(what, adaptation=name) or 0):.1f}" for what in names),
        ]
        for name in _adaptations(rows)
    ]
    head = ["adaptation", "parameters", "trained", "weights, MB", "gradients, MB", "optimiser, MB"]
    note = "What is held all the time. The optimiser is AdamW; that of qlora keeps its state in 8 bits."
    return ["## Parameters", "", note, "", *_table(head, lines)]


def _work(rows: Rows) -> list[str]:
    whole = rows.number("training step", adaptation="full", checkpointing="no")
    lines = []
    for name in _adaptations(rows):
        stored, again = (rows.number("training step", adaptation=name, checkpointing=way) for way in BLOCKS)
        share = _cell(100 * stored / whole if stored and whole else None, 0)
        lines.append(
            [name, _cell(rows.number("encoder forward", adaptation=name), 1), _cell(stored, 1), share, _cell(again, 1)]
        )
    head = ["adaptation", "encoder, forward", "training step", "% of full", "step, blocks recomputed"]
    heads = [
        [name.removeprefix("head "), f"{rows.number('parameters', adaptation=name):,.0f}", _cell(work, 1)]
        for name in rows.column("adaptation", "forward")
        if (work := rows.number("forward", adaptation=name)) is not None
    ]
    return [
        "## Work, GFLOP per image",
        "",
        "Matrix products and convolutions, with their gradients. Adapters spare the gradients of frozen weights and",
        "no more: gradients still pass through the whole encoder.",
        "",
        *_table(head, lines),
        *_table(["head", "parameters", "forward"], heads),
    ]


def _memory(rows: Rows) -> list[str]:
    text = [
        "## Memory of a training step by the account, GB",
        "",
        "Weights, gradients, the optimiser's state, the batch, and what the forward pass saves for the backward pass:",
        "what any device must hold when the forward pass ends. Not in it: what operations need while they run,",
        "gradients of activations, and the one block that is being recomputed. bfloat16 is by autocast: the weights",
        "are float32, their copies for products count as saved.",
        "",
    ]
    return text + _by_batch(rows, "total memory")


def _by_batch(rows: Rows, quantity: str) -> list[str]:
    sizes = rows.column("batch", quantity)
    lines = [
        [name, precision, BLOCKS[way], *(_cell(rows.number(quantity, **where, batch=size), 2) for size in sizes)]
        for name, precision, way, where in _ways(rows, quantity)
    ]
    return _table(["adaptation", "precision", "blocks", *(f"batch {size}" for size in sizes)], lines)


def _paper(rows: Rows) -> list[str]:
    sizes = rows.column("batch", "total memory")
    if "32" not in sizes:
        return []
    ways = list(dict.fromkeys((precision, way) for _, precision, way, _ in _ways(rows, "total memory")))
    lines = []
    for name in _adaptations(rows):
        if name in PAPER_GB:
            where = [{"adaptation": name, "precision": precision, "checkpointing": way} for precision, way in ways]
            values = [rows.number("total memory", batch="32", **each) for each in where]
            lines.append([name, PAPER_GB[name], *(_cell(value, 2) for value in values)])
    head = ["adaptation", "paper", *(f"{precision}, {BLOCKS[way]}" for precision, way in ways)]
    notes = [
        "The paper trains with batches of 32, accumulated where needed, and does not say at which batch it measured.",
        *_more_than_frozen(rows, ways),
    ]
    title = "## The paper's memory (its table 7.1) beside the account at batch 32, GB"
    return [title, "", *notes, "", *_table(head, lines)]


def _more_than_frozen(rows: Rows, ways: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Whether the account contradicts the paper's order of lora and frozen."""

    def total(name: str, precision: str, way: str) -> float | None:
        return rows.number("total memory", adaptation=name, precision=precision, checkpointing=way, batch="32")

    pairs = [(total("lora", *way), total("frozen", *way)) for way in ways]
    if all(lora is not None and frozen is not None and lora > frozen for lora, frozen in pairs):
        yield "Each way lora needs more than frozen, whose encoder saves nothing; the paper has it the other way round,"
        yield "which equal batches cannot give."


def _batches(rows: Rows, title: str) -> list[str]:
    limits = rows.column("limit_gb", "largest batch")
    lines = []
    for name, precision, way, where in _ways(rows, "largest batch"):
        found = [(limit, _cell(rows.number("largest batch", **where, limit_gb=limit), 0)) for limit in limits]
        cells = [f"**{images}**" if PAPER_GB.get(name) == limit else images for limit, images in found]
        lines.append([name, precision, BLOCKS[way], *cells])
    head = ["adaptation", "precision", "blocks", *(f"{limit} GB" for limit in limits)]
    note = "Images; bold: the memory that the paper states for this adaptation (7 % more if its GB are 2^30 bytes)."
    return [f"## {title}", "", note, "", *_table(head, lines)]


def _speed(rows: Rows, device: str) -> list[str]:
    quantities = {
        "step": ("step, ms", 1),
        "drawing": ("drawing, ms", 1),
        "step with drawing": ("both, ms", 1),
        "samples": ("samples/s", 1),
        "share of matrix peak": ("% of peak", 1),
        "200 epochs of HySpecNet-11k": ("200 epochs, h", 1),
    }
    lines = []
    for row in (row for row in rows.rows if row["quantity"] in ("step", "failed")):
        where = {name: row[name] for name in ("adaptation", "precision", "compile", "channels_last")}
        cells = [_cell(rows.number(quantity, **where), digits) for quantity, (_, digits) in quantities.items()]
        if row["quantity"] == "failed":
            cells = [row["note"], *[""] * (len(quantities) - 1)]
        lines.append([row["adaptation"], ON_OFF[row["compile"]], ON_OFF[row["channels_last"]], *cells])
    batch = " or ".join(rows.column("batch", "step"))
    head = ["adaptation", "compile", "channels_last", *(title for title, _ in quantities.values())]
    return [
        f"## Speed measured on {device}",
        "",
        f"Batches of {batch}, bfloat16 by autocast, blocks stored; medians. `both`: each batch drawn (cut, turned and",
        "corrupted on the GPU) and then learned from, as in training; samples and hours follow from it, without",
        "validation. The peak is that of the product of two bfloat16 matrices of side 8192:",
        f"{_cell(rows.number('matrix peak'), 0)} TFLOP/s.",
        "",
        *_table(head, lines),
    ]


def _not_measured(rows: Sequence[Row], devices: list[str]) -> list[str]:
    lines = []
    if not devices:
        lines += [f"- for lack of a GPU: {what}" for what in MEASURED.values()]
    for device in devices:
        there = {row["part"] for row in rows if row["device"] == device}
        lines += [f"- on {device}: {what}" for part, what in MEASURED.items() if part not in there]
    left_out = [row for row in rows if row["quantity"] == "left out"]
    lines += [f"- {row['adaptation']} ({row['part']}, {row['device']}): {row['note']}" for row in left_out]
    return ["## Not measured", "", *lines, ""] if lines else []


def _made_by(rows: Sequence[Row]) -> list[str]:
    made: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["quantity"] == "environment":
            device = "any device" if row["device"] == "any" else row["device"]
            made.setdefault((f"{row['part']} ({device})", row["note"]), []).append(row["adaptation"])
    lines = [f"- {what}, {', '.join(names)}: {note}" for (what, note), names in made.items()]
    return ["## Made by", "", *lines]


def _adaptations(rows: Rows) -> list[str]:
    return rows.column("adaptation", "environment")


def _ways(rows: Rows, quantity: str) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Adaptation, precision, checkpointing, and the three as a condition, in the order of the table."""
    for name in rows.column("adaptation", quantity):
        for precision in rows.column("precision", quantity, adaptation=name):
            for way in rows.column("checkpointing", quantity, adaptation=name, precision=precision):
                yield name, precision, way, {"adaptation": name, "precision": precision, "checkpointing": way}


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    written = list(lines)
    # Numbers to the right.
    ends = ["---:" if written and all(_is_number(line[at]) for line in written) else "---" for at in range(len(head))]
    return [*(f"| {' | '.join(cells)} |" for cells in (head, ends, *written)), ""]


def _is_number(cell: str) -> bool:
    return not cell or cell.strip("*").replace(",", "").replace(".", "").isdigit()
