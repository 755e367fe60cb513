// One variant: its pictures, its scores by seed and by item, and where they come from.
const DRAW = { cube: drawCubes, map: drawMaps, points: drawPoints };

function drawRun(data, theCase, state) {
  const row = theCase.rows.find((each) => each.variant === state.variant);
  byId("run-title").textContent = `${row.variant} on ${theCase.case}${theCase.simulated ? " (simulated)" : ""}`;
  byId("run-about").replaceChildren(kindChip(row.kind), ` ${row.title} (method ${row.method}).`);
  const views = theCase.views.filter((view) => view.variants.includes(row.variant));
  const holder = byId("run-views");
  holder.replaceChildren();
  if (!views.length) holder.append(html("p", { class: "note" }, "Nothing was kept of this variant that could be shown as a picture."));
  for (const view of views) {
    const place = html("div", { class: `view ${view.kind}` });
    holder.append(place);
    DRAW[view.kind](place, view, row.variant, state).catch((error) => place.replaceChildren(html("p", {}, `This view failed: ${error.message}`)));
  }
  byId("run-facts").replaceChildren(html("div", { class: "facts" }, scoresOf(data, theCase, row, state), originOf(row)), itemsOf(data, theCase, row, state));
}

function scoresOf(data, theCase, row, state) {
  const seeds = Object.keys(row.seeds);
  return html("div", {}, html("h3", {}, "Scores"), html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores by seed" }, html("table", {},
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "metric"), html("th", { scope: "col", class: "number" }, "mean"), seeds.length > 1 ? seeds.map((seed) => html("th", { scope: "col", class: "number" }, `seed ${seed}`)) : null)),
    html("tbody", {}, Object.entries(row.scores).map(([metric, score]) => html("tr", { class: metric === state.metric ? "chosen" : null },
      html("td", {}, heading(data.metrics[metric])),
      html("td", { class: "number" }, shown(score[0], data.metrics[metric].decimals) + (score[2] > 1 && known(score[1]) ? ` ± ${shown(score[1], data.metrics[metric].decimals)}` : "")),
      seeds.length > 1 ? seeds.map((seed) => html("td", { class: "number" }, shown(row.seeds[seed][metric], data.metrics[metric].decimals))) : null))))));
}

function originOf(row) {
  const facts = [];
  const add = (name, value) => { if (known(value) && value !== "") facts.push(html("dt", {}, name), html("dd", {}, value)); };
  const run = row.run || {}, environment = run.environment || {};
  add("paper of the method", row.citation === "none" ? null : row.citation);
  add("departures", row.deviations.join(" "));
  add("folder", run.folder && html("code", {}, run.folder));
  add("seed", run.seed);
  add("settings", run.settings && html("code", {}, Object.entries(run.settings).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ")));
  add("estimated", run.found && html("code", {}, clipped(JSON.stringify(run.found), 600)));
  add("started from", run.started_from && html("code", {}, run.started_from));
  add("device", [run.device, run.device_note].filter(Boolean).join("; "));
  add("code", [environment.hsipipe && `hsipipe ${environment.hsipipe}`, environment.commit && environment.commit.slice(0, 10)].filter(Boolean).join(", commit "));
  add("machine", [environment.processor, environment.gpu, environment.python && `Python ${environment.python}`].filter(Boolean).join("; "));
  add("libraries", Object.entries(environment.libraries || {}).filter(([, version]) => version).map(([name, version]) => `${name} ${version}`).join(", "));
  return html("div", {}, html("h3", {}, "Where it comes from"), html("dl", {}, facts),
    run.folder ? html("p", { class: "note" }, "All the way back, with inputs and their hashes:") : null,
    run.folder ? html("pre", {}, html("code", {}, `hsipipe explain ${run.folder}/scores.csv`)) : null);
}

const clipped = (text, most) => (text.length > most ? `${text.slice(0, most)} …` : text);

function itemsOf(data, theCase, row, state) {
  const metrics = [state.metric, ...Object.keys(row.scores).filter((metric) => metric !== state.metric)].filter((metric) => row.items.some(([, values]) => known(values[metric]))).slice(0, 6);
  const items = row.items.filter(([, values]) => metrics.some((metric) => known(values[metric])));
  if (!items.length || !metrics.length) return html("div", {});
  const units = (row.scores[metrics[0]] || [])[3];
  const told = units > items.length ? ` (${items.length} of ${units}, from the worst to the best)` : "";
  return html("div", {}, html("h3", {}, `Scores by item, seed ${row.run ? row.run.seed : ""}${told}`), html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores by item" }, html("table", {},
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "item"), metrics.map((metric) => html("th", { scope: "col", class: "number" }, heading(data.metrics[metric]))))),
    html("tbody", {}, items.map(([name, values]) => html("tr", {}, html("td", { class: "wrap" }, name), metrics.map((metric) => html("td", { class: "number" }, shown(values[metric], data.metrics[metric].decimals)))))))));
}
