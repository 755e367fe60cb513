// The page as a whole: what is chosen stands in the address, so that a view can be kept and sent.
const papers = new Map();
for (const node of document.querySelectorAll("script.paper-data")) papers.set(node.dataset.paper, node);
const state = { paper: "", task: "", case: "", metric: "", cost: "", variant: "", table: "", cube: { left: "", band: null, colour: false }, map: { left: "" }, points: { by: "" } };
const CHOSEN = ["paper", "task", "case", "metric", "cost", "variant", "table"];

/** The data of a paper, read when it is first needed. */
function paperData(name) {
  const node = papers.get(name);
  if (!node.parsed) node.parsed = JSON.parse(node.textContent);
  return node.parsed;
}

/** Fill in what is not chosen, or does not exist. */
function settle() {
  const among = (value, choices) => (choices.includes(value) ? value : choices[0]);
  state.paper = among(state.paper, [...papers.keys()]);
  const data = paperData(state.paper);
  state.task = among(state.task, [...new Set(data.cases.map((each) => each.task))]);
  const cases = data.cases.filter((each) => each.task === state.task);
  state.case = among(state.case, cases.map((each) => each.case));
  const theCase = cases.find((each) => each.case === state.case);
  state.metric = among(state.metric, theCase.metrics);
  state.cost = among(state.cost, Object.keys(data.costs).filter((name) => theCase.rows.some((row) => known(row.costs[name]))));
  const scored = ranked(theCase, state.metric, data.metrics[state.metric]);
  if (!scored.some((row) => row.variant === state.variant)) state.variant = (scored.find((row) => row.kind !== "oracle") || scored[0]).variant;
  return { data, theCase, cases };
}

function draw() {
  const { data, theCase, cases } = settle();
  byId("title").textContent = data.paper.title || data.paper.name;
  document.title = `${data.paper.name}: results`;
  byId("about").textContent = [data.paper.citation, `${data.paper.name}${data.paper.size ? `, size ${data.paper.size}` : ""}, hsipipe ${data.code_version}`].filter(Boolean).join(" · ");
  byId("paper-choice").hidden = papers.size < 2;
  options(byId("paper"), [...papers.keys()].map((name) => [name, name]), state.paper);
  options(byId("task"), [...new Set(data.cases.map((each) => each.task))].map((name) => [name, name]), state.task);
  options(byId("case"), cases.map((each) => [each.case, each.simulated ? `${each.case} (simulated)` : each.case]), state.case);
  options(byId("metric"), theCase.metrics.map((name) => [name, heading(data.metrics[name])]), state.metric);
  options(byId("cost"), Object.entries(data.costs).filter(([name]) => theCase.rows.some((row) => known(row.costs[name]))).map(([name, cost]) => [name, cost.heading]), state.cost);
  byId("case-note").textContent = [theCase.simulated ? "The scenes of this case are simulated, not measured." : "", theCase.note && `${theCase.note}.`].filter(Boolean).join(" ");
  drawLeaderboard(data, theCase, state, choose);
  drawTradeoff(data, theCase, state, choose);
  drawRun(data, theCase, state);
  drawTable(data);
  drawClaims(data);
  const address = new URLSearchParams(CHOSEN.map((name) => [name, state[name]]));
  history.replaceState(null, "", `#${address}`);
}

/** Open a variant, and go to what is shown of it. */
function choose(variant) {
  state.variant = variant;
  draw();
  byId("run").scrollIntoView();
  byId("run").focus({ preventScroll: true });
}

/** A table as the paper prints it: published numbers beside ours. */
function drawTable(data) {
  byId("tables").hidden = !data.tables.length;
  const table = data.tables.find((each) => each.name === state.table) || data.tables[0];
  if (!table) return;
  state.table = table.name;
  options(byId("table"), data.tables.map((each) => [each.name, each.title]), table.name);
  const number = (place) => (place > 1 ? "number" : null);
  byId("table-shown").replaceChildren(html("table", {},
    html("thead", {}, html("tr", {}, table.headings.map((text, place) => html("th", { scope: "col", class: number(place) }, text)))),
    html("tbody", {}, table.lines.map((line) => html("tr", {}, line.map(([text, best], place) => html("td", { class: [number(place), best ? "best" : null].filter(Boolean).join(" ") || null }, text)))))));
  byId("table-notes").replaceChildren(...table.notes.map((note) => html("p", { class: "note" }, note)));
}

function drawClaims(data) {
  byId("claims").hidden = !data.claims.length;
  const css = (verdict) => ({ reproduced: "yes", "not reproduced": "no" }[verdict] || "open");
  byId("claims-list").replaceChildren(html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Claims" }, html("table", {},
    html("thead", {}, html("tr", {}, ["verdict", "task", "claim", "evidence"].map((name) => html("th", { scope: "col" }, name)))),
    html("tbody", {}, data.claims.map((claim) => html("tr", {}, html("td", { class: `verdict ${css(claim.verdict)}` }, claim.verdict), html("td", {}, claim.task), html("td", { class: "wrap" }, claim.claim), html("td", { class: "wrap" }, claim.evidence)))))));
}

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  for (const name of CHOSEN) if (address.has(name)) state[name] = address.get(name);
}

for (const name of ["paper", "task", "case", "metric", "cost", "table"]) byId(name).addEventListener("change", (event) => { state[name] = event.target.value; draw(); });
window.addEventListener("hashchange", () => { readAddress(); draw(); });
let width = innerWidth;
window.addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
readAddress();
draw();
document.documentElement.dataset.ready = "true";
