/* What is marked on a picture, and how it is drawn. */

const COLORS = {
  matched: "#4ade80", clipped: "#ff8a4c", rejected: "#b6bec9", used: "#5ad1ff", unused: "#f5d34a",
  after: "#4ade80", uncorrected: "#ff8a4c",
};

/* All marks of an exposure: { layer, place or line, moves, row, mag }; those that move do with its picture. */
function marksOf(data, exposure) {
  if (exposure.marks) return exposure.marks;
  const marks = [];
  const add = (layer, list, row, more) => marks.push({ layer, list, row, mag: list.mag[row], moves: true, ...more });
  const placeOf = (list, row) => [list.place[2 * row], list.place[2 * row + 1]];
  const { sources, stars, traces } = exposure;
  if (sources) sources.status.forEach((status, row) => add(status, sources, row, { place: placeOf(sources, row) }));
  const used = new Set(stars ? stars.name : []);
  if (stars) stars.name.forEach((_, row) => add("used", stars, row, { place: placeOf(stars, row), moves: false }));
  if (data.stars) {
    const [left, low, right, high] = extent(exposure);
    data.stars.name.forEach((name, row) => {
      const place = placeOf(data.stars, row);
      const near = place[0] > left - 30 && place[0] < right + 30 && place[1] > low - 30 && place[1] < high + 30;
      if (near && !used.has(name)) add("unused", data.stars, row, { place, moves: false });
    });
  }
  if (traces) {
    for (const [layer, points] of [["uncorrected", traces.before], ["after", traces.after]]) {
      traces.number.forEach((_, row) => {
        const line = [], first = 2 * row * traces.points;
        for (let at = first; at < first + 2 * traces.points; at += 2) {
          if (points[at] !== null && points[at + 1] !== null) line.push([points[at], points[at + 1]]);
        }
        if (line.length > 1) add(layer, traces, row, { line, place: line[line.length >> 1] });
      });
    }
  }
  exposure.marks = marks.filter((mark) => mark.place[0] !== null && mark.place[1] !== null);
  return exposure.marks;
}

function drawMark(context, mark, x, y, size) {
  context.beginPath();
  if (mark.layer === "rejected") {
    context.rect(x - 0.7 * size, y - 0.7 * size, 1.4 * size, 1.4 * size);
  } else if (mark.layer === "used" || mark.layer === "unused") {
    const far = 1.35 * size;
    context.moveTo(x, y - far);
    for (const [dx, dy] of [[far, 0], [0, far], [-far, 0]]) context.lineTo(x + dx, y + dy);
    context.closePath();
  } else {
    context.arc(x, y, size, 0, 2 * Math.PI);
  }
  if (mark.layer === "clipped") {
    const half = 0.7 * size;
    context.moveTo(x - half, y - half);
    context.lineTo(x + half, y + half);
    context.moveTo(x + half, y - half);
    context.lineTo(x - half, y + half);
  }
  context.stroke();
}

function drawLine(context, points) {
  context.beginPath();
  points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

const DASHES = { unused: [3, 2], uncorrected: [6, 4] };

/* Draw the marks of some layers; `views` are the maps to the canvas of what moves and of what stays. */
function drawMarks(context, marks, layers, views, options) {
  const dense = options.ratio, { width, height } = context.canvas;
  for (const mark of marks) {
    if (!layers.has(mark.layer) && mark !== options.chosen) continue;
    const view = mark.moves ? views.moves : views.stays;
    const chosen = mark === options.chosen;
    context.lineWidth = (chosen ? 3 : 1.5) * dense;
    context.strokeStyle = chosen ? "#ff5cf4" : COLORS[mark.layer];
    context.setLineDash((DASHES[mark.layer] || []).map((one) => one * dense));
    const [x, y] = mapped(view, ...mark.place);
    if (mark.line) {
      drawLine(context, mark.line.map((one) => mapped(view, ...one)));
    } else if (x > -50 && y > -50 && x < width + 50 && y < height + 50) {
      drawMark(context, mark, x, y, (chosen ? 11 : 8) * dense);
    } else {
      continue;
    }
    const number = mark.list.number ? mark.list.number[mark.row] : mark.list.name[mark.row];
    if (options.numbers && number !== -1) {
      context.fillStyle = context.strokeStyle;
      context.font = `${11 * dense}px system-ui, sans-serif`;
      context.fillText(number, x + 10 * dense, y - 7 * dense);
    }
  }
  context.setLineDash([]);
}

/* The mark next to a point of the canvas, within so many pixels. */
function markAt(marks, layers, views, point, within) {
  let best = null, least = within;
  for (const mark of marks) {
    if (!layers.has(mark.layer)) continue;
    const view = mark.moves ? views.moves : views.stays;
    const distance = mark.line
      ? distanceToLine(mark.line.map((one) => mapped(view, ...one)), point)
      : Math.hypot(...mapped(view, ...mark.place).map((one, k) => one - point[k]));
    // a source says more than the star that it matches
    const far = distance + (mark.list.number ? 0 : 3);
    if (far < least) [best, least] = [mark, far];
  }
  return best;
}

function distanceToLine(points, [x, y]) {
  let least = Infinity;
  for (let at = 1; at < points.length; at++) {
    const [a, b] = [points[at - 1], points[at]];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const along = Math.max(0, Math.min(1, ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy || 1)));
    least = Math.min(least, Math.hypot(a[0] + along * dx - x, a[1] + along * dy - y));
  }
  return least;
}

const WORDS = {
  matched: "matched", clipped: "clipped", rejected: "measured, in no fit", used: "catalog star, used in this fit",
  unused: "catalog star", after: "trace by the corrected WCS", uncorrected: "trace by the WCS before",
};

/* What is said of a mark, name and text of each line. */
function saidOf(data, exposure, mark) {
  const { list, row } = mark;
  const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const lines = [["Exposure", exposure.key], ["Status", WORDS[mark.layer]]];
  if (list.number && list.number[row] !== -1) lines.push(["Source", String(list.number[row])]);
  if (list.id) lines.push(["In its catalog", `id ${list.id[row]}, chip ${list.chip[row]}`]);
  if (list.name) lines.push(["Star", list.name[row]]);
  if (list.xy) lines.push([list.id ? "x, y" : "x, y, no grism", `${fixed(list.xy[2 * row], 2)}, ${fixed(list.xy[2 * row + 1], 2)} px`]);
  if (!mark.line) {
    const [ra, dec] = skyOf(data.plane, mark.place);
    lines.push([mark.moves ? "RA, Dec, corrected" : "RA, Dec", `${ra.toFixed(7)}, ${dec >= 0 ? "+" : ""}${dec.toFixed(7)}`]);
  }
  lines.push(["Magnitude", fixed(list.mag[row], 2)]);
  for (const [name, heading] of [["relative", "To exposures"], ["absolute", "To the catalog"]]) {
    const [east, north, weight] = list[name] ? list[name].slice(3 * row, 3 * row + 3) : [null];
    if (east !== null) {
      const sign = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(1);
      lines.push([heading, `E ${sign(east)}, N ${sign(north)} mas; weight ${fixed(weight, 2)}`]);
    }
  }
  if (list.matched && list.matched[row]) lines.push(["Catalog star", list.matched[row]]);
  if (list.doubts && list.doubts[row]) lines.push(["Flags", list.doubts[row]]);
  if (list.model) lines.push(["Trace model", list.model]);
  return lines;
}
