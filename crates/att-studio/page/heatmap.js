import { el, number, percent, shown } from "./dom.js";

/** More cells than this are shown piece by piece. */
const CELLS = 6000;

/**
 * A heat map as a grid: a row for each token of the output, a column for each of the source, and below them
 * what each column comes to. One cell at a time takes the focus; arrow keys go from cell to cell.
 *
 * - `src`, `tgt`: tokens
 * - `weights[t][s]`; none without attention
 * - `logProbs[t]`, `entropy[t]`: beside the rows; either may be missing
 * - `sums`: `[{ name, values, say }]`, a row of bars each below the columns
 * - `edited`: the rows that have been changed; `pinned`: how many rows are pinned
 * - `chosen`: `{ t, s }` or null, `s` null for a whole row
 * - `choose(t, s)`: is called for what is clicked
 * - `rows`: how many rows may be shown at once, 0 for as many as are quick to draw
 */
export function heatmap({ src, tgt, weights, logProbs, entropy, sums, edited, pinned, chosen, choose, rows }) {
  const limit = rows || Math.max(10, Math.floor(CELLS / Math.max(1, src.length)));
  const n = Math.min(tgt.length, limit);
  const says = el("p", { class: "says", "aria-hidden": "true" });
  const head = (token, s) => el("th", { scope: "col", "data-s": s, class: [...token].length > 3 ? "tall" : false },
    el("span", { dir: "auto" }, shown(token)));
  const columns = src.length;
  const headRow = el("tr", {},
    el("td", { class: "corner" }),
    src.map(head),
    logProbs && el("th", { scope: "col", class: "side" }, el("abbr", { title: "Probability of the token" }, "p")),
    entropy && el("th", { scope: "col", class: "side" }, el("abbr", { title: "Entropy of the row, in nats" }, "H")));

  const describe = (t, s) =>
    `${shown(tgt[t])} looks at ${shown(src[s])}: ${number(weights[t][s])}`;

  const cell = (t, s) => {
    const weight = weights[t][s];
    const hundredths = Math.round(100 * weight);
    const td = el("td", {
      role: "gridcell", tabindex: -1, "data-t": t, "data-s": s, "aria-label": describe(t, s),
      class: weight > 0.72 ? "deep" : false,
      "aria-selected": chosen?.t === t && chosen.s === s ? "true" : false,
    }, hundredths > 0 ? String(hundredths) : "");
    td.style.setProperty("--weight", weight.toFixed(4));
    return td;
  };

  const body = [];
  for (let t = 0; t < n; t++) {
    const state = [t < pinned && "pinned", edited.has(t) && "changed"].filter(Boolean);
    const label = [shown(tgt[t]), ...state, logProbs && `probability ${percent(logProbs[t])}`,
      entropy && `entropy ${number(entropy[t], 2)}`].filter(Boolean).join(", ");
    body.push(el("tr", { class: state.join(" ") || false },
      el("th", {
        scope: "row", tabindex: -1, "data-t": t, "aria-label": label,
        "aria-selected": chosen?.t === t && chosen.s === null ? "true" : false,
      }, el("span", { dir: "auto" }, shown(tgt[t]))),
      src.map((_, s) => cell(t, s)),
      logProbs && el("td", { class: "side" }, percent(logProbs[t])),
      entropy && el("td", { class: "side" }, number(entropy[t], 2))));
  }

  const foot = sums.map(({ name, values, say }) => {
    const most = Math.max(...values.map(Math.abs), 1e-9);
    const bar = (value, s) => {
      const inner = el("span", { class: value < 0 ? "bar below" : "bar" });
      inner.style.setProperty("--part", (Math.abs(value) / most).toFixed(4));
      return el("td", {
        role: "gridcell", tabindex: -1, "data-s": s, "aria-label": say(shown(src[s]), value), class: "sum",
      }, el("small", {}, number(value, Math.abs(value) < 9.95 ? 1 : 0)), inner);
    };
    return el("tr", {}, el("th", { scope: "row", class: "name" }, name), values.map(bar));
  });

  const table = el("table", {
    role: "grid", class: "map", "aria-label": "Attention: rows are tokens of the output, columns tokens of the text",
    "aria-rowcount": tgt.length + 1 + foot.length, "aria-colcount": columns + 1,
  }, el("thead", {}, headRow), el("tbody", {}, body), foot.length > 0 && el("tfoot", {}, foot));

  // Each row of what can be gone to, from left to right.
  const lines = [...table.querySelectorAll("tbody tr, tfoot tr")].map((row) =>
    [...row.children].filter((one) => one.hasAttribute("tabindex")));
  const at = (t, s) => table.querySelector(`tbody [data-t="${t}"]${s === null ? ":not([data-s])" : `[data-s="${s}"]`}`);
  let current = (chosen && at(chosen.t, chosen.s)) ?? lines[0]?.[0];
  if (current) current.tabIndex = 0;

  const go = (cell, focus) => {
    if (!cell) return;
    current.tabIndex = -1;
    current = cell;
    current.tabIndex = 0;
    if (focus) current.focus();
  };

  const light = (cell) => {
    table.querySelectorAll(".lit").forEach((other) => other.classList.remove("lit"));
    const { t, s } = cell?.dataset ?? {};
    if (t !== undefined) at(t, null)?.parentElement.classList.add("lit");
    if (s !== undefined) table.querySelectorAll(`[data-s="${s}"]`).forEach((other) => other.classList.add("lit"));
    says.textContent = cell?.getAttribute("aria-label") ?? "";
  };

  const cellOf = (event) => event.target.closest("[tabindex], th[data-s]");
  table.addEventListener("pointerover", (event) => light(cellOf(event)));
  table.addEventListener("pointerleave", () => light(table.contains(document.activeElement) ? document.activeElement : null));
  table.addEventListener("focusin", (event) => {
    go(event.target, false);
    light(event.target);
  });
  table.addEventListener("focusout", () => light(null));
  const act = (cell) => {
    if (cell?.dataset.t === undefined) return;
    go(cell, true);
    choose(Number(cell.dataset.t), cell.dataset.s === undefined ? null : Number(cell.dataset.s));
  };
  table.addEventListener("click", (event) => act(cellOf(event)));
  table.addEventListener("keydown", (event) => {
    const line = lines.findIndex((cells) => cells.includes(current));
    const place = lines[line]?.indexOf(current);
    // Below the columns there is no name to go to.
    const across = (other) => lines[other]?.[Math.max(0, place + lines[other].length - lines[line].length)];
    const next = {
      ArrowLeft: () => lines[line][place - 1],
      ArrowRight: () => lines[line][place + 1],
      ArrowUp: () => across(line - 1),
      ArrowDown: () => across(line + 1),
      Home: () => lines[line][0],
      End: () => lines[line].at(-1),
      PageUp: () => lines[0][place],
      PageDown: () => lines[lines.length - 1 - foot.length][place],
    }[event.key];
    if (next) {
      event.preventDefault();
      go(next(), true);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      act(current);
    }
  });

  const scroll = el("div", { class: "scroll" }, table);
  const cut = n < tgt.length && `The first ${n} of ${tgt.length} rows.`;
  return { element: el("div", { class: "heat" }, scroll, says), cut, limit };
}
