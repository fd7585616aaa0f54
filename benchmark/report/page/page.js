"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (what, where = document) => [...where.querySelectorAll(what)];

  // ---- light and dark
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  dark.addEventListener("change", label);
  label();

  // ---- sorting: a click on a column's head; numbers where all are numbers, missing ones last in either direction
  const key = (cell) => (cell && cell.dataset.v !== undefined && cell.dataset.v !== "" ? cell.dataset.v : null);
  function sort(head) {
    const table = head.closest("table"), body = table.tBodies[0];
    const at = head.cellIndex, rows = [...body.rows];
    const keys = new Map(rows.map((row) => [row, key(row.cells[at])]));
    const known = [...keys.values()].filter((value) => value !== null);
    const numeric = known.every((value) => !Number.isNaN(Number(value)));
    const down = head.ariaSort ? head.ariaSort === "ascending" : numeric && !head.dataset.up;
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = (a, b) => {
      const x = keys.get(a), y = keys.get(b);
      if (x === null || y === null) return (x === null) - (y === null);
      const found = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return down ? -found : found;
    };
    body.append(...rows.sort(order));
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    if (button) sort(button.closest("th"));
  });

  // ---- filtering rows, choosing columns
  for (const tool of all(".tool")) {
    const table = tool.querySelector("table"), said = tool.querySelector("[data-said]");
    const rows = [...table.tBodies[0].rows], filter = tool.querySelector("[data-filter]");
    filter?.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = [...row.cells].filter((cell, i) => i === 0 || !cell.classList.contains("number"))
          .map((cell) => cell.textContent.toLowerCase()).join(" ");
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      said.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
    const boxes = all("[data-group]", tool), count = tool.querySelector("[data-count]");
    const cells = all("[data-in]", table), heads = all("thead th", table);
    const counted = () => {
      if (count) count.textContent = `(${heads.filter((head) => !head.hidden).length} of ${heads.length})`;
    };
    boxes.forEach((box) => box.addEventListener("change", () => {
      cells.filter((cell) => cell.dataset.in === box.dataset.group && cell.cellIndex > 0)
        .forEach((cell) => { cell.hidden = !box.checked; });
      counted();
    }));
    counted();
  }
  document.addEventListener("click", (event) => {
    all("details.columns[open]").filter((one) => !one.contains(event.target)).forEach((one) => { one.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    const one = event.key === "Escape" && event.target.closest("details.columns[open]");
    if (one) { one.open = false; one.querySelector("summary").focus(); }
  });

  // ---- the samples behind a cell of the matrix
  const panel = document.getElementById("panel"), body = document.getElementById("panel-table");
  const only = panel.querySelector("[data-broken]"), more = document.getElementById("panel-more");
  const STATES = ["held", "broken", "wrong before", "no verdict"], FIRST = 200;
  const named = (k) => (k === null || k === undefined || k < 0 ? "–" : data.classes[k] ?? String(k));
  const digits = (value) => (value === null || value === undefined ? "–" : String(value).replace("-", "−"));
  const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
  const COLUMNS = [
    ["state", "", String], ["label", "label", named], ["before", "clean", named], ["pred", "prediction", named],
    ...data.measured.map(([name, words]) => [name, words, digits]),
    ["norm", "norm", digits], ["margin", "margin", digits], ["sure", "confidence before", percent],
    ["now", "confidence after", percent], ["views", "views broken", percent],
  ];
  const NAMES = new Set(["state", "label", "before", "pred"]);
  let current = null, from = null;

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }
  function thumb(sheet, sample, what) {
    const at = sheet && sheet.of.indexOf(sample);
    if (!sheet || at < 0) return null;
    const scale = Math.max(1, Math.floor(44 / Math.max(sheet.w, sheet.h)));
    const [w, h] = [sheet.w * scale, sheet.h * scale];
    const made = element("span", undefined, { class: "thumb", role: "img", "aria-label": `${what} ${sample}` });
    const lines = Math.ceil(sheet.n / sheet.across);
    Object.assign(made.style, {
      width: `${w}px`, height: `${h}px`, backgroundImage: `url(${sheet.uri})`,
      backgroundSize: `${Math.min(sheet.n, sheet.across, 32) * w}px ${lines * h}px`,
      backgroundPosition: `${-(at % sheet.across) * w}px ${-Math.floor(at / sheet.across) * h}px`,
    });
    return made;
  }
  function headline(name, text, sorted) {
    const head = element("th", undefined, { scope: "col" });
    if (name && !NAMES.has(name)) head.className = "number";
    if (sorted) head.setAttribute("aria-sort", sorted);
    const button = element("button", undefined, { type: "button", "data-sort": "" });
    button.append(element("span", text));
    head.append(button);
    return head;
  }
  function fill(limit) {
    const cell = data.cells[current];
    const [model, attack] = current.split("|");
    const about = data.attacks[attack];
    const states = cell.made ? ["not taken", "taken for it", "", "no verdict"] : STATES;
    const columns = COLUMNS.filter(([name]) => cell[name] && (name !== "state" || data.breaks || cell.state.some((s) => s)));
    const pictures = cell.thumbs || null;
    const rows = cell.s.map((id, i) => i).filter((i) => !only.checked || cell.state[i] === 1);
    const shown = rows.slice(0, limit);
    const top = element("thead"), line = element("tr"), list = element("tbody");
    line.append(headline("", "sample", ""));
    for (const [name, text] of columns) {
      const words = name === "norm" && about.norm ? `${about.norm} norm` : text || "outcome";
      line.append(headline(name, words, name !== cell.by ? "" : data.breaks ? "ascending" : "descending"));
    }
    top.append(line);
    for (const i of shown) {
      const row = element("tr"), id = data.samples[cell.s[i]];
      const first = element("th", undefined, { scope: "row", "data-v": id });
      for (const one of [thumb(data.clean, id, "clean input"), thumb(pictures, id, "perturbed input")]) if (one) first.append(one);
      first.append(id);
      row.append(first);
      for (const [name, , text] of columns) {
        const value = cell[name][i], made = element("td", name === "state" ? states[value] : text(value));
        if (value !== null && value !== undefined) made.dataset.v = NAMES.has(name) && name !== "state" ? named(value) : value;
        if (!NAMES.has(name)) made.className = "number";
        if (name === "state") made.className = `state-${value}`;
        row.append(made);
      }
      list.append(row);
    }
    const caption = element("caption", `Samples of ${model} under ${attack}`, { class: "unseen" });
    body.replaceChildren(caption, top, list);
    const cut = cell.of > cell.s.length ? `, the first ${cell.s.length} of ${cell.of} on this page` : "";
    document.getElementById("panel-count").textContent =
      (rows.length > shown.length ? `the first ${shown.length} of ${rows.length} samples` : `${rows.length} samples`) + cut;
    more.hidden = rows.length <= shown.length;
  }
  function open(name, focus) {
    const cell = data.cells[name];
    if (!cell) return;
    const [model, attack] = name.split("|"), about = data.attacks[attack];
    current = name;
    from = focus || all("[data-open]").find((button) => button.dataset.open === name) || null;
    document.getElementById("panel-title").textContent = `${model} under ${about.name}` + (about.eps ? `, ${about.norm || "budget"} ${about.eps}` : "");
    document.getElementById("panel-words").textContent = `${cell.w}.`;
    const broken = cell.state.filter((state) => state === 1).length;
    document.getElementById("panel-broken").hidden = !data.breaks || cell.made;
    only.checked = data.breaks && !cell.made && broken > 0;
    fill(FIRST);
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
    document.getElementById("panel-close").focus();
    history.replaceState(null, "", `#sample=${encodeURIComponent(name)}`);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-open]");
    if (button) open(button.dataset.open, button);
    if (event.target === panel) panel.close();
  });
  document.getElementById("panel-close").addEventListener("click", () => panel.close());
  only.addEventListener("change", () => fill(FIRST));
  more.addEventListener("click", () => { fill(Infinity); });
  panel.addEventListener("close", () => {
    history.replaceState(null, "", location.pathname + location.search);
    if (from) from.focus();
  });
  function fromAddress() {
    const found = /^#sample=(.+)$/.exec(location.hash);
    if (found) { try { open(decodeURIComponent(found[1])); } catch { /* not an address of this page */ } }
  }
  addEventListener("hashchange", fromAddress);
  fromAddress();
})();
