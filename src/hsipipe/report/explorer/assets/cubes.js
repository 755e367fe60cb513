// Two methods' versions of one image: parted by a slider, band by band, with spectra and errors.

function drawCubes(holder, view, variant, state) {
  const names = [view.reference, ...view.beside, ...view.variants];
  const local = state.cube;
  if (!names.includes(local.left) || local.left === variant) local.left = view.beside[0] || view.reference;
  const middle = Math.floor(view.bands.length / 2);
  if (!known(local.band) || local.band >= view.bands.length) local.band = view.nm ? nearest(view.nm, 860) : middle;
  const order = view.bands.map((_, place) => place).sort((a, b) => (view.nm ? view.nm[a] - view.nm[b] : a - b));

  const left = html("select", {}), right = html("select", {});
  options(left, names.map((name) => [name, name]), local.left);
  options(right, names.map((name) => [name, name]), variant);
  const colour = html("input", { type: "checkbox" });
  colour.checked = local.colour;
  const band = html("input", { type: "range", min: 0, max: order.length - 1, value: order.indexOf(local.band) });
  const bandName = html("span", { "aria-live": "polite" });
  let read = null, valid = null;
  const compared = comparison({ rows: view.rows, cols: view.cols, label: "Two versions of the image", pick: () => spectra() });
  const spectraChart = html("div", {}), errors = html("div", { class: "pictures" }), title = html("figcaption", {});
  const cropped = view.rows < view.of[0] || view.cols < view.of[1] ? `, the middle ${view.rows} x ${view.cols} of ${view.of[0]} x ${view.of[1]} pixels` : "";

  holder.replaceChildren(
    html("h3", {}, view.item),
    html("div", { class: "controls" }, html("label", {}, "Left", left), html("label", {}, "Right", right),
      html("label", { class: "line" }, colour, "in colour"),
      html("label", { style: "flex: 1 1 14rem" }, bandName, band)),
    html("div", { class: "pictures" },
      html("figure", {}, title, ...compared.parts),
      html("figure", {}, html("figcaption", {}, "Spectra of the pixel"), spectraChart)),
    errors,
    html("p", { class: "note" }, `${view.bands.length} of ${view.all_bands} bands${cropped}, in 8 bits: values are exact to ${plain(Math.max(...view.high.map((high, place) => (high - view.low[place]) / 510)))} at most. Contrast: 1st to 99th percentile of ${view.reference}.`));

  const at = (place) => `Band ${view.bands[place]}${view.nm ? ` (${Math.round(view.nm[place])} nm)` : ""}`;
  const grey = (cube, place, pixel) => 255 * Math.max(0, Math.min(1, (cube(place, pixel) - view.shown_low[place]) / (view.shown_high[place] - view.shown_low[place] || 1)));
  const inside = (pixel) => !valid || valid[pixel] > 0;

  function pictures() {
    local.band = order[band.value];
    local.colour = colour.checked;
    band.disabled = local.colour;
    const shownBands = local.colour ? view.rgb : [local.band, local.band, local.band];
    bandName.textContent = local.colour ? `Red, green, blue: ${view.rgb.map((place) => (view.nm ? `${Math.round(view.nm[place])}` : `band ${view.bands[place]}`)).join(", ")}${view.nm ? " nm" : ""}` : at(local.band);
    band.setAttribute("aria-valuetext", at(local.band));
    band.setAttribute("aria-label", "Band");
    title.textContent = local.colour ? "In colour" : at(local.band);
    for (const [canvas, name] of [[compared.left, left.value], [compared.right, right.value]]) {
      paint(canvas, view.rows, view.cols, (pixel) => (inside(pixel) ? shownBands.map((place) => grey(read[name], place, pixel)) : GAP));
    }
    compared.name(left.value, right.value);
    drawErrors(local.colour ? [...new Set(view.rgb)] : [local.band]);
    spectra();
  }

  /** |x - truth| of what is compared, or its root mean square over the bands in view; both on one scale. */
  function drawErrors(places) {
    const compare = [...new Set([left.value, right.value])].filter((name) => name !== view.reference);
    const maps = compare.map((name) => {
      const map = new Float32Array(view.rows * view.cols);
      for (let pixel = 0; pixel < map.length; pixel++) {
        let sum = 0;
        for (const place of places) sum += (read[name](place, pixel) - read[view.reference](place, pixel)) ** 2;
        map[pixel] = Math.sqrt(sum / places.length);
      }
      return map;
    });
    const all = maps.flatMap((map) => [...map.filter((_, pixel) => inside(pixel))]).sort((a, b) => a - b);
    const top = all[Math.floor(all.length * 0.99)] || 1e-9;
    errors.replaceChildren(...maps.map((map, number) => {
      const canvas = html("canvas", { role: "img", "aria-label": `Error of ${compare[number]}` });
      paint(canvas, view.rows, view.cols, (pixel) => (inside(pixel) ? heat(map[pixel] / top) : GAP));
      const own = map.filter((_, pixel) => inside(pixel));
      const rms = Math.sqrt(own.reduce((sum, value) => sum + value ** 2, 0) / own.length);
      return html("figure", {}, html("figcaption", {}, `Error of ${compare[number]} to ${view.reference}, RMS ${plain(rms)}`), html("div", { class: "stack" }, canvas), scaleBar(top, `${places.length > 1 ? "RMS over three bands" : "absolute"}, ${view.unit}`));
    }));
  }

  function spectra() {
    if (!read) return;
    const pixel = compared.pixel();
    const lines = [[view.reference, "truth", ""], ...view.beside.map((name) => [name, "beside", "2 3"])];
    for (const [name, colour_, dash] of [[left.value, "left", "7 3"], [right.value, "right", ""]]) {
      if (name !== view.reference && !view.beside.includes(name)) lines.push([name, colour_, dash]);
    }
    const series = [...new Map(lines.map((line) => [line[0], line])).values()].map(([name, ink, dash]) => ({ name, ink, dash, values: order.map((place) => read[name](place, pixel)) }));
    spectrumChart(spectraChart, { series, x: order.map((place) => (view.nm ? view.nm[place] : view.bands[place])), at: local.colour ? null : order.indexOf(local.band), unit: view.unit, label: view.nm ? "wavelength [nm]" : "band", pixel: [Math.floor(pixel / view.cols), pixel % view.cols], inside: inside(pixel) });
  }

  for (const control of [colour, band]) control.addEventListener("input", pictures);
  left.addEventListener("change", () => { local.left = left.value; load(); });
  right.addEventListener("change", () => load());

  async function load() {
    const wanted = [...new Set([view.reference, ...view.beside, left.value, right.value])];
    const cubes = await Promise.all(wanted.map((name) => cubeOf(view, name)));
    valid = view.valid ? await levelsOf(view.valid) : null;
    read = Object.fromEntries(wanted.map((name, place) => [name, cubes[place]]));
    pictures();
    compared.begin();
    holder.dataset.ready = "true";
  }
  return load();
}

