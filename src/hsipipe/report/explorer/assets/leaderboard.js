// The leaderboard: one row a variant, by the mean of the chosen metric, with its spread.

/** Variants that have the metric, best first; an oracle sees part of the truth, and stands behind. */
function ranked(theCase, metric, about) {
  const rows = theCase.rows.filter((row) => row.scores[metric] && known(row.scores[metric][0]));
  const sign = about.better === "lower" ? 1 : -1;
  return rows.sort((a, b) => (a.kind === "oracle") - (b.kind === "oracle") || (about.better ? sign * (a.scores[metric][0] - b.scores[metric][0]) : 0));
}

/** How far the scores of a row lie from their mean, and over what. */
function spreadOf(score) {
  const [, sd, seeds, units, spread] = score;
  if (seeds > 1 && known(sd)) return [sd, "seeds"];
  if (units > 1 && known(spread)) return [spread, "units"];
  return [null, ""];
}

function heading(about) {
  const arrow = { higher: " ↑", lower: " ↓" }[about.better] || "";
  return about.label + (about.unit ? ` [${about.unit}]` : "") + arrow;
}

function drawLeaderboard(data, theCase, state, choose) {
  const about = data.metrics[state.metric];
  const rows = ranked(theCase, state.metric, about);
  const values = rows.flatMap((row) => {
    const half = spreadOf(row.scores[state.metric])[0] || 0;
    return [row.scores[state.metric][0] - half, row.scores[state.metric][0] + half];
  });
  const low = Math.min(...values), high = Math.max(...values);
  const place = (value) => 12 + 176 * (high > low ? (value - low) / (high - low) : 0.5);
  const costs = Object.entries(data.costs).filter(([name]) => rows.some((row) => known(row.costs[name])));
  const best = rows.find((row) => row.kind !== "oracle");
  let rank = 0, before = null;
  const lines = rows.map((row, position) => {
    const score = row.scores[state.metric];
    // What is equal in print shares a rank.
    const printed = shown(score[0], about.decimals);
    if (printed !== before) rank = position + 1;
    before = printed;
    const [half, over] = spreadOf(score);
    const told = shown(score[0], about.decimals) + (over === "seeds" ? ` ± ${shown(half, about.decimals)}` : "");
    const dot = shape("svg", { width: 200, height: 22, class: `mark-${row.kind}`, role: "img", "aria-label": `${told}${over ? `, spread over ${over} ${shown(half, about.decimals)}` : ""}` },
      shape("line", { x1: 12, x2: 188, y1: 11, y2: 11, class: "grid" }),
      half ? shape("line", { x1: place(score[0] - half), x2: place(score[0] + half), y1: 11, y2: 11, class: "whisker" }) : null,
      mark(row.kind, place(score[0]), 11, 10));
    const isBest = best && about.better && shown(best.scores[state.metric][0], about.decimals) === shown(score[0], about.decimals) && row.kind !== "oracle";
    return html("tr", { class: row.variant === state.variant ? "chosen" : null },
      html("td", { class: "number" }, row.kind === "oracle" || !about.better ? "–" : String(rank)),
      html("td", {}, html("button", { class: "link", type: "button", "data-variant": row.variant, title: row.title, "aria-current": row.variant === state.variant ? "true" : null, onclick: () => choose(row.variant) }, row.variant)),
      html("td", {}, kindChip(row.kind)),
      html("td", { class: `number${isBest ? " best" : ""}` }, told),
      html("td", {}, dot),
      ...costs.map(([name, cost]) => html("td", { class: "number" }, name.endsWith("parameters") ? plain(row.costs[name]) : shown(row.costs[name], cost.decimals))));
  });
  byId("leaderboard-table").replaceChildren(html("table", {},
    html("thead", {}, html("tr", {},
      html("th", { class: "number", scope: "col" }, "rank"), html("th", { scope: "col" }, "variant"), html("th", { scope: "col" }, "kind"),
      html("th", { class: "number", scope: "col" }, heading(about)), html("th", { scope: "col" }, `drawn from ${shown(low, about.decimals)} to ${shown(high, about.decimals)}`),
      ...costs.map(([, cost]) => html("th", { class: "number", scope: "col" }, cost.heading)))),
    html("tbody", {}, lines)));
  const seeds = Math.max(...rows.map((row) => row.scores[state.metric][2])), units = Math.max(...rows.map((row) => row.scores[state.metric][3]));
  byId("leaderboard-note").textContent =
    `Means over ${units} test ${units === 1 ? "unit" : "units"} and ${seeds} ${seeds === 1 ? "seed" : "seeds"}. ` +
    "Lines: ± one standard deviation, over seeds where a variant ran with several, otherwise over units. " +
    (rows.some((row) => row.kind === "control") ? "Controls are trivial: what does not beat them has done nothing. " : "") +
    (rows.some((row) => row.kind === "oracle") ? "An oracle is given part of the truth and does not compete. " : "") +
    "Choose a variant to see its pictures, scores and origin.";
}
