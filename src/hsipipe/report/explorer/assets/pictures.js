// Pictures that hold numbers: decoded once, read pixel by pixel.
const decoded = new Map();

/** The pixels of a data URL: { width, height, data } with four bytes a pixel. */
function pixelsOf(url) {
  if (!decoded.has(url)) {
    decoded.set(url, new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => {
        const canvas = html("canvas", { width: image.width, height: image.height });
        const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
        context.drawImage(image, 0, 0);
        resolve(context.getImageData(0, 0, image.width, image.height));
      };
      image.onerror = () => reject(new Error("a picture of this page cannot be decoded"));
      image.src = url;
    }));
  }
  return decoded.get(url);
}

/** The first channel of a picture, as numbers from 0 to 255. */
async function levelsOf(url) {
  const { data, width, height } = await pixelsOf(url);
  const levels = new Uint8Array(width * height);
  for (let place = 0; place < levels.length; place++) levels[place] = data[place * 4];
  return levels;
}

/** A cube of a view: a function of (band, pixel) that gives values in the view's unit. */
async function cubeOf(view, name) {
  const { data, width } = await pixelsOf(view.pictures[name]);
  const { rows, cols, columns, low, high } = view;
  return (band, pixel) => {
    const row = Math.floor(band / columns) * rows + Math.floor(pixel / cols), col = (band % columns) * cols + (pixel % cols);
    return low[band] + (data[(row * width + col) * 4] / 255) * (high[band] - low[band]);
  };
}

/** Put colours on a canvas of rows x cols pixels; `colour` gives [red, green, blue] of a pixel. */
function paint(canvas, rows, cols, colour) {
  canvas.width = cols;
  canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(cols, rows);
  for (let pixel = 0; pixel < rows * cols; pixel++) {
    const [red, green, blue] = colour(pixel);
    image.data.set([red, green, blue, 255], pixel * 4);
  }
  context.putImageData(image, 0, 0);
}

// Dark to bright, rising in lightness throughout, so that it can be read without colours.
const HEAT = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
const GAP = [255, 255, 255];

function heat(share) {
  const at = Math.max(0, Math.min(1, share)) * (HEAT.length - 1), before = Math.min(HEAT.length - 2, Math.floor(at));
  return HEAT[before].map((value, channel) => value + (HEAT[before + 1][channel] - value) * (at - before));
}

/**
 * Two pictures of one size, one over the other, parted by a slider; a pixel can be picked by pointer or arrow keys.
 * `pick(pixel)` is told the pixel; its start is the middle.
 */
function comparison({ rows, cols, label, pick }) {
  const under = html("canvas", {}), over = html("canvas", { class: "over" }), split = html("div", { class: "split" }), spot = html("div", { class: "pixel" });
  const stack = html("div", { class: "stack", tabindex: 0, role: "application", "aria-label": `${label}. Arrow keys move the pixel that is read.` }, under, over, split, spot);
  const ends = html("div", { class: "ends" }, html("span", {}), html("span", {}));
  const slider = html("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "How much of the left picture is shown" });
  let pixel = Math.floor(rows / 2) * cols + Math.floor(cols / 2);
  const part = () => {
    over.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
    split.style.left = `${slider.value}%`;
  };
  const moveTo = (row, col) => {
    pixel = Math.max(0, Math.min(rows - 1, row)) * cols + Math.max(0, Math.min(cols - 1, col));
    spot.style.left = `${(100 * ((pixel % cols) + 0.5)) / cols}%`;
    spot.style.top = `${(100 * (Math.floor(pixel / cols) + 0.5)) / rows}%`;
    pick(pixel);
  };
  slider.addEventListener("input", part);
  const follow = (event) => {
    const box = stack.getBoundingClientRect();
    moveTo(Math.floor(((event.clientY - box.top) / box.height) * rows), Math.floor(((event.clientX - box.left) / box.width) * cols));
  };
  stack.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" || event.buttons) follow(event); });
  stack.addEventListener("pointerdown", follow);
  stack.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 8 : 1;
    moveTo(Math.floor(pixel / cols) + step[0] * far, (pixel % cols) + step[1] * far);
  });
  part();
  return {
    left: over,
    right: under,
    parts: [stack, slider, ends],
    pixel: () => pixel,
    begin: () => moveTo(Math.floor(pixel / cols), pixel % cols),
    name: (left, right) => ends.replaceChildren(html("span", {}, `◀ ${left}`), html("span", {}, `${right} ▶`)),
  };
}
