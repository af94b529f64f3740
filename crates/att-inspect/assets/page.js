"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const ROWS = 200;
const MAX_LABEL = 24;

/* The list: what is shown, in which order, and how much of it. */

const columns = [
  { name: "#", of: (s) => s.place },
  { name: "output", of: (s) => s.text, text: true },
  { name: "tokens", of: (s) => s.src.length },
  { name: "entropy", of: (s) => s.entropy[view] },
  { name: "score", of: (s) => s.score },
];
let view = 0;
let order = { column: columns[0], down: false };
let limit = ROWS;
let listed = [];
let chosen = null;

data.sentences.forEach((sentence, place) => {
  sentence.place = place;
  sentence.haystack = [sentence.text, ...sentence.src, ...sentence.tgt].join(" ").toLowerCase();
});

/** The number in a field; `other` where there is none. */
function numberIn(id, other) {
  const text = $(id).value;
  return text === "" || Number.isNaN(Number(text)) ? other : Number(text);
}

function list() {
  const find = $("find").value.trim().toLowerCase();
  const [shortest, longest] = [numberIn("length-min", 0), numberIn("length-max", Infinity)];
  const [sharpest, flattest] = [numberIn("entropy-min", 0), numberIn("entropy-max", Infinity)];
  const best = numberIn("score-max", null);
  listed = data.sentences.filter((s) =>
    s.haystack.includes(find) &&
    s.src.length >= shortest && s.src.length <= longest &&
    s.entropy[view] >= sharpest && s.entropy[view] <= flattest &&
    (best === null || (s.score !== null && s.score <= best)));
  const { column, down } = order;
  const compare = (a, b) => {
    const [x, y] = [column.of(a), column.of(b)];
    // What has no score comes last, whichever way the others go.
    if (x === null || y === null) return (x === null) - (y === null);
    const ahead = column.text ? x.localeCompare(y) : x - y;
    return down ? -ahead : ahead;
  };
  listed.sort((a, b) => compare(a, b) || a.place - b.place);
  const many = (n) => n.toLocaleString("en");
  const mean = listed.reduce((sum, s) => sum + s.entropy[view], 0) / Math.max(1, listed.length);
  $("shown").textContent =
    `${many(listed.length)} of ${many(data.sentences.length)} sentences, mean entropy ${mean.toFixed(3)}`;
  rows();
}

function rows() {
  const body = document.querySelector("tbody");
  body.replaceChildren(...listed.slice(0, limit).map((sentence) => {
    const row = document.createElement("tr");
    row.sentence = sentence;
    for (const column of columns) {
      const cell = row.insertCell();
      const value = column.of(sentence);
      if (column.text) {
        cell.className = "text";
        const text = document.createElement("div");
        text.dir = "auto";
        text.textContent = value;
        cell.append(text);
        if (sentence.model !== null) {
          const model = document.createElement("small");
          model.textContent = sentence.model;
          cell.append(model);
        }
      } else if (column.name === "#") {
        cell.textContent = sentence.id;
      } else if (column.name === "tokens") {
        cell.textContent = `${value} → ${sentence.tgt.length}`;
      } else {
        cell.textContent = value === null ? "" : value.toFixed(2);
      }
    }
    return row;
  }));
  $("more").hidden = listed.length <= limit;
  mark();
}

/** Shows in the list which sentence is chosen. */
function mark() {
  const all = [...document.querySelectorAll("tbody tr")];
  const current = all.find((row) => row.sentence === chosen) ?? all[0];
  for (const row of all) {
    row.tabIndex = row === current ? 0 : -1;
    row.toggleAttribute("aria-current", row.sentence === chosen);
  }
  return current;
}

