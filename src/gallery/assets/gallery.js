(() => {
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  const main = document.getElementById("main");

  // What the reader chose survives a reload of the page, which a live page does by itself.
  const storageKey = `gallery:${location.pathname}`;
  const saved = (() => {
    try { return JSON.parse(sessionStorage.getItem(storageKey)) || {}; } catch { return {}; }
  })();
  function remember(changes) {
    Object.assign(saved, changes);
    try { sessionStorage.setItem(storageKey, JSON.stringify(saved)); } catch { /* private windows forbid it */ }
  }

  function section(id, title, count, ...children) {
    const element = h("section", { id }, h("h2", {}, title, count ? h("span", { class: "count" }, count) : null), ...children);
    main.append(element);
    document.getElementById("nav").append(h("a", { href: `#${id}` }, title));
    return element;
  }

  function columnsOf(entries) {
    return [...new Set(entries.flatMap((entry) => Object.keys(entry.images)))];
  }

  // Width and height are known, so that pictures that arrive later move nothing.
  function picture(image, name, title, columnCount, open) {
    if (!image) return h("div", { class: "missing" }, `no ${name}`);
    const source = { src: image.thumb || image.src };
    if (image.thumb) {
      const scale = 512 / Math.max(image.width, image.height);
      source.srcset = `${image.thumb} ${Math.round(image.width * scale)}w, ${image.src} ${image.width}w`;
      source.sizes = `(max-width: 700px) 94vw, ${Math.floor(94 / columnCount)}vw`;
    }
    return h("button", { class: "shot", onclick: open, "aria-label": `Enlarge ${name} of ${title}` },
      h("img", { loading: "lazy", decoding: "async", width: image.width, height: image.height, alt: `${name} of ${title}`, ...source }));
  }

  function shots(entry, title, columns, open) {
    return h("div", { class: "shots", style: `--columns:${columns.length}` }, columns.map((name) =>
      h("figure", {}, picture(entry.images[name], name, title, columns.length, () => open(name)), h("figcaption", {}, name.replaceAll("_", " ")))));
  }

  // -- results ------------------------------------------------------------------------------------------------

  function results() {
    const entries = data.results;
    if (!entries.length) return;
    const allColumns = columnsOf(entries);
    const numberNames = [...new Set(entries.flatMap((entry) => Object.keys(entry.numbers)))];
    const hiddenColumns = new Set((saved.hiddenColumns || []).filter((name) => allColumns.includes(name)));
    const collator = new Intl.Collator(undefined, { numeric: true });
    let sortBy = saved.sort === undefined || !numberNames.includes(saved.sort) ? null : saved.sort;
    let descending = Boolean(saved.descending);
    let visible = [];

    const filter = h("input", { type: "search", id: "filter", placeholder: "Filter by name", value: saved.filter || "", "aria-label": "Filter by name" });
    // Numbers are addressed by position: a number may be called anything, "name" too.
    const sort = h("select", { id: "sort", "aria-label": "Sort by" }, h("option", { value: "" }, "name"),
      numberNames.map((name, i) => h("option", { value: i }, name)));
    const direction = h("button", { id: "direction", class: "text", onclick: () => { descending = !descending; refresh(); } });
    const chips = h("div", { class: "tabs", role: "group", "aria-label": "Columns" }, allColumns.map((name) =>
      h("button", { "data-column": name, title: "Show or hide this column", onclick: () => {
        if (!hiddenColumns.delete(name)) hiddenColumns.add(name);
        refresh();
      } }, name)));
    const shownCount = h("span", { class: "faint", id: "shown-count" });
    const tiles = h("div", { class: "tiles" });
    const heads = h("div", { class: "shots heads", "aria-hidden": "true" });
    const list = h("div", { id: "result-list" });
    section("results", "Results", String(entries.length), tiles,
      h("div", { class: "sticky" }, h("div", { class: "tools" }, filter,
        h("span", { class: "tool" }, "Sort by", sort, direction), allColumns.length > 1 ? chips : null, shownCount), heads), list);

    function columns() {
      const left = allColumns.filter((name) => !hiddenColumns.has(name));
      return left.length ? left : allColumns;
    }

    function order(a, b) {
      if (sortBy === null) return (descending ? -1 : 1) * collator.compare(a.stem, b.stem);
      const x = a.numbers[sortBy], y = b.numbers[sortBy];
      const hasX = typeof x === "number", hasY = typeof y === "number";
      // Where there is no number there is nothing to compare: last, in both directions.
      if (!hasX || !hasY) return hasY - hasX || collator.compare(a.stem, b.stem);
      return (descending ? y - x : x - y) || collator.compare(a.stem, b.stem);
    }

    // An empty card is as high as it will be: the scroll bar is right from the start, however many there are.
    function card(entry) {
      const names = columns();
      const shapes = names.map((name) => entry.images[name]).filter(Boolean).map((image) => image.width / image.height);
      return h("article", { class: "card empty", style: `--columns:${names.length};--shape:${Math.min(...shapes, 8)}` });
    }

    function fill(element, entry) {
      if (!element.classList.contains("empty")) return;
      const names = columns();
      const open = (name, compare) => Lightbox.open(
        visible.map((e) => ({ title: e.stem, images: e.images, detail: Object.entries(e.numbers).map(([k, v]) => `${k} ${formatNumber(v)}`).join("   ") })),
        visible.indexOf(entry), name, { columns: names, compare, onMove: reveal });
      element.classList.remove("empty");
      element.append(
        h("header", {}, h("strong", { class: "stem", title: entry.stem }, entry.stem),
          h("div", { class: "numbers" }, numberNames.filter((name) => Object.hasOwn(entry.numbers, name)).map((name) =>
            h("span", { class: sortBy === name ? "number sorted" : "number" }, name, h("b", {}, formatNumber(entry.numbers[name]))))),
          names.length > 1 ? h("button", { class: "text compare", title: "Compare two columns under a divider", onclick: () => open(names[0], true) }, "◧ Compare") : null),
        shots(entry, entry.stem, names, (name) => open(name, false)));
    }

    // The picture that was looked at last is where the reader returns to.
    function reveal(i) { list.children[i].scrollIntoView({ block: "nearest" }); }

    function summary() {
      tiles.replaceChildren(...numberNames.map((name) => {
        const values = visible.map((e) => e.numbers[name]).filter((v) => typeof v === "number");
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
        const bins = new Array(24).fill(0);
        for (const v of values) bins[high > low ? Math.min(23, Math.floor(((v - low) / (high - low)) * 24)) : 12]++;
        const top = Math.max(1, ...bins);
        return h("button", { class: sortBy === name ? "tile sorted" : "tile", "data-number": name, title: `Sort by ${name}`, onclick: () => {
          if (sortBy === name) descending = !descending;
          else { sortBy = name; descending = false; }
          refresh();
        } }, h("span", { class: "tile-name" }, name), h("b", {}, values.length ? formatNumber(mean) : "–"),
          svg("svg", { viewBox: "0 0 96 20", preserveAspectRatio: "none", "aria-hidden": "true" },
            ...bins.map((n, i) => svg("rect", { x: i * 4, y: 20 - (20 * n) / top, width: 3, height: (20 * n) / top }))),
          h("span", { class: "faint" }, values.length ? `${formatNumber(low)} to ${formatNumber(high)}` : "no value"));
      }));
    }

    function refresh() {
      remember({ filter: filter.value, sort: sortBy === null ? undefined : sortBy, descending, hiddenColumns: [...hiddenColumns] });
      const wanted = filter.value.trim().toLowerCase().split(/\s+/);
      visible = entries.filter((entry) => wanted.every((word) => entry.stem.toLowerCase().includes(word))).sort(order);
      sort.value = sortBy === null ? "" : String(numberNames.indexOf(sortBy));
      direction.textContent = descending ? "↓ descending" : "↑ ascending";
      for (const chip of chips.children) chip.setAttribute("aria-pressed", String(columns().includes(chip.dataset.column)));
      shownCount.textContent = visible.length === entries.length ? "" : `${visible.length} of ${entries.length}`;
      heads.style.setProperty("--columns", columns().length);
      heads.replaceChildren(...columns().map((name) => h("span", {}, name.replaceAll("_", " "))));
      summary();
      watcher.disconnect();
      list.replaceChildren(...visible.map(card));
      [...list.children].forEach((element, i) => {
        shownAs.set(element, visible[i]);
        // The first ones at once: what is waited for until the next frame flickers.
        if (i < 6) fill(element, visible[i]);
        else watcher.observe(element);
      });
      // A new order is read from its beginning.
      const above = list.getBoundingClientRect().top - 170;
      if (above < 0) window.scrollBy(0, above);
      if (!visible.length) list.append(h("p", { class: "nothing" }, "No name holds this text."));
    }

    const shownAs = new WeakMap();
    const watcher = new IntersectionObserver((seen) => {
      for (const { isIntersecting, target } of seen) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        fill(target, shownAs.get(target));
      }
    }, { rootMargin: "800px" });
    filter.addEventListener("input", refresh);
    sort.addEventListener("change", () => { sortBy = sort.value === "" ? null : numberNames[Number(sort.value)]; refresh(); });
    refresh();
  }

  // -- training -----------------------------------------------------------------------------------------------

  function training() {
    const entries = data.training;
    if (!entries.length) return;
    const columns = columnsOf(entries);
    const name = (entry) => `Epoch ${entry.epoch}`;
    const detail = (entry) => `iteration ${entry.iteration}`;
    const wanted = saved.snapshot ? entries.findIndex((e) => `${e.epoch}/${e.iteration}` === saved.snapshot) : -1;
    let index = wanted >= 0 ? wanted : entries.length - 1;
    let column = columns.includes(saved.stripColumn) ? saved.stripColumn : columns[Math.min(1, columns.length - 1)];
    let timer = null;

    const heading = h("strong", { id: "snapshot-name" });
    const under = h("span", { class: "faint" });
    const slider = h("input", { type: "range", id: "snapshot", min: 0, max: entries.length - 1, value: index, "aria-label": "Training snapshot" });
    const play = h("button", { class: "text", id: "play" }, "▶ Play");
    const stripSelect = h("select", { "aria-label": "Column of the strip" }, columns.map((c) => h("option", { value: c }, c)));
    const box = h("div", { class: "card" });
    const strip = h("div", { class: "strip" });
    section("training", "Training", `${entries.length} snapshots`,
      h("div", { class: "tools" }, heading, under, slider, play, columns.length > 1 ? h("span", { class: "tool" }, "Strip shows", stripSelect) : null), box, strip);
    stripSelect.value = column;

    function open(i, which) {
      Lightbox.open(entries.map((e) => ({ title: name(e), detail: detail(e), images: e.images })), i, which, { columns, onMove: select });
    }

    function select(i) {
      index = i;
      // The newest is followed when more arrive; any other stays.
      remember({ snapshot: i === entries.length - 1 ? undefined : `${entries[i].epoch}/${entries[i].iteration}` });
      heading.textContent = name(entries[i]);
      under.textContent = detail(entries[i]);
      slider.value = i;
      box.replaceChildren(shots(entries[i], name(entries[i]), columns, (which) => open(index, which)));
      for (const image of box.querySelectorAll("img")) image.loading = "eager";
      [...strip.children].forEach((child, k) => child.setAttribute("aria-current", String(k === i)));
      const chosen = strip.children[i];
      if (chosen) strip.scrollTo({ left: chosen.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + chosen.offsetWidth / 2 });
    }

    function fillStrip() {
      strip.replaceChildren(...entries.map((entry, i) => h("button", { title: `${name(entry)}, ${detail(entry)}`, onclick: () => select(i) },
        entry.images[column]
          ? h("img", { loading: "lazy", decoding: "async", alt: "", width: entry.images[column].width, height: entry.images[column].height, src: entry.images[column].thumb || entry.images[column].src })
          : h("div", { class: "missing" }, "–"),
        h("span", {}, String(entry.epoch)))));
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "▶ Play";
    }

    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      play.textContent = "❚❚ Pause";
      select(index === entries.length - 1 ? 0 : index);
      timer = setInterval(() => (index < entries.length - 1 ? select(index + 1) : stop()), 400);
    });
    slider.addEventListener("input", () => { stop(); select(Number(slider.value)); });
    stripSelect.addEventListener("change", () => { column = stripSelect.value; remember({ stripColumn: column }); fillStrip(); select(index); });
    fillStrip();
    select(index);
    busy.push(() => timer !== null);
  }

  // -- the rest -----------------------------------------------------------------------------------------------

  function losses() {
    if (!data.losses || !Object.keys(data.losses.series).length) return;
    const steps = data.losses.steps;
    const host = h("div", { class: "card chart" });
    section("losses", "Losses", `step ${steps[steps.length - 1]}`, host);
    Chart.create(host, data.losses, saved.chart || {}, (chart) => remember({ chart }));
  }

  function options() {
    if (!data.options.length) return;
    const details = h("details", { class: "card options" }, h("summary", {}, `All ${data.options.length} options of this run`),
      h("dl", {}, data.options.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value === "" ? "(empty)" : value)))));
    details.open = Boolean(saved.optionsOpen);
    details.addEventListener("toggle", () => remember({ optionsOpen: details.open }));
    section("options", "Options", "", details);
  }

  // -- page ---------------------------------------------------------------------------------------------------

  function ago() {
    const seconds = Math.max(0, Date.now() / 1000 - data.updated);
    for (const [size, unit] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
      const count = Math.floor(seconds / size);
      if (count) return `updated ${count} ${unit}${count > 1 ? "s" : ""} ago`;
    }
    return "updated just now";
  }

  function status() {
    const updated = document.getElementById("updated");
    const tell = () => { updated.textContent = ago(); };
    updated.title = new Date(data.updated * 1000).toLocaleString();
    tell();
    setInterval(tell, 20000);
    if (!data.refresh) return;
    const live = document.getElementById("live");
    const show = () => {
      live.textContent = saved.paused ? "❚❚ paused" : "● live";
      live.title = saved.paused ? "Click to follow the training again" : `Reads itself again every ${data.refresh} s. Click to pause.`;
      live.classList.toggle("paused", Boolean(saved.paused));
    };
    live.hidden = false;
    live.addEventListener("click", () => { remember({ paused: !saved.paused }); show(); });
    show();
    const due = Date.now() + data.refresh * 1000;
    setInterval(() => {
      const typing = ["INPUT", "SELECT"].includes(document.activeElement && document.activeElement.tagName);
      if (Date.now() < due || saved.paused || document.hidden || typing || Lightbox.isOpen() || busy.some((b) => b())) return;
      remember({ scroll: scrollY });
      location.reload();
    }, 1000);
  }

  function theme() {
    const button = document.getElementById("theme");
    let chosen = null;
    try { chosen = localStorage.getItem("gallery:theme"); } catch { /* private windows forbid it */ }
    const dark = () => (chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    const show = () => {
      if (chosen) document.documentElement.dataset.theme = chosen;
      button.textContent = dark() ? "☀" : "☾";
    };
    button.addEventListener("click", () => {
      chosen = dark() ? "light" : "dark";
      try { localStorage.setItem("gallery:theme", chosen); } catch { /* as above */ }
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
  }

  const busy = [];
  theme();
  status();
  for (const note of data.notes) main.append(h("p", { class: "note" }, note));
  results();
  training();
  losses();
  options();
  if (!main.querySelector("section")) main.append(h("p", { class: "nothing" }, "Nothing to see yet: pictures appear here as the run makes them."));
  // The browser scrolls back as far as the page is long at that moment, which may be before it is filled.
  if (saved.scroll) scrollTo({ top: saved.scroll, behavior: "instant" });
  remember({ scroll: undefined });
  document.documentElement.dataset.ready = "true";
})();
