// Elements, numbers, scales: what all parts use.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const shape = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const known = (value) => value !== null && value !== undefined;

/** A number in so many decimals; `null` decimals: four significant digits. */
function shown(value, decimals) {
  if (!known(value)) return "–";
  if (decimals === null || decimals === undefined) return plain(value);
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A number in about four significant digits. */
function plain(value) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(4)));
}

/** Round values that cover a range, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(Number(value.toPrecision(10)));
  return found;
}

/** The marks of the kinds of method differ in form as well as in colour. */
function mark(kind, x, y, size) {
  const r = size / 2;
  const forms = {
    direct: () => shape("circle", { cx: x, cy: y, r, class: "mark" }),
    trained: () => shape("rect", { x: x - r * 0.9, y: y - r * 0.9, width: r * 1.8, height: r * 1.8, class: "mark" }),
    "per-scene": () => shape("path", { d: `M${x} ${y - r * 1.25}L${x + r * 1.25} ${y}L${x} ${y + r * 1.25}L${x - r * 1.25} ${y}Z`, class: "mark" }),
    oracle: () => shape("path", { d: `M${x} ${y - r * 1.2}L${x + r * 1.15} ${y + r * 0.85}L${x - r * 1.15} ${y + r * 0.85}Z`, class: "mark" }),
    control: () => shape("path", { d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x - r} ${y + r}L${x + r} ${y - r}`, class: "mark", "stroke-width": 2.2 }),
  };
  return (forms[kind] || forms.trained)();
}

function kindChip(kind) {
  return html("span", { class: "kind" },
    shape("svg", { width: 14, height: 14, class: `mark-${kind}`, "aria-hidden": "true" }, mark(kind, 7, 7, 9)), kind);
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, label]) => html("option", { value, selected: value === chosen }, label)));
  select.value = chosen;
}