$("columns").replaceChildren(...columns.map((column) => {
  const head = document.createElement("th");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = column.name;
  head.className = column.text ? "text" : "";
  head.append(button);
  const show = () => {
    const way = order.down ? "descending" : "ascending";
    if (order.column === column) head.setAttribute("aria-sort", way);
    else head.removeAttribute("aria-sort");
  };
  button.addEventListener("click", () => {
    // Flat attention first; short sentences and bad scores first.
    const first = column.name === "entropy";
    order = { column, down: order.column === column ? !order.down : first };
    document.dispatchEvent(new Event("ordered"));
    list();
  });
  document.addEventListener("ordered", show);
  show();
  return head;
}));

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("input", () => { limit = ROWS; list(); });
// The fields are empty only after the event.
$("filters").addEventListener("reset", () => setTimeout(list));
$("more").addEventListener("click", () => { limit += ROWS; rows(); });

document.querySelector("tbody").addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row) choose(row.sentence);
});
document.querySelector("tbody").addEventListener("keydown", (event) => {
  const row = event.target.closest("tr");
  const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling, Enter: row }[event.key];
  if (!next) return;
  event.preventDefault();
  choose(next.sentence);
  next.focus();
});

function step(by) {
  const next = listed[listed.indexOf(chosen) + by];
  if (!next) return;
  choose(next);
  reveal();
}

/** Scrolls the list, and nothing else, to the chosen sentence. */
function reveal() {
  const place = listed.indexOf(chosen);
  if (place >= limit) {
    limit = place + ROWS;
    rows();
  }
  const [row, box] = [mark(), $("rows")];
  const above = row.offsetTop - document.querySelector("thead").offsetHeight;
  const below = row.offsetTop + row.offsetHeight - box.clientHeight;
  box.scrollTop = Math.min(Math.max(box.scrollTop, below), above);
}

$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));

/* The chosen sentence. */

/** Weights 0 to 1, row after row, of the chosen view. */
let weights = [];
/** The weight with the last colour: 1, or the greatest, so that flat attention shows its structure. */
let strongestWeight = 1;
/** What is lit: `{ t, s }`, a target word, a source word, or both for a cell. */
let lit = null;
/** Whether it stays lit when the pointer leaves. */
let pinned = false;

const weight = (t, s) => weights[t * chosen.src.length + s];

function choose(sentence) {
  chosen = sentence;
  [lit, pinned] = [null, false];
  const model = sentence.model === null ? "" : `, ${sentence.model}`;
  $("name").textContent = sentence.id === "" ? sentence.text : `${sentence.id}${model}: ${sentence.text}`;
  $("name").dir = "auto";
  words("src", sentence.src, (s) => ({ s }));
  words("tgt", sentence.tgt, (t) => ({ t }));
  $("map").setAttribute("aria-label",
    `Heat map of ${sentence.tgt.length} target words by ${sentence.src.length} source words`);
  mark();
  look();
  // Browsers refuse an address in a frame that has none, and too many new ones in a short time.
  try { history.replaceState(null, "", `#${sentence.place}`); } catch { /* the page does without */ }
}

/** Reads the weights of the chosen view. */
function look() {
  weights = Array.from(atob(chosen.weights[view]), (byte) => byte.charCodeAt(0) / 255);
  const greatest = weights.reduce((most, w) => Math.max(most, w), 0);
  strongestWeight = $("stretch").checked && greatest > 0 ? greatest : 1;
  light(lit);
}

