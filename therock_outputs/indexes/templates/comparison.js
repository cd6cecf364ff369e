"use strict";
(async () => {
  const SVG = "http://www.w3.org/2000/svg";
  const PAGE = 50;            // rows that are added to the table at a time
  const MOST = 90;            // cells of one picture; the rest is one cell
  const SMALLEST = 90;        // square pixels that a cell needs to be one of its own
  const HEAD = 18;            // pixels of a cell's heading
  const STEPS = [0.5, 0.1, 0.02];
  const $ = (id) => document.getElementById(id);
  const tools = $("map-tools"), place = $("map"), detail = $("detail");

  // ---- data: [name, before, after] is a file; [name, parts, number, size] all else

  async function read() {
    const text = atob($("data").textContent.trim());
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function build(raw, depth, levels) {
    if (!Array.isArray(raw[1])) {
      const [name, before, after] = raw;
      const had = before >= 0, has = after >= 0;
      const delta = (has ? after : 0) - (had ? before : 0);
      return { name, before: had ? before : 0, after: has ? after : 0, had, has, delta, grown: Math.max(delta, 0), shrunk: Math.max(-delta, 0), gross: Math.abs(delta), files: 1, parts: null };
    }
    const node = { name: raw[0], before: raw[3], after: raw[3], had: raw[2] > 0, has: raw[2] > 0, delta: 0, grown: 0, shrunk: 0, gross: 0, files: raw[2], parts: [], up: null };
    for (const one of raw[1]) {
      const part = build(one, depth + 1, levels);
      part.up = node;
      node.parts.push(part);
      node.before += part.before; node.after += part.after;
      node.delta += part.delta; node.gross += part.gross; node.files += part.files;
      node.grown += part.grown; node.shrunk += part.shrunk;
      node.had ||= part.had; node.has ||= part.has;
    }
    if (raw[2]) {
      node.parts.push({ name: count(raw[2], "file") + " that did not change", before: raw[3], after: raw[3], had: true, has: true, delta: 0, grown: 0, shrunk: 0, gross: 0, files: raw[2], parts: null, up: node });
    }
    // A directory that holds nothing but another one is no step worth going.
    const only = node.parts.length === 1 && node.parts[0];
    if (depth > 0 && only && only.parts) {
      node.name += (depth <= levels ? " › " : "/") + only.name;
      node.parts = only.parts;
      for (const part of node.parts) part.up = node;
    }
    return node;
  }

  // ---- words

  const UNITS = ["kB", "MB", "GB", "TB", "PB"];
  function size(bytes) {
    if (Math.abs(bytes) < 1000) return bytes + " B";
    let value = bytes, unit = -1;
    do { value /= 1000; unit++; } while (Math.abs(Math.round(value * 10) / 10) >= 1000 && unit < UNITS.length - 1);
    return value.toFixed(1) + " " + UNITS[unit];
  }
  const change = (delta) => (delta > 0 ? "+" : "") + size(delta || 0);
  const count = (number, what) => number.toLocaleString("en") + " " + what + (number === 1 ? "" : "s");
  const share = (part) => {
    if (!root.gross) return "–";
    const percent = 100 * part.gross / root.gross;
    return percent === 0 ? "0%" : percent < 0.1 ? "<0.1%" : percent.toFixed(1) + "%";
  };
  const before = (part) => part.had ? size(part.before) : "–";
  const after = (part) => part.has ? size(part.after) : "–";
  function fate(part) {
    if (!part.had) return "new, " + size(part.after);
    if (!part.has) return "gone, was " + size(part.before);
    if (!part.delta) return part.gross ? "as large as before, " + size(part.after) : "no change, " + size(part.after);
    return (part.delta > 0 ? "grew by " : "shrank by ") + size(Math.abs(part.delta)) + ", from " + size(part.before) + " to " + size(part.after);
  }
  const sentence = (part) => part.name + ": " + fate(part) + (part.gross ? "; " + share(part) + " of all that changed" : "");
  /* How much of a part is new, or gone: a scale that holds for a file as for the whole. */
  function tone(part) {
    if (!part.delta) return "z";
    const of = Math.abs(part.delta) / Math.max(part.before, part.after);
    const step = STEPS.findIndex((least) => of > least);
    return (part.delta > 0 ? "g" : "s") + (step < 0 ? 1 : 4 - step);
  }
  /* A part's name where its parent's is seen, too: lib_gfx942 inside of blas. */
  const short = (part) => part.up && part.name.startsWith(part.up.name + "_") ? part.name.slice(part.up.name.length + 1) : part.name;

  // ---- picture: a squarified treemap (Bruls, Huizing, van Wijk, 2000)

  function squarify(items, x, y, width, height) {
    const cells = [];
    let total = items.reduce((sum, item) => sum + item.weight, 0), from = 0;
    while (from < items.length && total > 0) {
      const side = Math.min(width, height), scale = width * height / total;
      let sum = 0, to = from, worst = Infinity;
      while (to < items.length) {
        const next = sum + items[to].weight;
        const row = next * scale / side;
        const largest = items[from].weight * scale / row, smallest = items[to].weight * scale / row;
        const ratio = Math.max(row / smallest, largest / row, row / largest, smallest / row);
        if (to > from && ratio > worst) break;
        worst = ratio; sum = next; to++;
      }
      const thick = sum * scale / side;
      let along = 0;
      for (let i = from; i < to; i++) {
        const long = items[i].weight * scale / thick;
        cells.push(width >= height
          ? { item: items[i], x, y: y + along, width: thick, height: long }
          : { item: items[i], x: x + along, y, width: long, height: thick });
        along += long;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
      total -= sum; from = to;
    }
    return cells;
  }

  let area = "change";
  const weight = (part) => area === "change" ? part.gross : Math.max(part.before, part.after);

  /* The parts that are large enough to be seen, and one that stands for all others. */
  function visible(node, pixels, most) {
    const parts = node.parts.map((part) => ({ part, weight: weight(part) })).filter((item) => item.weight > 0);
    parts.sort((a, b) => b.weight - a.weight);
    const total = parts.reduce((sum, item) => sum + item.weight, 0);
    let keep = parts.findIndex((item, i) => i >= most || item.weight / total * pixels < SMALLEST);
    // A single small one stays, unless it is a hair that nobody could see; the table has it.
    if (keep === parts.length - 1 && keep > 0 && parts[keep].weight / total * pixels < SMALLEST / 6) parts.pop();
    if (keep < 0 || parts.length - keep < 2) keep = parts.length;
    const rest = parts.slice(keep), shown = parts.slice(0, keep);
    if (rest.length) {
      const sum = (key) => rest.reduce((all, item) => all + item.part[key], 0);
      const part = { name: count(rest.length, "smaller part"), before: sum("before"), after: sum("after"), had: rest.some((i) => i.part.had), has: rest.some((i) => i.part.has), delta: sum("delta"), gross: sum("gross"), parts: null };
      shown.push({ part, weight: rest.reduce((all, item) => all + item.weight, 0) });
    }
    return shown;
  }

  function draw(tag, attributes, parent, text) {
    const made = document.createElementNS(SVG, tag);
    for (const name in attributes) made.setAttribute(name, attributes[name]);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  }
  function box(cell, kind, parent) {
    draw("rect", { x: cell.x.toFixed(1), y: cell.y.toFixed(1), width: Math.max(cell.width, 0).toFixed(1), height: Math.max(cell.height, 0).toFixed(1), class: kind }, parent);
  }
  const pen = document.createElement("canvas").getContext("2d");
  function fit(text, width, bold) {
    pen.font = (bold ? "600 " : "") + '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    if (pen.measureText(text).width <= width) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(text.slice(0, middle) + "…").width <= width) low = middle; else high = middle - 1;
    }
    return low < 3 ? "" : text.slice(0, low) + "…";
  }
  /* A name may be cut, a number never: it is whole or it is not there. */
  function label(cell, part, kind, parent, lines) {
    const room = cell.width - 10, number = change(part.delta);
    const write = (text, line, style) => draw("text", { x: (cell.x + 5).toFixed(1), y: (cell.y + 13 + 15 * line).toFixed(1), class: style + "on-" + kind }, parent, text);
    const whole = fit(number, room, false) === number;
    if (lines > 1) {
      const name = fit(short(part), room, true);
      if (name) write(name, 0, "title ");
      if (whole && part.delta) write(number, name ? 1 : 0, "");
      return;
    }
    const both = short(part) + "  " + number;
    const name = part.delta && fit(both, room, true) === both ? both : fit(short(part), room, true);
    if (name) write(name, 0, "title ");
  }
  /* What a cell holds: its parts, and theirs where there is room; else its colour and name. */
  function fill(cell, group, levels) {
    const part = cell.item.part, kind = tone(part);
    if (levels && part.parts && part.gross + part.after && cell.width > 70 && cell.height > 56) {
      const inside = { x: cell.x + 3, y: cell.y + HEAD, width: cell.width - 6, height: cell.height - HEAD - 3 };
      const inner = squarify(visible(part, inside.width * inside.height / 3, 40), inside.x, inside.y, inside.width, inside.height);
      for (const one of inner) {
        box(one, "inner " + tone(one.item.part), group);
        fill(one, group, one.width > 150 && one.height > 110 ? levels - 1 : 0);
      }
      label(cell, part, kind, group, 1);
      return;
    }
    if (kind[0] === "s") box(cell, "hatch", group);
    if (cell.width > 34 && cell.height > 17) label(cell, part, kind, group, cell.height > 34 ? 2 : 1);
  }

  let cells = [];
  function picture() {
    const width = place.clientWidth;
    const height = Math.round(width < 560 ? width * 1.15 : Math.min(Math.max(width * 0.5, 340), 560));
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, preserveAspectRatio: "xMinYMin", role: "group", "aria-label": "Map of " + crumb(here) + ": " + fate(here) });
    cells = squarify(visible(here, width * height, MOST), 0, 0, width, height);
    cells.forEach((cell, i) => {
      const part = cell.item.part, kind = tone(part), deep = Boolean(part.parts);
      const group = draw("g", { class: deep ? "cell" : "cell leaf", tabindex: i ? -1 : 0, role: deep ? "button" : "img", "aria-label": sentence(part) }, svg);
      draw("title", {}, group, sentence(part));
      box(cell, "base " + kind, group);
      fill(cell, group, 2);
      box({ x: cell.x + 2, y: cell.y + 2, width: cell.width - 4, height: cell.height - 4 }, "ring", group);
      cell.group = group;
      group.addEventListener("click", () => enter(part, true));
      group.addEventListener("focus", () => { choose(i); detail.textContent = sentence(part); });
      group.addEventListener("pointerenter", () => { detail.textContent = sentence(part); });
    });
    if (!cells.length) {
      draw("text", { x: 10, y: 24 }, svg, area === "change" ? "No size changed here." : "There is nothing here.");
    }
    place.replaceChildren(svg);
  }
  function choose(index) {
    cells.forEach((cell, i) => cell.group.setAttribute("tabindex", i === index ? 0 : -1));
  }

  /* The nearest cell in a direction: what lies that way, the straightest first. */
  function neighbour(index, dx, dy) {
    const middle = (cell) => [cell.x + cell.width / 2, cell.y + cell.height / 2];
    const [x, y] = middle(cells[index]);
    let best = -1, least = Infinity;
    cells.forEach((cell, i) => {
      const [cx, cy] = middle(cell);
      const ahead = (cx - x) * dx + (cy - y) * dy, aside = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
      const distance = ahead + 2 * aside;
      if (i !== index && ahead > 1 && distance < least) { best = i; least = distance; }
    });
    return best;
  }
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  place.addEventListener("keydown", (event) => {
    const index = cells.findIndex((cell) => cell.group === document.activeElement);
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape" || event.key === "Backspace") {
      if (here.up) enter(here.up, true, here);
    } else if (index >= 0 && (event.key === "Enter" || event.key === " ")) {
      enter(cells[index].item.part, true);
    } else if (index >= 0 && ARROWS[event.key]) {
      const next = neighbour(index, ...ARROWS[event.key]);
      if (next >= 0) cells[next].group.focus();
    } else if (index >= 0 && (event.key === "Home" || event.key === "End")) {
      cells[event.key === "Home" ? 0 : cells.length - 1].group.focus();
    } else {
      return;
    }
    event.preventDefault();
  });

  // ---- the place in the map, and the table that says the same

  const crumb = (part) => part.up ? part.name : "everything";
  function crumbs() {
    const list = [];
    for (let part = here; part; part = part.up) list.unshift(part);
    $("crumbs").replaceChildren(...list.map((part) => {
      const item = document.createElement("li");
      if (part === here) {
        item.textContent = crumb(part);
        item.setAttribute("aria-current", "location");
      } else {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = crumb(part);
        button.addEventListener("click", () => enter(part, true));
        item.append(button);
      }
      return item;
    }));
  }
  let rows = [], shown = 0;
  function table() {
    rows = [...here.parts].sort((a, b) => Math.abs(b.delta) - Math.abs(a.delta) || b.gross - a.gross || b.after - a.after || (a.name < b.name ? -1 : 1));
    shown = 0;
    $("parts").replaceChildren();
    $("parts-caption").textContent = "Parts of " + crumb(here) + ", the largest change first: " + fate(here);
    more();
  }
  function more() {
    const added = rows.slice(shown, shown + PAGE).map((part) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      if (part.parts) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = part.name;
        button.addEventListener("click", () => enter(part, true));
        head.append(button);
      } else {
        head.textContent = part.name;
      }
      row.append(head);
      const kind = part.delta > 0 ? " change grew" : part.delta < 0 ? " change shrank" : "";
      for (const [text, style] of [[change(part.delta), kind], [part.grown ? change(part.grown) : "–", ""], [part.shrunk ? change(-part.shrunk) : "–", ""], [before(part), ""], [after(part), ""]]) {
        const cell = document.createElement("td");
        cell.className = "number" + style;
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    });
    $("parts").append(...added);
    shown += added.length;
    const left = rows.length - shown;
    $("more").hidden = left <= 0;
    $("more").textContent = "Show more (" + count(left, "part") + " left)";
    return added[0];
  }
  $("more").addEventListener("click", () => {
    const first = more();
    if ($("more").hidden && first) { first.tabIndex = -1; first.focus(); }
  });

  function enter(part, focus, from) {
    if (!part.parts) return;
    here = part;
    crumbs(); picture(); table();
    detail.textContent = crumb(here) + ": " + fate(here);
    if (focus && cells.length) {
      const back = cells.findIndex((cell) => cell.item.part === from);
      cells[Math.max(back, 0)].group.focus({ preventScroll: true });
    }
  }

  let root, here;
  tools.hidden = false;
  try {
    const data = await read();
    root = here = build(data.root, 0, data.levels);
    if (!root.parts) root.parts = [];
  } catch (error) {
    tools.replaceChildren("This browser cannot unpack the map's data; the tables of this page say what changed without it.");
    document.documentElement.dataset.map = "failed";
    return;
  }
  for (const choice of document.querySelectorAll("input[name=area]")) {
    choice.addEventListener("change", () => { area = choice.value; picture(); });
  }
  enter(root, false);
  detail.textContent = "";
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth && place.clientWidth !== width) { width = place.clientWidth; picture(); }
  }).observe(place);
  document.documentElement.dataset.map = "ready";
})();
