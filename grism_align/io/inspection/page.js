/* The controls of the page. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const sky = byId("sky"), over = byId("marks");
  const state = {
    first: 0, second: -1, other: false, early: false, turned: false, numbers: false, inverted: false, hidden: false,
    middle: [0, 0], scale: 1, chosen: null, timer: null,
  };
  const layers = new Set();
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  const pictures = new Pictures(redraw);

  /* What is on screen: an exposure, and whether by its WCS before. The other of a blink is itself by the other WCS,
     or another exposure by the same one. */
  function shown() {
    if (!state.other) return [data.exposures[state.first], state.early];
    return state.second < 0 ? [data.exposures[state.first], !state.early] : [data.exposures[state.second], state.early];
  }
  const pixelSide = (exposure) => {
    const { map } = tilesOf(exposure.chips[0])[0];
    return Math.sqrt(Math.abs(map[0] * map[3] - map[1] * map[2]));
  };

  /* From the plane to the screen, CSS pixels. */
  function worldMap() {
    const { map } = tilesOf(data.exposures[state.first].chips[0])[0];
    const turn = state.turned ? Math.atan2(map[1], -map[0]) : 0;
    const [cos, sin] = [state.scale * Math.cos(turn), state.scale * Math.sin(turn)];
    const m = [-cos, -sin, sin, -cos, 0, 0];
    const [x, y] = mapped(m, ...state.middle);
    return [...m.slice(0, 4), over.clientWidth / 2 - x, over.clientHeight / 2 - y];
  }
  function viewsOf(exposure, early, ratio) {
    const stays = times([ratio, 0, 0, ratio, 0, 0], worldMap());
    return { stays, moves: early ? times(stays, earlier(exposure)) : stays };
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [sky, over]) {
      const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    }
    const [exposure, early] = shown();
    const views = viewsOf(exposure, early, ratio);
    const picture = sky.getContext("2d"), context = over.getContext("2d");
    picture.clearRect(0, 0, sky.width, sky.height);
    drawPictures(picture, exposure, views.moves, pictures);
    context.clearRect(0, 0, over.width, over.height);
    const options = { ratio, numbers: state.numbers, chosen: state.chosen };
    if (!state.hidden) drawMarks(context, marksOf(data, exposure), layers, views, options);
    drawScale(context, views.stays, ratio);
    const when = exposure.status === "FAILED" ? "not corrected" : early ? "before" : "after";
    byId("shown").textContent = `${exposure.key} · ${exposure.filter} · ${when}`;
    byId("shown").classList.toggle("early", early);
  }

  /* A bar of a round length, and north and east. */
  function drawScale(context, view, ratio) {
    const side = Math.hypot(view[0], view[1]);
    const wanted = (90 * ratio) / side, power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].map((one) => one * power).find((one) => one <= wanted);
    const [x, y] = [14 * ratio, context.canvas.height - 16 * ratio];
    context.strokeStyle = context.fillStyle = "#fff";
    context.lineWidth = 2 * ratio;
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.shadowColor = "#000";
    context.shadowBlur = 4 * ratio;
    drawLine(context, [[x, y], [x + length * side, y]]);
    context.fillText(length >= 60 ? `${length / 60}′` : `${Number(length.toPrecision(1))}″`, x, y - 6 * ratio);
    const at = [x + 26 * ratio, y - 60 * ratio];
    for (const [name, column] of [["E", 0], ["N", 2]]) {
      const [dx, dy] = [0, 1].map((k) => (view[column + k] / side) * 20 * ratio);
      drawLine(context, [at, [at[0] + dx, at[1] + dy]]);
      context.fillText(name, at[0] + 1.45 * dx - 4 * ratio, at[1] + 1.45 * dy + 4 * ratio);
    }
    context.shadowBlur = 0;
  }

  /* Words beside the picture. */
  function describe() {
    const [exposure] = shown();
    const chips = exposure.chips.map((chip) => `${chip.size[0]} × ${chip.size[1]} px`
      + (chip.reduced > 1 ? `, shown ${chip.reduced} by ${chip.reduced} as one` : ""));
    fill(byId("about"), [
      ["Kind", `${exposure.kind}, ${exposure.instrument} ${exposure.filter}`], ["Visit", exposure.visit],
      ["Start", `${exposure.start} UTC`], ["Status", exposure.status], ["Correction", exposure.shift],
      ["To know", exposure.remarks], ["Chips", [...new Set(chips)].join("; ")],
      ["Traces", exposure.traces ? `model: ${exposure.traces.model}` : ""],
    ].filter((line) => line[1]));
    byId("about-name").textContent = exposure.key;
    const counts = {};
    for (const mark of marksOf(data, exposure)) counts[mark.layer] = (counts[mark.layer] || 0) + 1;
    for (const span of document.querySelectorAll("[data-count]")) span.textContent = counts[span.dataset.count] || 0;
    over.setAttribute("aria-label", `Exposure ${exposure.key}, ${exposure.filter}, `
      + `${counts.matched || 0} matched sources, ${counts.clipped || 0} clipped, ${counts.after || 0} traces`);
  }
  function fill(list, lines) {
    list.replaceChildren(...lines.map(([name, text]) => {
      const [row, head, body] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      [head.textContent, body.textContent] = [name, text];
      row.append(head, body);
      return row;
    }));
  }
  function choose(mark) {
    state.chosen = mark;
    fill(byId("measurement"), mark ? saidOf(data, shown()[0], mark) : []);
    byId("nothing").hidden = Boolean(mark);
    redraw();
  }

  /* What the controls do. */
  function select(index) {
    const n = data.exposures.length;
    state.first = ((index % n) + n) % n;
    byId("first").value = state.first;
    state.other = false;
    byId("second").querySelectorAll("option").forEach((one) => { one.disabled = Number(one.value) === state.first; });
    if (state.second === state.first) byId("second").value = state.second = -1;
    changed();
  }
  function changed() {
    choose(null);
    describe();
  }
  function blink(on) {
    clearInterval(state.timer);
    state.timer = on ? setInterval(() => { state.other = !state.other; describe(); redraw(); }, 700) : null;
    byId("blink").setAttribute("aria-pressed", String(on));
    if (on) choose(null);
    redraw();
  }
  function early(on) {
    state.early = on;
    state.other = false;
    byId("before").setAttribute("aria-pressed", String(on));
    redraw();
  }
  function swap() {
    blink(false);
    state.other = !state.other;
    changed();
  }
  function fit() {
    const [left, low, right, high] = extent(data.exposures[state.first]);
    state.middle = [(left + right) / 2, (low + high) / 2];
    const wide = state.turned ? Math.hypot(right - left, high - low) / Math.SQRT2 : 0;
    state.scale = 0.96 * Math.min(over.clientWidth / (wide || right - left), over.clientHeight / (wide || high - low));
    redraw();
  }
  function zoom(by, x = over.clientWidth / 2, y = over.clientHeight / 2) {
    const place = mapped(inverted(worldMap()), x, y);
    state.scale = Math.min(Math.max(state.scale * by, 0.02), 4000);
    const [nowX, nowY] = mapped(worldMap(), ...place);
    move(x - nowX, y - nowY);
  }
  function move(dx, dy) {
    const [x, y] = [over.clientWidth / 2 - dx, over.clientHeight / 2 - dy];
    state.middle = mapped(inverted(worldMap()), x, y);
    redraw();
  }
  function step(by) {
    blink(false);
    const [exposure, before] = shown();
    const all = marksOf(data, exposure).filter((mark) => layers.has(mark.layer));
    const own = all.filter((mark) => mark.list.number && mark.layer !== "uncorrected");
    const marks = (own.length ? own : all).sort((a, b) => (a.mag ?? 99) - (b.mag ?? 99));
    if (!marks.length) return;
    const at = marks.indexOf(state.chosen);
    const mark = marks[at < 0 ? (by > 0 ? 0 : marks.length - 1) : (at + by + marks.length) % marks.length];
    state.middle = mark.moves && before ? mapped(earlier(exposure), ...mark.place) : mark.place;
    choose(mark);
  }
  function toggle(name) {
    state[name] = !state[name];
    if (byId(name)) byId(name).checked = state[name];
    tone();
    redraw();
  }
  function tone() {
    const [bright, contrast] = [byId("brightness").value, byId("contrast").value];
    sky.style.filter = `${state.inverted ? "invert(1) " : ""}brightness(${bright}) contrast(${contrast})`;
  }
  const help = () => byId("help").showModal();

  const KEYS = {
    "[": () => select(state.first - 1), "]": () => select(state.first + 1), c: () => early(!state.early),
    b: () => blink(!state.timer), " ": () => blink(!state.timer), x: swap, n: () => step(1), p: () => step(-1),
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: fit,
    1: () => zoom(1 / (state.scale * pixelSide(shown()[0]))), r: () => toggle("turned"), i: () => toggle("inverted"),
    m: () => toggle("hidden"), "?": help, Escape: () => { blink(false); choose(null); },
  };
  const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const typed = event.target.closest("select, input, button");
    // what a control does with a key is the control's
    if (typed && (typed.tagName !== "BUTTON" || event.key === " ")) return;
    const arrow = event.target === over && ARROWS[event.key];
    if (arrow) move(...arrow.map((one) => one * (event.shiftKey ? 300 : 60)));
    else if (KEYS[event.key]) KEYS[event.key]();
    else return;
    event.preventDefault();
  });

  const buttons = {
    previous: () => select(state.first - 1), next: () => select(state.first + 1), before: () => early(!state.early),
    blink: () => blink(!state.timer), swap, in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit, one: KEYS[1], keys: help,
    "source-next": () => step(1), "source-previous": () => step(-1),
  };
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", act);
  byId("first").addEventListener("change", (event) => select(Number(event.target.value)));
  byId("second").addEventListener("change", (event) => {
    state.second = Number(event.target.value);
    state.other = false;
    changed();
  });
  for (const box of document.querySelectorAll("[data-layer]")) {
    const change = () => { layers[box.checked ? "add" : "delete"](box.dataset.layer); redraw(); };
    box.addEventListener("change", change);
    change();
  }
  for (const name of ["numbers", "turned", "inverted"]) byId(name).addEventListener("change", () => toggle(name));
  for (const name of ["brightness", "contrast"]) byId(name).addEventListener("input", tone);

  /* Pointers: one moves, two zoom, and one that stays chooses. */
  const held = new Map();
  let start = null;
  const placeOf = (event) => [event.offsetX, event.offsetY];
  const apart = () => {
    const [a, b] = [...held.values()];
    return { distance: Math.hypot(a[0] - b[0], a[1] - b[1]) || 1, middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  };
  over.addEventListener("pointerdown", (event) => {
    over.setPointerCapture(event.pointerId);
    held.set(event.pointerId, placeOf(event));
    start = held.size === 1 ? placeOf(event) : null;
  });
  over.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) {
      tell(placeOf(event));
      return;
    }
    const before = held.size === 2 ? apart() : null, [x, y] = held.get(event.pointerId);
    const now = placeOf(event);
    held.set(event.pointerId, now);
    if (start && Math.hypot(now[0] - start[0], now[1] - start[1]) < 5) return;
    over.classList.add("moving");
    if (before) {
      const after = apart();
      move(after.middle[0] - before.middle[0], after.middle[1] - before.middle[1]);
      zoom(after.distance / before.distance, ...after.middle);
    } else if (held.size === 1) {
      move(...(start ? [now[0] - start[0], now[1] - start[1]] : [now[0] - x, now[1] - y]));
    }
    start = null;
  });
  const released = (event) => {
    held.delete(event.pointerId);
    over.classList.remove("moving");
    if (start && event.type === "pointerup") {
      const [exposure, before] = shown();
      blink(false);
      choose(markAt(marksOf(data, exposure), layers, viewsOf(exposure, before, 1), start, 14));
      tell(start);
    }
    start = null;
  };
  over.addEventListener("pointerup", released);
  over.addEventListener("pointercancel", released);
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    zoom(Math.exp(-Math.max(-300, Math.min(300, event.deltaY * lines)) * 0.0018), ...placeOf(event));
  }, { passive: false });

  /* Where a point of the screen is. */
  function tell(point) {
    const [exposure, before] = shown();
    const place = mapped(inverted(worldMap()), ...point);
    const [ra, dec] = skyOf(data.plane, place);
    const own = before ? mapped(inverted(earlier(exposure)), ...place) : place;
    const on = pixelAt(exposure, own);
    const many = exposure.chips.length > 1;
    byId("where").textContent = `RA ${ra.toFixed(6)}, Dec ${dec.toFixed(6)}`
      + (on ? `; x ${on.x.toFixed(1)}, y ${on.y.toFixed(1)}${many ? `, chip ${on.chip}` : ""}` : "") + ".";
  }

  /* Begin: the first direct exposure, to blink with another of its filter from another visit. */
  const option = (value, text) => new Option(text, value);
  const named = data.exposures.map((one, at) => [at, `${one.key} · ${one.filter} · ${one.status}`]);
  byId("first").append(...named.map((one) => option(...one)));
  byId("second").append(option(-1, "itself, before and after"), ...named.map((one) => option(...one)));
  select(Math.max(0, data.exposures.findIndex((one) => one.kind === "direct")));
  tone();
  fit();
  new ResizeObserver(redraw).observe(byId("view"));
})();