const nearest = (values, wanted) => values.reduce((best, value, place) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? place : best), 0);

function scaleBar(top, label) {
  const canvas = html("canvas", { class: "bar", style: "width: 100%", "aria-hidden": "true" });
  paint(canvas, 1, 128, (pixel) => heat(pixel / 127));
  return html("div", {}, canvas, html("div", { class: "ends" }, html("span", {}, "0"), html("span", {}, label), html("span", {}, `≥ ${plain(top)}`)));
}

/** Lines over wavelength, broken where bands are missing, such as in the absorption of water. */
function spectrumChart(holder, { series, x, at, unit, label, pixel, inside }) {
  const width = Math.max(280, Math.min(560, holder.clientWidth || 420)), height = 300, edge = { left: 52, right: 10, top: 10, bottom: 42 };
  const values = series.flatMap((line) => line.values);
  let low = Math.min(...values), high = Math.max(...values);
  if (high - low < 1e-9) high = low + 1;
  const px = (value) => edge.left + ((value - x[0]) / (x[x.length - 1] - x[0] || 1)) * (width - edge.left - edge.right);
  const py = (value) => height - edge.bottom - ((value - low) / (high - low)) * (height - edge.top - edge.bottom);
  const steps = x.slice(1).map((value, place) => value - x[place]).sort((a, b) => a - b), usual = steps[Math.floor(steps.length / 2)] || 1;
  const chart = shape("svg", { width, height, role: "img", "aria-label": `Spectra of pixel ${pixel[0]}, ${pixel[1]}` });
  for (const value of ticks(low, high, 4)) chart.append(shape("line", { x1: edge.left, x2: width - edge.right, y1: py(value), y2: py(value), class: "grid" }), shape("text", { x: edge.left - 6, y: py(value) + 4, "text-anchor": "end", class: "soft" }, plain(value)));
  for (const value of ticks(x[0], x[x.length - 1], 5)) if (value <= x[x.length - 1]) chart.append(shape("text", { x: px(value), y: height - edge.bottom + 16, "text-anchor": "middle", class: "soft" }, plain(value)));
  if (known(at)) chart.append(shape("line", { x1: px(x[at]), x2: px(x[at]), y1: edge.top, y2: height - edge.bottom, stroke: "var(--soft)", "stroke-dasharray": "2 3" }));
  for (const line of series) {
    const path = line.values.map((value, place) => `${place === 0 || x[place] - x[place - 1] > 3 * usual ? "M" : "L"}${px(x[place]).toFixed(1)} ${py(value).toFixed(1)}`).join("");
    chart.append(shape("path", { d: path, fill: "none", stroke: `var(--${line.ink})`, "stroke-width": line.ink === "truth" ? 2.4 : 1.8, "stroke-dasharray": line.dash || null }));
  }
  chart.append(shape("path", { d: `M${edge.left} ${edge.top}V${height - edge.bottom}H${width - edge.right}`, class: "axis" }), shape("text", { x: (edge.left + width) / 2, y: height - 6, "text-anchor": "middle" }, label),
    shape("text", { transform: `translate(12 ${(edge.top + height - edge.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, unit));
  holder.replaceChildren(chart, html("ul", { class: "legend" }, series.map((line) => html("li", {},
    shape("svg", { width: 26, height: 10, "aria-hidden": "true" }, shape("line", { x1: 1, x2: 25, y1: 5, y2: 5, stroke: `var(--${line.ink})`, "stroke-width": 2.4, "stroke-dasharray": line.dash || null })),
    known(at) ? `${line.name} ${plain(line.values[at])}` : line.name))),
    html("p", { class: "note", "data-pixel": pixel.join(",") }, `Pixel: row ${pixel[0]}, column ${pixel[1]}${inside ? "" : ", without valid data"}.`));
}
