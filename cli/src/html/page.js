"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (name, text, of = {}) => Object.assign(document.createElement(name), { textContent: text ?? "" }, of);
  const DAY = 86400, now = data.now_unix_s;

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 999.5 && unit < 4) { bytes /= 1024; unit += 1; }
    return unit === 0 ? bytes + " B" : (bytes < 9.995 ? bytes.toFixed(2) : bytes < 99.95 ? bytes.toFixed(1) : bytes.toFixed(0)) + " " + units[unit];
  };
  const span = (ms) => ms < 1000 ? ms + " ms" : ms < 60000 ? (ms / 1000).toFixed(1) + " s" : Math.floor(ms / 60000) + " min";
  const days = (seconds) => Math.floor(now / DAY) - Math.floor(seconds / DAY);
  const ago = (seconds) => { const n = days(seconds); return n < 0 ? "in the future" : n === 0 ? "today" : n === 1 ? "yesterday" : n + " d ago"; };
  const date = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

  const AGES = [[0, "today"], [7, "within a week"], [30, "within a month"], [90, "within three months"], [Infinity, "longer ago"]];
  const ageOf = (seconds) => AGES.findIndex(([most]) => days(seconds) <= most);

  document.title = "plugcache " + data.verb + ": " + data.dir;
  $("verb").textContent = data.verb;
  for (const [what, text] of [["directory", data.dir], ["written", new Date(now * 1000).toISOString().replace("T", " ").slice(0, 16) + " UTC"], ...data.facts]) {
    if (what === "store") continue;
    const pair = make("div");
    pair.append(make("dt", what), make("dd", text));
    $("facts").append(pair);
  }
  AGES.forEach(([, name], age) => {
    const item = make("li", name);
    const box = make("i");
    box.style.background = `var(--age${age})`;
    item.prepend(box);
    $("legend").append(item);
  });

  // One box per label. The smallest of very many share one, or nobody could see or reach them.
  const groups = new Map();
  for (const entry of data.entries) {
    const group = groups.get(entry.label) ?? { label: entry.label, bytes: 0, entries: 0, used: 0 };
    groups.set(entry.label, group);
    group.bytes += entry.bytes;
    group.entries += 1;
    group.used = Math.max(group.used, entry.last_used_unix_s);
  }
  const BOXES = 150;
  let boxes = [...groups.values()].filter((group) => group.bytes > 0).sort((a, b) => b.bytes - a.bytes);
  if (boxes.length > BOXES) {
    const rest = boxes.splice(BOXES - 1);
    const sum = (of) => rest.reduce((total, group) => total + group[of], 0);
    boxes.push({ label: null, name: rest.length + " more labels", bytes: sum("bytes"), entries: sum("entries"), used: Math.max(...rest.map((group) => group.used)) });
  }

  // Squarified: rows along the shorter side, each as long as that keeps its boxes near squares.
  const squarify = (items, x, y, width, height) => {
    const total = items.reduce((sum, item) => sum + item.bytes, 0);
    const areas = items.map((item) => ({ item, area: item.bytes * width * height / total }));
    const placed = [];
    while (areas.length) {
      const side = Math.min(width, height);
      const worst = (row) => {
        const sum = row.reduce((all, one) => all + one.area, 0), thick = sum / side;
        return Math.max(...row.map(({ area }) => Math.max(thick * thick / area, area / (thick * thick))));
      };
      const row = [areas.shift()];
      while (areas.length && worst([...row, areas[0]]) <= worst(row)) row.push(areas.shift());
      const thick = row.reduce((all, one) => all + one.area, 0) / side;
      let along = 0;
      for (const { item, area } of row) {
        const long = area / thick;
        placed.push(width >= height ? { item, x, y: y + along, w: thick, h: long } : { item, x: x + along, y, w: long, h: thick });
        along += long;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    }
    return placed;
  };

  let chosen = null;
  const buttons = [];
  const choose = (label) => {
    chosen = chosen === label ? null : label;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(chosen !== null && button.label === chosen)));
    showAll = false;
    fill();
  };
  const drawMap = () => {
    const map = $("map");
    const { clientWidth: width, clientHeight: height } = map;
    if (!buttons.length) {
      for (const group of boxes) {
        const button = make("button", "", { type: "button", label: group.label });
        const name = group.label ?? group.name;
        const entries = group.entries + (group.entries === 1 ? " entry" : " entries");
        button.append(make("b", name), size(group.bytes));
        button.title = `${name}\n${size(group.bytes)}, ${entries}, last used ${ago(group.used)}`;
        button.setAttribute("aria-label", button.title.replaceAll("\n", ", "));
        button.setAttribute("aria-pressed", "false");
        button.style.background = `var(--age${ageOf(group.used)})`;
        button.style.color = `var(--on${ageOf(group.used)})`;
        button.tabIndex = buttons.length ? -1 : 0;
        button.addEventListener("click", () => choose(group.label));
        buttons.push(button);
        map.append(button);
      }
    }
    squarify(boxes, 0, 0, width, height).forEach(({ x, y, w, h }, place) => {
      const style = buttons[place].style;
      [style.left, style.top, style.width, style.height] = [x, y, w, h].map((n) => n + "px");
      // A name that cannot be read is better not begun.
      const small = w < 34 || h < 20;
      style.fontSize = small ? "0" : "";
      style.padding = small ? "0" : "";
    });
  };
  $("map").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (at < 0) return;
    const to = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : step ? at + step : -1;
    if (!buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  });

  const drawChart = () => {
    const counted = data.days.length > 0;
    const series = counted ? data.days.map(({ day, hits, misses }) => ({ day, one: hits, two: misses })) : (() => {
      const count = new Map();
      const add = (seconds, of) => {
        const day = Math.floor(seconds / DAY);
        const at = count.get(day) ?? { day, one: 0, two: 0 };
        at[of] += 1;
        count.set(day, at);
      };
      data.entries.forEach((entry) => { add(entry.last_used_unix_s, "one"); add(entry.made_unix_ms / 1000, "two"); });
      return [...count.values()];
    })();
    const NAMES = counted ? [["one", "hits"], ["two", "misses"]] : [["one", "last used"], ["two", "built"]];
    $("timehint").textContent = counted
      ? "Finds by the day on which they were written down: hits, and misses, each of which cost a build."
      : "Nobody has counted here yet. Of the entries that are there: for how many a day was that of their last use, and how many were built on it.";
    if (!series.length) return;
    const NS = "http://www.w3.org/2000/svg", W = 1100, H = 200, LEFT = 44, BOTTOM = 22, TOP = 22;
    const draw = (name, attributes, text) => {
      const element = document.createElementNS(NS, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (text !== undefined) element.textContent = text;
      return element;
    };
    const today = Math.floor(now / DAY);
    const first = Math.max(Math.min(...series.map(({ day }) => day), today - 13), today - 364);
    const shown = series.filter(({ day }) => day >= first && day <= today);
    const most = Math.max(1, ...shown.map(({ one, two }) => Math.max(one, two)));
    const wide = (W - LEFT) / (today - first + 1), high = (n) => n / most * (H - BOTTOM - TOP);
    const sum = (of) => shown.reduce((all, at) => all + at[of], 0);
    const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `From ${date(first * DAY)} to ${date(today * DAY)}: ${NAMES.map(([of, name]) => `${sum(of)} ${name}`).join(", ")}` });
    svg.append(draw("line", { class: "axis", x1: LEFT, x2: W, y1: H - BOTTOM, y2: H - BOTTOM }), draw("text", { x: LEFT - 6, y: TOP + 8, "text-anchor": "end" }, most), draw("text", { x: LEFT - 6, y: H - BOTTOM, "text-anchor": "end" }, 0));
    svg.append(draw("text", { x: LEFT, y: H - 6 }, date(first * DAY)), draw("text", { x: W, y: H - 6, "text-anchor": "end" }, date(today * DAY)));
    NAMES.forEach(([of, name], place) => {
      svg.append(draw("rect", { x: LEFT + place * 90, y: 2, width: 10, height: 10, fill: `var(--${of})` }), draw("text", { x: LEFT + place * 90 + 14, y: 11 }, name));
      for (const at of shown) {
        if (!at[of]) continue;
        const bar = draw("rect", { x: LEFT + (at.day - first) * wide + place * wide * 0.42 + wide * 0.08, y: H - BOTTOM - high(at[of]), width: Math.min(wide * 0.42, 40), height: high(at[of]), fill: `var(--${of})` });
        bar.append(draw("title", {}, `${date(at.day * DAY)}: ${at[of]} ${name}`));
        svg.append(bar);
      }
    });
    $("chart").append(svg);
  };

  const COLUMNS = [
    { name: "Label", of: (e) => e.label, show: (e) => e.label },
    { name: "Size", of: (e) => e.bytes, show: (e) => size(e.bytes), exact: (e) => e.bytes + " bytes", number: true },
    { name: "Files", of: (e) => e.outputs.length, show: (e) => e.outputs.length, number: true },
    { name: "Build", of: (e) => e.cost_ms, show: (e) => span(e.cost_ms), number: true },
    { name: "Made", of: (e) => e.made_unix_ms, show: (e) => ago(e.made_unix_ms / 1000), exact: (e) => new Date(e.made_unix_ms).toISOString(), number: true },
    { name: "Last used", of: (e) => e.last_used_unix_s, show: (e) => ago(e.last_used_unix_s), exact: (e) => date(e.last_used_unix_s), number: true },
    { name: "Key", of: (e) => e.key, show: (e) => e.key.slice(0, 12), exact: (e) => e.key, key: true },
  ];
  const ROWS = 500;
  let by = 1, down = true, showAll = false;
  const head = COLUMNS.map((column, place) => {
    const cell = make("th", "", { scope: "col" });
    const button = make("button", column.name, { type: "button" });
    button.addEventListener("click", () => {
      down = by === place ? !down : Boolean(column.number);
      by = place;
      fill();
    });
    cell.append(button);
    if (column.number) button.classList.add("number");
    $("head").append(cell);
    return cell;
  });
  const fill = () => {
    const wanted = $("filter").value.toLowerCase();
    const { of } = COLUMNS[by];
    const found = data.entries.filter((e) => (chosen === null || e.label === chosen) && (e.label.toLowerCase().includes(wanted) || e.key.startsWith(wanted)));
    found.sort((a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0) * (down ? -1 : 1));
    head.forEach((cell, place) => {
      cell.setAttribute("aria-sort", place !== by ? "none" : down ? "descending" : "ascending");
      cell.firstChild.textContent = COLUMNS[place].name + (place !== by ? "" : down ? " ▾" : " ▴");
    });
    const shown = showAll ? found : found.slice(0, ROWS);
    $("rows").replaceChildren(...shown.map((entry) => {
      const row = make("tr");
      for (const column of COLUMNS) {
        const cell = make("td", column.show(entry), { className: column.number ? "number" : column.key ? "key" : "" });
        if (column.exact) cell.title = column.exact(entry);
        row.append(cell);
      }
      return row;
    }));
    const bytes = found.reduce((sum, entry) => sum + entry.bytes, 0);
    $("count").textContent = `${found.length} of ${data.entries.length}` + (shown.length < found.length ? `, the first ${shown.length} shown` : "") + `, ${size(bytes)}` + (chosen === null ? "" : `, only “${chosen}”`);
    $("all").hidden = shown.length === found.length;
  };
  $("filter").addEventListener("input", () => { showAll = false; fill(); });
  $("all").addEventListener("click", () => { showAll = true; fill(); });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") { $("filter").value = ""; chosen = null; choose(null); }
    if (event.key === "/" && document.activeElement !== $("filter")) { event.preventDefault(); $("filter").focus(); }
  });
  drawChart();
  fill();
  drawMap();
  // Also when a scroll bar takes some of the width.
  new ResizeObserver(drawMap).observe($("map"));
})();
