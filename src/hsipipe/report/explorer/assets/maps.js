// Two divisions of one image: label map, clusters, classes; parted by a slider, with what a pixel is in each.

function drawMaps(holder, view, variant, state) {
  const names = ["picture", ...(view.labels ? ["labels"] : []), ...view.variants];
  const local = state.map;
  if (!names.includes(local.left) || local.left === variant) local.left = view.labels ? "labels" : "picture";
  const left = html("select", {}), right = html("select", {});
  options(left, names.map((name) => [name, name]), local.left);
  options(right, names.map((name) => [name, name]), variant);
  const told = html("p", { "aria-live": "polite" }), legends = html("div", {}), wrong = html("figure", {});
  let layers = null, tested = null;
  const compared = comparison({ rows: view.rows, cols: view.cols, label: "Two divisions of the image", pick: (pixel) => tell(pixel) });
  holder.replaceChildren(
    html("h3", {}, view.item),
    html("div", { class: "controls" }, html("label", {}, "Left", left), html("label", {}, "Right", right)),
    html("div", { class: "pictures" }, html("figure", {}, html("figcaption", {}, "Maps"), ...compared.parts), wrong, html("div", {}, told, legends)));

  const rgb = (text) => [1, 3, 5].map((place) => parseInt(text.slice(place, place + 2), 16));

  /** A layer: the colour of a pixel, its name, and the legend. */
  async function layer(name) {
    if (name === "picture") {
      const { data } = await pixelsOf(view.picture);
      return { colour: (pixel) => [...data.slice(pixel * 4, pixel * 4 + 3)], name: () => "", legend: [] };
    }
    const { codes, legend } = name === "labels" ? view.labels : view.maps[name];
    const of = await levelsOf(codes), colours = legend.map(([, colour]) => rgb(colour));
    return { colour: (pixel) => (of[pixel] ? colours[of[pixel] - 1] : GAP), name: (pixel) => (of[pixel] ? legend[of[pixel] - 1][0] : "none"), legend };
  }

  function tell(pixel) {
    if (!layers) return;
    const each = [left.value, right.value].filter((name) => name !== "picture").map((name) => `${name}: ${layers[name].name(pixel)}`);
    told.textContent = `Row ${Math.floor(pixel / view.cols)}, column ${pixel % view.cols}. ${each.join("; ")}.`;
    told.dataset.pixel = String(pixel);
  }

  function pictures() {
    paint(compared.left, view.rows, view.cols, layers[left.value].colour);
    paint(compared.right, view.rows, view.cols, layers[right.value].colour);
    compared.name(left.value, right.value);
    const entries = new Map([left.value, right.value].flatMap((name) => layers[name].legend));
    legends.replaceChildren(html("ul", { class: "legend", "aria-label": "Colours" }, [...entries].map(([name, colour]) => html("li", {}, html("span", { class: "swatch", style: `background: ${colour}` }), name))));
    drawWrong();
    compared.begin();
  }

  /** Where a classifier is wrong, of the pixels at which it is judged. */
  function drawWrong() {
    if (!tested || !view.variants.includes(right.value)) return wrong.replaceChildren();
    const canvas = html("canvas", { role: "img", "aria-label": `Errors of ${right.value}` });
    let count = 0, missed = 0;
    paint(canvas, view.rows, view.cols, (pixel) => {
      if (!tested[pixel]) return GAP;
      count += 1;
      if (layers[right.value].name(pixel) === layers.labels.name(pixel)) return [190, 198, 208];
      missed += 1;
      return [178, 24, 43];
    });
    wrong.replaceChildren(html("figcaption", {}, `Errors of ${right.value}: ${missed.toLocaleString("en")} of ${count.toLocaleString("en")} test pixels shown`), html("div", { class: "stack" }, canvas),
      html("ul", { class: "legend" }, html("li", {}, html("span", { class: "swatch", style: "background: rgb(178,24,43)" }), "wrong"), html("li", {}, html("span", { class: "swatch", style: "background: rgb(190,198,208)" }), "right"), html("li", {}, html("span", { class: "swatch", style: "background: #fff" }), "not tested")));
  }

  left.addEventListener("change", () => { local.left = left.value; load(); });
  right.addEventListener("change", () => load());

  async function load() {
    const wanted = [...new Set([...(view.labels ? ["labels"] : []), left.value, right.value])];
    const made = await Promise.all(wanted.map(layer));
    tested = view.tested ? await levelsOf(view.tested) : null;
    layers = Object.fromEntries(wanted.map((name, place) => [name, made[place]]));
    pictures();
    holder.dataset.ready = "true";
  }
  return load();
}
