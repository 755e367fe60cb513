// Quality against what it costs: one mark a variant, on a logarithmic axis of the cost.

function drawTradeoff(data, theCase, state, choose) {
  const about = data.metrics[state.metric], cost = data.costs[state.cost];
  const rows = ranked(theCase, state.metric, about).filter((row) => row.costs[state.cost] > 0);
  const holder = byId("tradeoff-chart");
  if (rows.length < 2) {
    holder.replaceChildren(html("p", { class: "note" }, `Fewer than two variants of this case have a figure of ${cost.heading}.`));
    byId("tradeoff-note").textContent = "";
    return;
  }
  const width = Math.max(300, Math.min(900, holder.clientWidth || 700)), height = Math.min(420, Math.max(280, width * 0.55));
  const edge = { left: 58, right: 16, top: 12, bottom: 46 };
  const xs = rows.map((row) => Math.log10(row.costs[state.cost]));
  const bounds = rows.flatMap((row) => {
    const half = spreadOf(row.scores[state.metric])[0] || 0;
    return [row.scores[state.metric][0] - half, row.scores[state.metric][0] + half];
  });
  const pad = (low, high) => (high > low ? [low - (high - low) * 0.06, high + (high - low) * 0.06] : [low - 0.5, high + 0.5]);
  const [x0, x1] = pad(Math.min(...xs), Math.max(...xs)), [y0, y1] = pad(Math.min(...bounds), Math.max(...bounds));
  const x = (value) => edge.left + ((Math.log10(value) - x0) / (x1 - x0)) * (width - edge.left - edge.right);
  const y = (value) => height - edge.bottom - ((value - y0) / (y1 - y0)) * (height - edge.top - edge.bottom);
  const chart = shape("svg", { width, height, role: "group", "aria-label": `${about.label} against ${cost.heading}` });
  for (const value of ticks(y0, y1, 5)) {
    chart.append(shape("line", { x1: edge.left, x2: width - edge.right, y1: y(value), y2: y(value), class: "grid" }),
      shape("text", { x: edge.left - 7, y: y(value) + 4, "text-anchor": "end", class: "soft" }, plain(value)));
  }
  for (const value of decades(x0, x1)) {
    chart.append(shape("line", { x1: x(value), x2: x(value), y1: edge.top, y2: height - edge.bottom, class: "grid" }),
      shape("text", { x: x(value), y: height - edge.bottom + 16, "text-anchor": "middle", class: "soft" }, plain(value)));
  }
  chart.append(shape("path", { d: `M${edge.left} ${edge.top}V${height - edge.bottom}H${width - edge.right}`, class: "axis" }),
    shape("text", { x: (edge.left + width - edge.right) / 2, y: height - 8, "text-anchor": "middle" }, `${cost.heading} (logarithmic)`),
    shape("text", { transform: `translate(14 ${(edge.top + height - edge.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, heading(about)));
  const front = paretoFront(rows, state, about);
  if (front.length > 1) {
    chart.append(shape("path", { d: `M${front.map((row) => `${x(row.costs[state.cost])} ${y(row.scores[state.metric][0])}`).join("L")}`, class: "axis", "stroke-dasharray": "5 4" }));
  }
  const taken = [];
  for (const row of rows) {
    const [value] = row.scores[state.metric], half = spreadOf(row.scores[state.metric])[0];
    const px = x(row.costs[state.cost]), py = y(value), wide = row.variant.length * 6.6 + 10;
    const atLeft = px + wide > width - edge.right;
    const from = atLeft ? px - wide : px;
    // A name that would lie on another one is left to the tooltip.
    const free = !taken.some((box) => Math.abs(box.y - py) < 13 && from < box.to && from + wide > box.from);
    if (free) taken.push({ y: py, from, to: from + wide });
    const told = `${row.variant}: ${shown(value, about.decimals)} ${about.unit}, ${plain(row.costs[state.cost])} ${cost.heading}`;
    chart.append(shape("g", { class: `point mark-${row.kind}${row.variant === state.variant ? " chosen" : ""}`, tabindex: 0, role: "button", "aria-label": told, "data-variant": row.variant,
        onclick: () => choose(row.variant),
        onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(row.variant); } } },
      shape("title", {}, told),
      half ? shape("line", { x1: px, x2: px, y1: y(value - half), y2: y(value + half), class: "whisker" }) : null,
      shape("circle", { cx: px, cy: py, r: 13, fill: "transparent" }),
      mark(row.kind, px, py, 11),
      free || row.variant === state.variant ? shape("text", { x: px + (atLeft ? -9 : 9), y: py + 4, "text-anchor": atLeft ? "end" : "start" }, row.variant) : null));
  }
  holder.replaceChildren(chart, html("ul", { class: "legend", "aria-label": "Kinds of method" },
    [...new Set(rows.map((row) => row.kind))].map((kind) => html("li", {}, kindChip(kind)))));
  byId("tradeoff-note").textContent = (front.length > 1 ? "Dashed: variants that no other beats in both. " : "") +
    "Times were taken as the runs went, whatever else the machine did: differences below a factor of two mean little.";
}

/** Powers of ten between two exponents; with 2 and 5 times them where there are few. */
function decades(low, high) {
  const found = [];
  const factors = high - low > 2.5 ? [1] : [1, 2, 5];
  for (let power = Math.floor(low); power <= high; power++) for (const factor of factors) found.push(factor * 10 ** power);
  return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
}

/** The variants that no other beats in quality and cost, by rising cost; oracles do not compete. */
function paretoFront(rows, state, about) {
  if (!about.better) return [];
  const better = (a, b) => (about.better === "higher" ? a > b : a < b);
  const front = [];
  for (const row of rows.filter((each) => each.kind !== "oracle").sort((a, b) => a.costs[state.cost] - b.costs[state.cost])) {
    if (!front.length || better(row.scores[state.metric][0], front[front.length - 1].scores[state.metric][0])) front.push(row);
  }
  return front;
}
