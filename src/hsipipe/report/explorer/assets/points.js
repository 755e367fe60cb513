// Embeddings on a plane: each tested image a mark, with its picture and what is known of it.
// Each has a contrast of 3 to a white and to a dark ground, and goes with a form.
const HUES = ["#0072b2", "#d55e00", "#009e73", "#c4719f", "#8a6d00", "#3d94cc", "#9a5fbb", "#7a7a7a", "#c2503c", "#2f7a55"];
const FORMS = ["direct", "trained", "per-scene", "oracle", "control"];

function drawPoints(holder, view, variant, state) {
  const headings = Object.keys(view.groups);
  const local = state.points;
  if (!headings.includes(local.by)) local.by = headings[0];
  const by = html("select", {});
  options(by, headings.map((name) => [name, name]), local.by);
  const chart = html("div", {}), card = html("div", { "aria-live": "polite" });
  holder.replaceChildren(html("h3", {}, `${view.names.length} tested images on a plane (${view.method})`),
    html("div", { class: "controls" }, html("label", {}, "Marks by", by)),
    html("div", { class: "pictures" }, html("figure", {}, html("figcaption", {}, "Distances between groups mean little; neighbours do."), chart), card));
  let picked = 0;

  async function tell(place) {
    picked = place;
    const facts = headings.map((heading_) => [heading_, view.groups[heading_].names[view.groups[heading_].of[place]]]);
    const canvas = html("canvas", { role: "img", "aria-label": `Picture of ${view.names[place]}`, style: "width: 8rem; image-rendering: pixelated; border: 1px solid var(--line)" });
    if (view.pictures) {
      const { data, width } = await pixelsOf(view.pictures.sheet), side = view.pictures.side;
      paint(canvas, side, width, (pixel) => [...data.slice((place * side * width + pixel) * 4, (place * side * width + pixel) * 4 + 3)]);
    }
    card.replaceChildren(view.pictures ? canvas : "", html("dl", {}, html("dt", {}, "image"), html("dd", { "data-point": place }, view.names[place]), facts.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)])));
    for (const node of chart.querySelectorAll("g.point")) node.classList.toggle("chosen", Number(node.dataset.place) === place);
  }

  function draw() {
    local.by = by.value;
    const group = view.groups[by.value], places = view.places[variant];
    const width = Math.max(280, Math.min(560, chart.clientWidth || 460)), height = width * 0.85;
    const at = ([x, y]) => [14 + (x / 1000) * (width - 28), height - 14 - (y / 1000) * (height - 28)];
    const plot = shape("svg", { width, height, tabindex: 0, role: "application", "aria-label": "Images on a plane. Left and right arrow keys go from image to image." });
    places.forEach((place, number) => {
      const [x, y] = at(place), own = group.of[number];
      plot.append(shape("g", { class: "point", "data-place": number, style: `color: ${HUES[own % HUES.length]}`, onpointerenter: () => tell(number), onclick: () => tell(number) },
        shape("circle", { cx: x, cy: y, r: 9, fill: "transparent" }), mark(FORMS[own % FORMS.length], x, y, 9)));
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      tell((picked + step + places.length) % places.length);
    });
    chart.replaceChildren(plot, html("ul", { class: "legend", "aria-label": by.value }, group.names.map((name, own) => html("li", {},
      shape("svg", { width: 14, height: 14, style: `color: ${HUES[own % HUES.length]}`, "aria-hidden": "true" }, mark(FORMS[own % FORMS.length], 7, 7, 9)), name))));
    return tell(picked);
  }
  by.addEventListener("change", draw);
  return draw().then(() => { holder.dataset.ready = "true"; });
}