function words(id, tokens, place) {
  const line = $(id);
  // The order of words is that of their script: words with a `dir` of their own would not count for it, so their
  // own direction is in the style.
  line.dir = "auto";
  line.replaceChildren(...tokens.map((token, i) => {
    const word = document.createElement("button");
    word.type = "button";
    word.className = "word";
    word.textContent = token;
    word.tabIndex = i === 0 ? 0 : -1;
    word.addEventListener("pointerenter", (event) => { if (!pinned && event.pointerType === "mouse") light(place(i)); });
    word.addEventListener("pointerleave", (event) => { if (!pinned && event.pointerType === "mouse") light(null); });
    word.addEventListener("focus", () => { if (!pinned) light(place(i)); });
    word.addEventListener("blur", () => { if (!pinned) light(null); });
    word.addEventListener("click", () => {
      const again = pinned && JSON.stringify(lit) === JSON.stringify(place(i));
      pinned = !again;
      light(place(i));
    });
    return word;
  }));
  line.onkeydown = (event) => {
    const forward = getComputedStyle(line).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const backward = forward === "ArrowLeft" ? "ArrowRight" : "ArrowLeft";
    const all = [...line.children];
    const at = all.indexOf(document.activeElement);
    const to = { [forward]: at + 1, [backward]: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape") { pinned = false; light(null); }
    if (all[to] === undefined) return;
    event.preventDefault();
    all[at].tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
    if (pinned) light(id === "src" ? { s: to } : { t: to });
  };
}

/** The strongest first, as text. */
function strongest(names, of) {
  const found = names.map((name, i) => [name, of(i)]).filter(([, w]) => w >= 0.05);
  found.sort((a, b) => b[1] - a[1]);
  return found.slice(0, 5).map(([name, w]) => `\u2068${name}\u2069 ${w.toFixed(2)}`).join(", ") || "nothing";
}

/** Lights what belongs to a word or cell. */
function light(place) {
  lit = place;
  const { src, tgt } = chosen;
  const [t, s] = [place?.t, place?.s];
  const cell = t !== undefined && s !== undefined;
  [...$("src").children].forEach((word, i) => {
    paint(word, t === undefined ? null : weight(t, i), i === s);
  });
  [...$("tgt").children].forEach((word, i) => {
    paint(word, s === undefined ? null : weight(i, s), i === t);
  });
  const name = (token) => `\u2068${token}\u2069`;
  if (cell) $("says").textContent = `${name(tgt[t])} looks at ${name(src[s])}: ${weight(t, s).toFixed(2)}`;
  else if (t !== undefined) $("says").textContent = `${name(tgt[t])} looks at ${strongest(src, (i) => weight(t, i))}`;
  else if (s !== undefined) $("says").textContent = `${name(src[s])} is looked at by ${strongest(tgt, (i) => weight(i, s))}`;
  else $("says").textContent = "";
  draw();
}

function paint(word, w, isChosen) {
  word.classList.toggle("chosen", isChosen);
  word.setAttribute("aria-pressed", isChosen && pinned);
  // What gets next to nothing stays unlit.
  const shown = w !== null && w >= 0.02 * strongestWeight && !isChosen;
  word.style.background = shown ? css(color(w)) : "";
  word.style.color = shown ? ink(color(w)) : "";
}

/* Colours and the map. */

function color(w) {
  const stops = dark.matches ? data.dark : data.light;
  const place = Math.min(w / strongestWeight, 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  return stops[below].map((c, i) => Math.round(c + (place - below) * (stops[below + 1][i] - c)));
}

const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** Black or white, which is easier to read on a colour. */
function ink(rgb) {
  const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#000" : "#fff";
}

const short = (token) => {
  const letters = [...token];
  return letters.length > MAX_LABEL ? `${letters.slice(0, MAX_LABEL - 1).join("")}…` : token;
};

/** Where the cells of the map are: `{ left, top, side }`. */
let grid = null;

function draw() {
  const canvas = $("map");
  const context = canvas.getContext("2d");
  const { src, tgt } = chosen;
  const style = getComputedStyle(document.body);
  const [text, marked] = ["--ink", "--mark"].map((name) => style.getPropertyValue(name));
  const font = (size) => `${size}px ${style.fontFamily}`;
  const widest = (tokens) => Math.max(0, ...tokens.map((token) => context.measureText(short(token)).width));

  context.font = font(13);
  const room = $("board").clientWidth - 2;
  let left = Math.ceil(widest(tgt)) + 8;
  const side = Math.max(11, Math.min(34, Math.floor((room - left) / Math.max(1, src.length))));
  const size = Math.min(13, side);
  context.font = font(size);
  left = Math.ceil(widest(tgt)) + 8;
  const upright = widest(src) > side - 2;
  const top = upright ? Math.ceil(widest(src)) + 10 : size + 10;
  const [width, height] = [left + side * src.length + 2, top + side * tgt.length + 2];

  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.scale(ratio, ratio);
  context.font = font(size);
  context.textBaseline = "middle";
  const label = (token, isLit) => {
    context.fillStyle = isLit ? marked : text;
    return `\u2068${short(token)}\u2069`;
  };
  src.forEach((token, s) => {
    const shown = label(token, lit?.s === s);
    context.save();
    context.translate(left + side * (s + 0.5), top - 6);
    if (upright) context.rotate(-Math.PI / 2);
    context.textAlign = upright ? "left" : "center";
    context.fillText(shown, 0, upright ? 0 : -size / 2);
    context.restore();
  });
  context.textAlign = "right";
  tgt.forEach((token, t) => context.fillText(label(token, lit?.t === t), left - 6, top + side * (t + 0.5)));
  const gap = side > 14 ? 1 : 0.5;
  for (let t = 0; t < tgt.length; t += 1) {
    for (let s = 0; s < src.length; s += 1) {
      context.fillStyle = css(color(weight(t, s)));
      context.fillRect(left + side * s, top + side * t, side - gap, side - gap);
    }
  }
  context.strokeStyle = marked;
  context.lineWidth = 1.5;
  if (lit?.t !== undefined) context.strokeRect(left - 0.5, top + side * lit.t - 0.5, side * src.length, side);
  if (lit?.s !== undefined) context.strokeRect(left + side * lit.s - 0.5, top - 0.5, side, side * tgt.length);
  grid = { left, top, side };
}

/** The cell under the pointer, if there is one. */
function under(event) {
  const box = $("map").getBoundingClientRect();
  const s = Math.floor((event.clientX - box.left - grid.left) / grid.side);
  const t = Math.floor((event.clientY - box.top - grid.top) / grid.side);
  const inside = s >= 0 && s < chosen.src.length && t >= 0 && t < chosen.tgt.length;
  return inside ? { t, s } : null;
}

const same = (a, b) => a?.t === b?.t && a?.s === b?.s;
$("map").addEventListener("pointermove", (event) => {
  const cell = under(event);
  if (!pinned && event.pointerType === "mouse" && !same(cell, lit)) light(cell);
});
$("map").addEventListener("pointerleave", () => { if (!pinned) light(null); });
$("map").addEventListener("click", (event) => {
  const cell = under(event);
  pinned = cell !== null && !(pinned && same(cell, lit));
  light(cell);
});
$("map").addEventListener("keydown", (event) => {
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  if (event.key === "Escape") { pinned = false; light(null); }
  if (!(event.key in steps) || chosen.src.length === 0 || chosen.tgt.length === 0) return;
  event.preventDefault();
  const [t, s] = steps[event.key];
  const within = (i, n) => Math.min(Math.max(i, 0), n - 1);
  const from = lit === null ? { t: -t, s: -s } : { t: lit.t ?? 0, s: lit.s ?? 0 };
  pinned = true;
  light({ t: within(from.t + t, chosen.tgt.length), s: within(from.s + s, chosen.src.length) });
});

$("view").replaceChildren(...data.views.map((name, i) => new Option(name, i)));
$("view").addEventListener("change", () => {
  view = Number($("view").value);
  list();
  look();
});
$("stretch").addEventListener("change", look);
dark.addEventListener("change", () => light(lit));
addEventListener("resize", () => { if (chosen) draw(); });

const several = data.sentences.length > 1;
document.querySelector("main").classList.toggle("several", several);
$("list").hidden = !several;
$("steps").hidden = !several;
$("views").hidden = data.views.length < 2;
$("summary").textContent = data.about;
list();
if (data.sentences.length > 0) {
  choose(data.sentences[Number(location.hash.slice(1))] ?? data.sentences[0]);
  reveal();
} else {
  $("detail").hidden = true;
}
