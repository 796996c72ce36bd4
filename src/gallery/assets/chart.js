"use strict";

// Elements are made of text and attributes, never of markup: whatever a stem or an option holds stays text.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function formatNumber(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
  if (Number.isInteger(value)) return String(value);
  return size >= 100 ? value.toFixed(1) : value.toPrecision(4);
}

const Chart = (() => {
  const COLOURS = ["#5b7cfa", "#f0813a", "#12b48b", "#e5446d", "#a866f2", "#1aa7d8", "#c99a1d", "#7d8aa0", "#dd5fb4", "#5aa845"];
  const MARGIN = { left: 58, right: 14, top: 12, bottom: 40 };

  // Exponential mean without the pull towards zero at the start.
  function smooth(values, weight) {
    let sum = 0, mass = 0;
    return values.map((value) => {
      if (value === null) return null;
      sum = sum * weight + (1 - weight) * value;
      mass = mass * weight + (1 - weight);
      return sum / mass;
    });
  }

  function niceTicks(low, high, count) {
    if (!(high > low)) return [low];
    const raw = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((f) => f * power).find((s) => s >= raw);
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
    return ticks;
  }

  function logTicks(low, high) {
    const all = [];
    for (let e = Math.floor(low); e <= Math.ceil(high); e++) for (const m of [1, 2, 5]) all.push(e + Math.log10(m));
    const inside = all.filter((t) => t >= low && t <= high);
    const whole = inside.filter((t) => Math.abs(t - Math.round(t)) < 1e-9);
    return inside.length <= 7 ? inside : whole.length ? whole : niceTicks(low, high, 5);
  }

  function shortTick(value) {
    const size = Math.abs(value);
    if (size >= 1e6) return +(value / 1e6).toPrecision(4) + "M";
    if (size >= 1e4) return +(value / 1e3).toPrecision(4) + "k";
    return size !== 0 && size < 1e-3 ? value.toExponential(0) : String(+value.toPrecision(4));
  }

  // Draws the curves of `losses` ({steps, epochs, series}) into `host`; `saved` keeps what the reader chose.
  function create(host, losses, saved, onChange) {
    const names = Object.keys(losses.series);
    const colour = (name) => COLOURS[names.indexOf(name) % COLOURS.length];
    const hidden = new Set((saved.hidden || []).filter((name) => names.includes(name)));
    let weight = saved.weight ?? (losses.steps.length < 60 ? 0 : 0.6);
    let logarithmic = Boolean(saved.log);
    let shown = [];
    let place = null;

    const plot = h("div", { class: "plot" });
    const tooltip = h("div", { class: "tooltip", hidden: true });
    const legend = h("div", { class: "legend" });
    const slider = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: weight, id: "smoothing" });
    const sliderText = h("output", { for: "smoothing" }, weight.toFixed(2));
    const logBox = h("input", { type: "checkbox", id: "log-scale" });
    logBox.checked = logarithmic;
    slider.addEventListener("input", () => {
      weight = Number(slider.value);
      sliderText.textContent = weight.toFixed(2);
      changed();
    });
    logBox.addEventListener("change", () => { logarithmic = logBox.checked; changed(); });
    host.append(
      h("div", { class: "tools" },
        h("label", { class: "tool" }, "Smoothing", slider, sliderText),
        h("label", { class: "tool" }, logBox, "Logarithmic"),
        h("button", { class: "text", onclick: () => { hidden.clear(); changed(); } }, "Show all")),
      h("div", { class: "plot-box" }, plot, tooltip), legend);

    for (const name of names) {
      const button = h("button", { class: "series", title: "Click: show or hide. Shift-click: show only this one." },
        h("i", { style: `background:${colour(name)}` }), h("span", {}, name), h("b", {}));
      button.addEventListener("click", (event) => {
        if (event.shiftKey) { hidden.clear(); for (const other of names) if (other !== name) hidden.add(other); }
        else if (!hidden.delete(name)) hidden.add(name);
        changed();
      });
      button.dataset.name = name;
      legend.append(button);
    }

    function changed() {
      onChange({ hidden: [...hidden], weight, log: logarithmic });
      draw();
    }

    function draw() {
      const width = plot.clientWidth, height = plot.clientHeight;
      if (!width || !height) return;
      const level = (v) => (v === null ? null : logarithmic ? (v > 0 ? Math.log10(v) : null) : v);
      shown = names.filter((name) => !hidden.has(name)).map((name) => ({
        name, raw: losses.series[name], soft: smooth(losses.series[name], weight),
      }));
      for (const button of legend.children) {
        const values = losses.series[button.dataset.name].filter((v) => v !== null);
        button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.name)));
        button.lastChild.textContent = formatNumber(values.length ? values[values.length - 1] : null);
      }
      let low = Infinity, high = -Infinity;
      for (const series of shown) for (const value of series.soft) {
        const y = level(value);
        if (y !== null) { low = Math.min(low, y); high = Math.max(high, y); }
      }
      if (low > high) { low = 0; high = 1; }
      const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
      // A loss that is never negative looks wrong above a negative axis.
      low = !logarithmic && low >= 0 && low - room < 0 ? 0 : low - room;
      high += room;
      const first = losses.steps[0], last = losses.steps[losses.steps.length - 1];
      const innerWidth = width - MARGIN.left - MARGIN.right, innerHeight = height - MARGIN.top - MARGIN.bottom;
      const x = (step) => MARGIN.left + (last > first ? (step - first) / (last - first) : 0.5) * innerWidth;
      const y = (v) => MARGIN.top + (1 - (v - low) / (high - low)) * innerHeight;
      const path = (values) => {
        let line = "", pen = false;
        values.forEach((value, i) => {
          const v = level(value);
          if (v === null) { pen = false; return; }
          const lone = !pen && (i + 1 === values.length || level(values[i + 1]) === null);
          line += `${pen ? "L" : "M"}${x(losses.steps[i]).toFixed(1)} ${y(v).toFixed(1)}${lone ? "h.01" : ""}`;
          pen = true;
        });
        return line;
      };
      const frame = svg("svg", { width, height, role: "img", "aria-label": "Loss curves" });
      const clip = svg("clipPath", { id: "plot-clip" },
        svg("rect", { x: MARGIN.left, y: MARGIN.top, width: innerWidth, height: innerHeight }));
      frame.append(svg("defs", {}, clip));
      for (const tick of logarithmic ? logTicks(low, high) : niceTicks(low, high, 5)) {
        frame.append(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
          svg("text", { class: "tick", x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" },
            shortTick(logarithmic ? 10 ** tick : tick)));
      }
      for (const tick of niceTicks(first, last, Math.max(2, Math.min(8, Math.floor(innerWidth / 90))))) {
        frame.append(svg("text", { class: "tick", x: x(tick), y: height - MARGIN.bottom + 18, "text-anchor": "middle" }, shortTick(tick)));
      }
      frame.append(svg("text", { class: "tick", x: width - MARGIN.right, y: height - 5, "text-anchor": "end" }, "step"));
      const curves = svg("g", { "clip-path": "url(#plot-clip)" });
      for (const series of shown) {
        if (weight > 0) curves.append(svg("path", { class: "raw", d: path(series.raw), stroke: colour(series.name) }));
      }
      for (const series of shown) {
        curves.append(svg("path", { class: "curve", d: path(series.soft), stroke: colour(series.name), "data-name": series.name }));
      }
      const marks = svg("g", { class: "marks" });
      frame.append(curves, marks);
      plot.replaceChildren(frame);
      place = { x, y, level, marks, width, height, innerHeight };
    }

    function point(event) {
      if (!place || !losses.steps.length) return;
      const box = plot.getBoundingClientRect();
      const wanted = event.clientX - box.left;
      let nearest = 0;
      losses.steps.forEach((step, i) => {
        if (Math.abs(place.x(step) - wanted) < Math.abs(place.x(losses.steps[nearest]) - wanted)) nearest = i;
      });
      const at = place.x(losses.steps[nearest]);
      const rows = shown.map((s) => ({ name: s.name, value: s.raw[nearest], soft: s.soft[nearest] }));
      rows.sort((a, b) => (b.soft ?? -Infinity) - (a.soft ?? -Infinity));
      place.marks.replaceChildren(
        svg("line", { class: "cursor", x1: at, x2: at, y1: MARGIN.top, y2: MARGIN.top + place.innerHeight }),
        ...rows.filter((r) => place.level(r.soft) !== null).map((r) =>
          svg("circle", { cx: at, cy: place.y(place.level(r.soft)), r: 4, fill: colour(r.name) })));
      tooltip.replaceChildren(
        h("div", { class: "tooltip-head" }, `Step ${losses.steps[nearest]}`, h("span", {}, `epoch ${losses.epochs[nearest]}`)),
        ...rows.map((r) => h("div", { class: "tooltip-row" }, h("i", { style: `background:${colour(r.name)}` }),
          h("span", {}, r.name), h("b", {}, formatNumber(r.value)))));
      tooltip.hidden = false;
      const left = at + 16 + tooltip.offsetWidth > place.width ? at - 16 - tooltip.offsetWidth : at + 16;
      tooltip.style.left = `${Math.max(0, left)}px`;
      tooltip.style.top = `${Math.max(0, Math.min(event.clientY - box.top - 20, place.height - tooltip.offsetHeight))}px`;
    }

    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", () => {
      tooltip.hidden = true;
      if (place) place.marks.replaceChildren();
    });
    new ResizeObserver(draw).observe(plot);
  }

  return { create, smooth, niceTicks };
})();
