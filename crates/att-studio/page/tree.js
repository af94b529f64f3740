import { el, number, percent, shown, svg } from "./dom.js";

const ROW = 24;
const GAP = 36;
const CHAR = 8.4;

/**
 * All that a search weighed, as a tree: a column a step, the likeliest at the top. One node at a time takes
 * the focus: left is what it continues, right its best continuation, up and down its neighbours.
 *
 * - `nodes`: as in the answer, parents before their children
 * - `pruned`: whether what was pruned is drawn
 * - `choose(tokens)`: is called with the tokens up to the node that is clicked
 */
export function beamTree(nodes, pruned, choose) {
  const kept = nodes.map((node) => pruned || node.fate !== "pruned");
  const children = nodes.map(() => []);
  const roots = [];
  nodes.forEach((node, index) => {
    if (!kept[index]) return;
    (node.parent === null ? roots : children[node.parent]).push(index);
  });
  const byTotal = (a, b) => nodes[b].total - nodes[a].total;
  children.forEach((list) => list.sort(byTotal));
  roots.sort(byTotal);

  // What leads to a hypothesis that came back.
  const found = new Set();
  nodes.forEach((node, index) => {
    if (node.rank === null || node.rank === undefined) return;
    for (let at = index; at !== null; at = nodes[at].parent) found.add(at);
  });

  // Leaves get a row each, from the top; what leads to them stands beside its best continuation.
  const rows = [];
  let leaves = 0;
  const order = [];
  const stack = [...roots].reverse();
  while (stack.length) {
    const index = stack.pop();
    order.push(index);
    if (children[index].length === 0) rows[index] = leaves++;
    stack.push(...[...children[index]].reverse());
  }
  for (const index of [...order].reverse()) {
    if (children[index].length) rows[index] = rows[children[index][0]];
  }

  const widths = [];
  for (const index of order) {
    const { step, token } = nodes[index];
    widths[step] = Math.max(widths[step] ?? 0, [...shown(token)].length * CHAR + 16);
  }
  const lefts = [0];
  for (let step = 1; step <= widths.length; step++) lefts[step] = (lefts[step - 1] ?? 0) + (widths[step - 1] ? widths[step - 1] + GAP : 0);
  const middle = (index) => rows[index] * ROW + ROW / 2 + 4;

  const lines = order.filter((index) => nodes[index].parent !== null).map((index) => {
    const parent = nodes[index].parent;
    const [x0, y0] = [lefts[nodes[parent].step] + widths[nodes[parent].step], middle(parent)];
    const [x1, y1] = [lefts[nodes[index].step], middle(index)];
    const bend = (x0 + x1) / 2;
    return svg("path", {
      d: `M${x0} ${y0}C${bend} ${y0} ${bend} ${y1} ${x1} ${y1}`,
      class: found.has(index) && found.has(parent) ? "found" : nodes[index].fate,
    });
  });

  const path = (index) => {
    const tokens = [];
    for (let at = index; at !== null; at = nodes[at].parent) tokens.unshift(nodes[at].token);
    return tokens;
  };
  const says = el("p", { class: "says", "aria-hidden": "true" });
  const elements = new Map();
  const describe = (index) => {
    const node = nodes[index];
    const fate = node.rank !== null && node.rank !== undefined ? `hypothesis ${node.rank + 1}`
      : { kept: "kept", pruned: "pruned", ended: "ended" }[node.fate];
    const score = node.score === null || node.score === undefined ? "" : `, score ${number(node.score)}`;
    return `${path(index).map(shown).join(" ")}: ${percent(node.log_prob)} here, ${number(node.total)} up to here${score}, ${fate}`;
  };
  for (const index of order) {
    const node = nodes[index];
    const [x, width] = [lefts[node.step], widths[node.step]];
    elements.set(index, svg("g", {
      role: "treeitem", tabindex: -1, "aria-level": node.step, "aria-label": describe(index), "data-index": index,
      class: `node ${found.has(index) ? "found" : node.fate}`,
    },
    svg("rect", { x, y: middle(index) - 10, width, height: 20, rx: 5 }),
    svg("text", { x: x + width / 2, y: middle(index) + 4.5, "text-anchor": "middle" }, shown(node.token))));
  }
  const width = lefts[widths.length] + 8;
  const drawing = svg("svg", {
    role: "tree", "aria-label": "Search tree", width, height: Math.max(1, leaves) * ROW + 8, viewBox: `-4 0 ${width} ${Math.max(1, leaves) * ROW + 8}`,
  }, svg("g", { "aria-hidden": "true" }, lines), [...elements.values()]);

  let current = order[0];
  if (current !== undefined) elements.get(current).setAttribute("tabindex", 0);
  const go = (index) => {
    if (index === undefined || index === null) return;
    elements.get(current).setAttribute("tabindex", -1);
    current = index;
    elements.get(current).setAttribute("tabindex", 0);
    elements.get(current).focus();
  };
  const inStep = (index) => order.filter((other) => nodes[other].step === nodes[index].step).sort((a, b) => rows[a] - rows[b]);
  const indexOf = (event) => {
    const node = event.target.closest("[data-index]");
    return node ? Number(node.dataset.index) : null;
  };
  const act = (index) => {
    if (index === null) return;
    const tokens = path(index);
    if (tokens.at(-1) === "</s>") tokens.pop();
    choose(tokens);
  };
  drawing.addEventListener("click", (event) => act(indexOf(event)));
  const say = (event) => {
    const index = indexOf(event);
    says.textContent = index === null ? "" : describe(index);
  };
  drawing.addEventListener("pointerover", say);
  drawing.addEventListener("focusin", say);
  drawing.addEventListener("keydown", (event) => {
    const column = inStep(current);
    const next = {
      ArrowLeft: () => nodes[current].parent,
      ArrowRight: () => children[current][0],
      ArrowUp: () => column[column.indexOf(current) - 1],
      ArrowDown: () => column[column.indexOf(current) + 1],
      Home: () => order[0],
    }[event.key];
    if (next) {
      event.preventDefault();
      go(next());
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      act(current);
    }
  });
  return el("div", { class: "tree" }, el("div", { class: "scroll" }, drawing), says);
}
