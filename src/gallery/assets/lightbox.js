// One picture large, or two under a divider. Entries are {title, detail, images: {column: {src, width, height}}}.
const Lightbox = (() => {
  let entries = [], columns = [], index = 0, column = "", comparing = false, pair = ["", ""], split = 50;
  let view = { scale: 1, x: 0, y: 0 };
  let onMove = () => {};

  const title = h("strong", { id: "lightbox-title" });
  const detail = h("span", { class: "faint" });
  const position = h("span", { class: "faint", id: "lightbox-position" });
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Column" });
  const leftSelect = h("select", { id: "compare-left", "aria-label": "Left of the divider" });
  const rightSelect = h("select", { id: "compare-right", "aria-label": "Right of the divider" });
  const pairBox = h("div", { class: "tabs pair" }, leftSelect, h("span", { class: "faint" }, "against"), rightSelect);
  const compareButton = button("Compare two columns (c)", "◧ Compare", () => setComparing(!comparing), "compare-toggle");
  const zoomText = h("button", { class: "text", id: "zoom-level", title: "Fit to the window (0)", onclick: () => fit() });
  const stage = h("div", { class: "stage" });
  // The focus goes to the picture: a list that is hidden right after keeps the focus until the next frame, and its keys.
  const area = h("div", { class: "area", tabindex: -1, autofocus: true }, stage);
  const dialog = h("dialog", { class: "lightbox", "aria-labelledby": "lightbox-title" },
    h("div", { class: "lightbox-bar" },
      h("div", { class: "lightbox-name" }, title, position, detail),
      h("div", { class: "lightbox-tools" }, tabs, pairBox, compareButton,
        h("div", { class: "tabs" }, button("Smaller (−)", "−", () => zoom(1 / 1.5), "zoom-out"), zoomText,
          button("Larger (+)", "+", () => zoom(1.5), "zoom-in"), button("Pixel by pixel (1)", "1:1", () => toNatural(), "zoom-natural")),
        button("Close (Escape)", "✕", () => dialog.close(), "lightbox-close"))),
    h("div", { class: "lightbox-body" },
      button("Previous (left arrow)", "‹", () => move(-1), "previous", "side"), area,
      button("Next (right arrow)", "›", () => move(1), "next", "side")));

  function button(label, text, action, id, style) {
    return h("button", { class: style || "text", id, title: label, "aria-label": label, onclick: action }, text);
  }

  function open(newEntries, newIndex, newColumn, options) {
    entries = newEntries;
    columns = options.columns;
    index = newIndex;
    column = newColumn;
    onMove = options.onMove || onMove;
    const has = (name) => columns.includes(name);
    // The input against what was made of it, or what was made against the truth: the last two columns.
    if (!has(pair[0]) || !has(pair[1])) pair = columns.length > 1 ? columns.slice(-2) : [columns[0], columns[0]];
    comparing = Boolean(options.compare) && columns.length > 1;
    for (const [select, side] of [[leftSelect, 0], [rightSelect, 1]]) {
      select.replaceChildren(...columns.map((name) => h("option", { value: name }, name)));
      select.value = pair[side];
    }
    compareButton.hidden = columns.length < 2;
    if (!dialog.isConnected) document.body.append(dialog);
    document.body.classList.add("locked");
    if (!dialog.open) dialog.showModal();
    fit();
    show();
  }

  function current() { return entries[index].images; }

  function show() {
    const entry = entries[index];
    if (!entry.images[column]) column = columns.find((name) => entry.images[name]) || column;
    title.textContent = entry.title;
    detail.textContent = entry.detail || "";
    position.textContent = `${index + 1} / ${entries.length}`;
    tabs.replaceChildren(...columns.filter((name) => entry.images[name]).map((name) =>
      h("button", { "aria-pressed": String(name === column), "data-column": name, onclick: () => { column = name; show(); } }, name)));
    tabs.hidden = comparing;
    pairBox.hidden = !comparing;
    compareButton.setAttribute("aria-pressed", String(comparing));
    const picture = (name, extra) => entry.images[name]
      ? h("img", { src: entry.images[name].src, alt: `${name} of ${entry.title}`, draggable: "false", class: extra })
      : h("div", { class: `missing ${extra}` }, `no ${name}`);
    if (comparing) {
      const handle = h("div", { class: "handle", role: "slider", tabindex: 0, "aria-label": "Divider", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
      handle.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -2, ArrowRight: 2, Home: -100, End: 100 }[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        setSplit(split + step);
      });
      stage.replaceChildren(picture(pair[1], "under"), picture(pair[0], "over"),
        h("span", { class: "tag left" }, pair[0]), h("span", { class: "tag right" }, pair[1]), handle);
      setSplit(split);
    } else {
      stage.replaceChildren(picture(column, "under"));
    }
    place();
    for (const next of [entries[index + 1], entries[index - 1]]) {
      for (const name of comparing ? pair : [column]) if (next && next.images[name]) new Image().src = next.images[name].src;
    }
    onMove(index);
  }

  function natural() {
    const image = current()[comparing ? pair[1] : column] || Object.values(current())[0];
    return image ? [image.width, image.height] : [1, 1];
  }

  function fitted() {
    const [width, height] = natural();
    const factor = Math.min(area.clientWidth / width, area.clientHeight / height);
    return [width * factor, height * factor, factor];
  }

  function place() {
    const [width, height, factor] = fitted();
    const limitX = Math.max(0, (width * view.scale - area.clientWidth) / 2), limitY = Math.max(0, (height * view.scale - area.clientHeight) / 2);
    view.x = Math.max(-limitX, Math.min(limitX, view.x));
    view.y = Math.max(-limitY, Math.min(limitY, view.y));
    stage.style.width = `${width}px`;
    stage.style.height = `${height}px`;
    stage.style.transform = `translate(${view.x}px,${view.y}px) scale(${view.scale})`;
    stage.style.setProperty("--zoom", view.scale);
    const shown = factor * view.scale;
    stage.classList.toggle("pixels", shown * (window.devicePixelRatio || 1) >= 3);
    area.classList.toggle("grab", view.scale > 1.001);
    zoomText.textContent = `${Math.round(shown * 100)} %`;
  }

  function fit() { view = { scale: 1, x: 0, y: 0 }; place(); }

  // Zooms about a point given from the middle of the area, which stays where it is.
  function zoom(factor, px = 0, py = 0) {
    const least = Math.min(1, 1 / (fitted()[2] * (window.devicePixelRatio || 1)));
    const scale = Math.max(least, Math.min(view.scale * factor, 64));
    const change = scale / view.scale;
    view = { scale, x: px - (px - view.x) * change, y: py - (py - view.y) * change };
    place();
  }

  function toNatural() { zoom(1 / (fitted()[2] * view.scale * (window.devicePixelRatio || 1))); }

  function move(by) {
    const wanted = Math.max(0, Math.min(entries.length - 1, index + by));
    if (wanted === index) return;
    index = wanted;
    show();
  }

  function moveColumn(by) {
    const present = columns.filter((name) => current()[name]);
    column = present[(present.indexOf(column) + by + present.length) % present.length];
    show();
  }

  function setComparing(on) {
    comparing = on && columns.length > 1;
    show();
  }

  function setSplit(percent) {
    split = Math.max(0, Math.min(100, percent));
    stage.style.setProperty("--split", `${split}%`);
    const handle = stage.querySelector(".handle");
    if (handle) handle.setAttribute("aria-valuenow", String(Math.round(split)));
  }

  leftSelect.addEventListener("change", () => { pair[0] = leftSelect.value; show(); });
  rightSelect.addEventListener("change", () => { pair[1] = rightSelect.value; show(); });

  area.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = area.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.002), event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  }, { passive: false });
  area.addEventListener("dblclick", (event) => {
    const box = area.getBoundingClientRect();
    if (view.scale > 1.001) fit();
    else zoom(Math.max(2, 1 / fitted()[2]), event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  });
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const handle = stage.querySelector(".handle");
    const dividing = comparing && (view.scale <= 1.001 || (handle && handle.contains(event.target)));
    let last = [event.clientX, event.clientY];
    const follow = (moved) => {
      if (dividing) {
        const box = stage.getBoundingClientRect();
        setSplit(((moved.clientX - box.left) / box.width) * 100);
      } else {
        view.x += moved.clientX - last[0];
        view.y += moved.clientY - last[1];
        last = [moved.clientX, moved.clientY];
        place();
      }
    };
    const stop = () => {
      area.removeEventListener("pointermove", follow);
      area.removeEventListener("pointerup", stop);
      area.removeEventListener("pointercancel", stop);
    };
    area.setPointerCapture(event.pointerId);
    area.addEventListener("pointermove", follow);
    area.addEventListener("pointerup", stop);
    area.addEventListener("pointercancel", stop);
    if (dividing) { follow(event); handle.focus({ preventScroll: true }); event.preventDefault(); }
  });
  // On the document: a button that was clicked and redrawn leaves the focus outside the dialog.
  document.addEventListener("keydown", (event) => {
    if (!dialog.open || event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => moveColumn(-1), ArrowDown: () => moveColumn(1),
      Home: () => move(-entries.length), End: () => move(entries.length),
      c: () => setComparing(!comparing), "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit, 1: toNatural,
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  dialog.addEventListener("close", () => {
    document.body.classList.remove("locked");
    stage.replaceChildren();
  });
  window.addEventListener("resize", () => { if (dialog.open) place(); });

  return { open, isOpen: () => dialog.open };
})();
