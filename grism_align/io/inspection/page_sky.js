"use strict";
/* Places: a tangent plane in arcsec, x to the east and y to the north. Maps are [a, b, c, d, e, f] as a canvas has
   them: x' = a x + c y + e, y' = b x + d y + f. */

const times = (m, n) => [
  m[0] * n[0] + m[2] * n[1], m[1] * n[0] + m[3] * n[1],
  m[0] * n[2] + m[2] * n[3], m[1] * n[2] + m[3] * n[3],
  m[0] * n[4] + m[2] * n[5] + m[4], m[1] * n[4] + m[3] * n[5] + m[5],
];
const mapped = (m, x, y) => [m[0] * x + m[2] * y + m[4], m[1] * x + m[3] * y + m[5]];
const inverted = (m) => {
  const size = m[0] * m[3] - m[1] * m[2];
  const [a, b, c, d] = [m[3] / size, -m[1] / size, -m[2] / size, m[0] / size];
  return [a, b, c, d, -(a * m[4] + c * m[5]), -(b * m[4] + d * m[5])];
};
const NOWHERE = [1, 0, 0, 1, 0, 0];

/* The map of an exposure from where its corrected WCS puts places to where the one before does. */
function earlier(exposure) {
  const [xx, xy, yx, yy, x, y] = exposure.before;
  return [xx, yx, xy, yy, x, y];
}

/* Tiles of a chip: each a part of it, in pixels from its outer corner, and the map from these to the plane. */
function tilesOf(chip) {
  if (chip.made) return chip.made;
  const n = chip.tiles, [width, height] = [chip.size[0] / n, chip.size[1] / n];
  const node = (row, column) => {
    const at = 2 * (row * (n + 1) + column);
    return [chip.nodes[at], chip.nodes[at + 1]];
  };
  chip.made = [];
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      const four = [node(row, column), node(row, column + 1), node(row + 1, column), node(row + 1, column + 1)];
      if (four.some((one) => one[0] === null || one[1] === null)) continue;
      const [o, p, q, r] = four, [x, y] = [column * width, row * height];
      const along = [0, 1].map((k) => (p[k] - o[k] + r[k] - q[k]) / 2 / width);
      const up = [0, 1].map((k) => (q[k] - o[k] + r[k] - p[k]) / 2 / height);
      const middle = [0, 1].map((k) => (o[k] + p[k] + q[k] + r[k]) / 4);
      const [mx, my] = [x + width / 2, y + height / 2];
      const map = [along[0], along[1], up[0], up[1],
        middle[0] - along[0] * mx - up[0] * my, middle[1] - along[1] * mx - up[1] * my];
      chip.made.push({ x, y, width, height, map, back: inverted(map), corners: four });
    }
  }
  return chip.made;
}

/* Chip and zero-based pixel that a place is on; null off the chips. */
function pixelAt(exposure, place) {
  for (const chip of exposure.chips) {
    for (const tile of tilesOf(chip)) {
      const [x, y] = mapped(tile.back, ...place);
      if (x >= tile.x && x < tile.x + tile.width && y >= tile.y && y < tile.y + tile.height) {
        return { chip: chip.number, x: x - 0.5, y: y - 0.5 };
      }
    }
  }
  return null;
}

/* Least and largest place of an exposure. */
function extent(exposure) {
  const corners = exposure.chips.flatMap((chip) => tilesOf(chip).flatMap((tile) => tile.corners));
  const [x, y] = [corners.map((one) => one[0]), corners.map((one) => one[1])];
  const least = (all) => all.reduce((a, b) => Math.min(a, b), Infinity);
  const largest = (all) => all.reduce((a, b) => Math.max(a, b), -Infinity);
  return [least(x), least(y), largest(x), largest(y)];
}

/* Pictures are decoded when they are looked at; the latest are kept. */
class Pictures {
  constructor(ready) {
    this.ready = ready;
    this.kept = new Map();
  }
  of(chip) {
    const found = this.kept.get(chip);
    if (found) {
      this.kept.delete(chip);
      this.kept.set(chip, found);
      return found.complete && found.naturalWidth ? found : null;
    }
    const image = new Image();
    image.onload = () => this.ready();
    image.src = "data:image/jpeg;base64," + chip.image;
    this.kept.set(chip, image);
    if (this.kept.size > 24) this.kept.delete(this.kept.keys().next().value);
    return null;
  }
}

/* Draw the pictures of an exposure; `view` is the map from the plane to the canvas. */
function drawPictures(context, exposure, view, pictures) {
  const { width, height } = context.canvas;
  for (const chip of exposure.chips) {
    const image = pictures.of(chip);
    if (!image) continue;
    const by = chip.reduced;
    for (const tile of tilesOf(chip)) {
      const corners = tile.corners.map((one) => mapped(view, ...one));
      const [xs, ys] = [corners.map((one) => one[0]), corners.map((one) => one[1])];
      if (Math.max(...xs) < 0 || Math.min(...xs) > width || Math.max(...ys) < 0 || Math.min(...ys) > height) continue;
      // a pixel over, so that no seam is seen
      const left = Math.max(0, Math.floor(tile.x / by) - 1), low = Math.max(0, Math.floor(tile.y / by) - 1);
      const right = Math.min(image.naturalWidth, Math.ceil((tile.x + tile.width) / by) + 1);
      const high = Math.min(image.naturalHeight, Math.ceil((tile.y + tile.height) / by) + 1);
      const map = times(view, times(tile.map, [by, 0, 0, by, 0, 0]));
      context.setTransform(...map);
      context.imageSmoothingEnabled = Math.hypot(map[0], map[1]) < 2;
      context.drawImage(image, left, low, right - left, high - low, left, low, right - left, high - low);
    }
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/* RA and Dec in deg of a place. */
function skyOf(plane, place) {
  const rad = Math.PI / 180, [ra, dec] = [plane[0] * rad, plane[1] * rad];
  const [xi, eta] = [place[0] / 3600 * rad, place[1] / 3600 * rad];
  const down = Math.cos(dec) - eta * Math.sin(dec);
  const right = ra + Math.atan2(xi, down);
  return [
    ((right / rad) % 360 + 360) % 360,
    Math.atan2(Math.sin(dec) + eta * Math.cos(dec), Math.hypot(xi, down)) / rad,
  ];
}
