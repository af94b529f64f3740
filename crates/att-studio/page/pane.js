import { drawDifference } from "./difference.js";
import { el, number, percent, shown } from "./dom.js";
import { heatmap } from "./heatmap.js";
import { hypothesisList } from "./hypotheses.js";
import { numberList } from "./numbers.js";
import { stepPanel } from "./step.js";
import { beamTree } from "./tree.js";

/** How many of the likeliest tokens of a step are asked for. */
const ALTERNATIVES = 6;

/**
 * One model's answer to what is typed, and what has been changed in it.
 *
 * - `backend`: who answers
 * - `refused(error)`: is told when the server asks for its token
 */
export class Pane {
  constructor(model, backend, refused) {
    Object.assign(this, { model, backend, refused });
    this.query = { text: "", search: {} };
    this.answer = null;
    /** The answer without anything pinned or edited. */
    this.plain = null;
    this.calling = null;
    /** What is open or chosen in the page, whatever the answer. */
    this.view = { weights: "reported", words: false, pruned: false, rows: 0 };
    this.forget();

    this.output = el("p", { class: "output", dir: "auto", role: "status" });
    this.facts = el("p", { class: "facts" });
    this.trouble = el("p", { class: "trouble", role: "alert", hidden: true });
    this.changes = el("div", { class: "changes" });
    this.map = el("div", { class: "attention" });
    this.step = el("div", { class: "aside" });
    this.lists = el("div", { class: "lists" });
    this.tree = el("details", { class: "block" }, el("summary", {}, "Search tree"));
    this.tree.addEventListener("toggle", () => this.drawTree());
    this.element = el("section", { class: "pane", "aria-label": `Model ${model}` },
      el("div", { class: "inside" },
        el("header", {}, el("h2", {}, model), this.output, this.facts, this.trouble, this.changes),
        this.map, this.step, this.lists, this.tree));
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.chosen) this.close();
    });
  }

  /** Nothing is pinned, edited or chosen. */
  forget() {
    this.unchange();
    this.rank = 0;
    this.chosen = null;
  }

  unchange() {
    /** What the output was told to begin with. */
    this.told = [];
    /** Rows of weights by step, and what the output begins with because of them. */
    this.edits = new Map();
    this.held = [];
  }

  /** What the output is to begin with. */
  get pinned() {
    return this.edits.size ? this.held : this.told;
  }

  get changed() {
    return this.pinned.length > 0 || this.edits.size > 0;
  }

  /** Asks for something else. What was changed belongs to the text. */
  async show(query) {
    if (query.text !== this.query.text) this.forget();
    this.query = query;
    if (!this.changed) return this.ask();
    // The difference is to the same search without the changes.
    this.plain = null;
    return this.ask();
  }

  async ask() {
    this.calling?.abort();
    const calling = new AbortController();
    this.calling = calling;
    this.element.setAttribute("aria-busy", "true");
    const request = {
      ...this.query, model: this.model, words: true, heads: true, tree: true, erasure: true, alternatives: ALTERNATIVES,
    };
    const edits = [...this.edits].map(([step, weights]) => ({ step, weights }));
    try {
      if (this.changed && this.plain === null) this.plain = await this.backend.explain(request, calling.signal);
      const answer = await this.backend.explain({ ...request, pinned: this.pinned, edits }, calling.signal);
      this.answer = answer;
      if (!this.changed) this.plain = answer;
      this.trouble.hidden = true;
      this.rank = Math.min(this.rank, Math.max(0, answer.hypotheses.length - 1));
      this.draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "unauthorized") this.refused(error);
      this.trouble.textContent = error.message;
      this.trouble.hidden = false;
    } finally {
      if (this.calling === calling) this.element.setAttribute("aria-busy", "false");
    }
  }

  stop() {
    this.calling?.abort();
  }

  /** The output shall begin with these tokens. */
  pin(tokens) {
    this.told = this.held = tokens;
    // What was edited behind them is no longer said.
    for (const step of this.edits.keys()) if (step > tokens.length) this.edits.delete(step);
    this.rank = 0;
    this.ask();
  }

  /** The step shall look at this, or as the model does; what stands before it stays. */
  edit(t, row) {
    const tokens = this.hypothesis.tgt_tokens;
    if (row === null) this.edits.delete(t);
    else this.edits.set(t, row);
    this.held = tokens.slice(0, Math.max(0, ...this.edits.keys()));
    this.rank = 0;
    this.ask();
  }

  undo() {
    this.unchange();
    this.rank = 0;
    this.ask();
  }

  get hypothesis() {
    return this.answer.hypotheses[this.rank];
  }

  draw() {
    const focused = this.focused();
    const hypothesis = this.hypothesis;
    const all = [this.map, this.step, this.lists, this.changes];
    if (!hypothesis) {
      this.output.textContent = "";
      this.facts.textContent = "";
      all.forEach((one) => one.replaceChildren());
      this.drawTree();
      return;
    }
    this.output.textContent = hypothesis.text || "(nothing)";
    const tokens = hypothesis.tgt_tokens.length - 1;
    this.facts.textContent = [
      `probability ${percent(hypothesis.log_prob)}`,
      `score ${number(hypothesis.score)}`,
      `${tokens} ${tokens === 1 ? "token" : "tokens"}`,
    ].join(" · ");
    this.drawChanges();
    this.drawMap();
    this.drawStep();
    this.lists.replaceChildren(
      el("section", { class: "block", "aria-label": "Hypotheses" }, el("h3", {}, "Hypotheses"),
        hypothesisList(this.answer.hypotheses, this.rank, (rank) => {
          this.rank = rank;
          this.draw();
        })),
      hypothesis.attention ? el("section", { class: "block", "aria-label": "Numbers" },
        el("h3", {}, "This sentence in numbers"), numberList(hypothesis.attention.numbers, hypothesis.erasure)) : "");
    this.drawTree();
    this.focus(focused);
  }

  drawChanges() {
    if (!this.changed) {
      this.changes.replaceChildren();
      return;
    }
    const parts = [];
    if (this.pinned.length) parts.push(`begins with ${this.pinned.map(shown).join(" ")}`);
    if (this.edits.size) {
      const steps = [...this.edits.keys()].sort((a, b) => a - b).map((t) => t + 1);
      parts.push(`looks elsewhere at step ${steps.join(", ")}`);
    }
    const before = this.plain?.hypotheses[0]?.tgt_tokens.slice(0, -1) ?? [];
    const after = this.hypothesis.tgt_tokens.slice(0, -1);
    const same = before.join("\n") === after.join("\n");
    this.changes.replaceChildren(
      el("p", { class: "what" }, el("span", {}, `Changed: ${parts.join("; ")}`),
        el("button", { type: "button", class: "undo", onclick: () => this.undo() }, "Undo all")),
      el("p", { class: "difference", dir: "auto" },
        same ? "The output stays the same." : drawDifference(before, after)));
  }

  /** Tokens, words, or a head. */
  shownMap() {
    const { attention, tgt_tokens: tgt } = this.hypothesis;
    const src = this.answer.src_tokens;
    if (!attention) return { src: [], tgt, weights: tgt.map(() => []), isReported: true };
    const words = attention.words;
    const differ = words && (words.src_tokens.length !== src.length || words.tgt_tokens.length !== tgt.length);
    if (this.view.words && differ) {
      return { src: words.src_tokens, tgt: words.tgt_tokens, weights: words.weights, isReported: false, differ };
    }
    const [layer, head] = this.view.weights.split(".").map(Number);
    const weights = attention.head_weights?.[layer]?.[head];
    return { src, tgt, weights: weights ?? attention.weights, isReported: weights === undefined, differ };
  }

  drawMap() {
    const hypothesis = this.hypothesis;
    const { src, tgt, weights, isReported, differ } = this.shownMap();
    const { attention } = hypothesis;
    const tokens = tgt.length === hypothesis.tgt_tokens.length && src.length === this.answer.src_tokens.length;
    const sums = [];
    if (attention) {
      sums.push({
        name: "sum", values: src.map((_, s) => weights.reduce((sum, row) => sum + row[s], 0)),
        say: (token, value) => `${token} gets ${number(value, 2)} of all attention`,
      });
    }
    const erasure = tokens ? hypothesis.erasure : undefined;
    if (erasure) {
      sums.push({
        name: "erased", values: erasure.importance,
        say: (token, value) => `without ${token} the output's log-probability is ${number(value, 2)} less`,
      });
    }
    const map = heatmap({
      src, tgt, weights, sums,
      logProbs: tokens || !attention ? hypothesis.token_log_probs : null,
      entropy: isReported && attention ? attention.entropy : null,
      edited: isReported ? this.edits : new Map(),
      pinned: tokens ? this.pinned.length : 0,
      chosen: isReported ? this.chosen : null,
      choose: (t, s) => isReported && this.choose(t, s),
      rows: this.view.rows,
    });
    const tools = [];
    const heads = attention?.head_weights ?? [];
    if (heads.length) {
      const options = [["reported", "as reported"]];
      heads.forEach((layer, l) => layer.forEach((_, h) => options.push([`${l}.${h}`, `layer ${l}, head ${h}`])));
      tools.push(el("label", {}, "Weights ", el("select", {
        onchange: (event) => {
          this.view.weights = event.target.value;
          this.draw();
        },
      }, options.map(([value, name]) => el("option", { value, selected: value === this.view.weights }, name)))));
    }
    if (differ) {
      tools.push(el("label", {}, el("input", {
        type: "checkbox", checked: this.view.words, onchange: (event) => {
          this.view.words = event.target.checked;
          this.draw();
        },
      }), " Words"));
    }
    this.map.replaceChildren(
      el("div", { class: "tools" }, el("h3", {}, attention ? "Attention" : "Tokens"), tools),
      attention ? "" : el("p", { class: "hint" }, "This model has no attention: there are its steps alone."),
      map.element,
      map.cut ? el("p", { class: "hint" }, map.cut, " ", el("button", {
        type: "button", onclick: () => {
          this.view.rows = 2 * map.limit;
          this.draw();
        },
      }, "Show more")) : "");
  }

  choose(t, s) {
    this.chosen = { t, s };
    this.draw();
    this.map.querySelector("[tabindex='0']")?.focus();
  }

  drawStep() {
    const hypothesis = this.hypothesis;
    const { attention, tgt_tokens: tgt } = hypothesis;
    const src = this.answer.src_tokens;
    const fits = this.chosen && this.chosen.t < tgt.length && (this.chosen.s ?? 0) < Math.max(1, src.length);
    if (!fits) {
      this.chosen = null;
      const hint = "Choose a cell or a token of the output to see what else might have come, and to change it.";
      this.step.replaceChildren(el("p", { class: "hint" }, hint));
      return;
    }
    const { t, s } = this.chosen;
    const same = this.drawn?.t === t && this.drawn?.s === s;
    const panel = stepPanel({
      t, s, src, tgt, row: attention?.weights[t], logProb: hypothesis.token_log_probs[t],
      entropy: attention?.entropy[t], alternatives: hypothesis.alternatives?.[t] ?? [],
      edited: this.edits.has(t),
      onpin: (tokens) => this.pin(tokens),
      onedit: (step, row) => this.edit(step, row),
      onclose: () => this.close(),
    });
    this.drawn = { t, s };
    const slider = same && this.step.querySelector("input[type=range]:is(:active, :focus)");
    if (!slider) {
      this.step.replaceChildren(panel);
      return;
    }
    // A slider that is being moved stays under the hand.
    const kept = slider.closest("fieldset");
    const parts = [...panel.children];
    const at = parts.findIndex((part) => part.matches("fieldset"));
    [...kept.parentElement.children].forEach((part) => part !== kept && part.remove());
    kept.before(...parts.slice(0, at));
    kept.after(...parts.slice(at + 1));
    kept.querySelector(".own").disabled = !this.edits.has(t);
  }

  /** No step is chosen. */
  close() {
    this.chosen = null;
    this.draw();
    this.map.querySelector("[tabindex='0']")?.focus();
  }

  drawTree() {
    const nodes = this.answer?.tree?.nodes ?? [];
    this.tree.hidden = nodes.length === 0;
    if (!this.tree.open || nodes.length === 0) return;
    const summary = this.tree.querySelector("summary");
    const pruned = el("label", {}, el("input", {
      type: "checkbox", checked: this.view.pruned, onchange: (event) => {
        this.view.pruned = event.target.checked;
        this.drawTree();
      },
    }), " What was pruned, too");
    this.tree.replaceChildren(summary,
      el("div", { class: "tools" }, pruned, el("span", { class: "hint" }, "Choose a node to go on from there.")),
      beamTree(nodes, this.view.pruned, (tokens) => this.pin(tokens)));
  }

  /** Where the focus is, so that it can be set again on what takes its place. */
  focused() {
    const active = document.activeElement;
    if (!this.element.contains(active)) return null;
    const label = active.getAttribute("aria-label");
    const places = [this.map, this.step, this.lists, this.tree, this.changes];
    const place = places.find((one) => one.contains(active));
    const all = place && [...place.querySelectorAll(active.localName)];
    return place && { place, name: active.localName, label, text: active.textContent, index: all.indexOf(active) };
  }

  focus(was) {
    if (!was || was.place.contains(document.activeElement)) return;
    const all = [...was.place.querySelectorAll(was.name)];
    const same = all.find((one) => was.label !== null && one.getAttribute("aria-label") === was.label)
      ?? all.find((one) => one.textContent === was.text && was.text !== "")
      ?? all[was.index] ?? this.map.querySelector("[tabindex='0']");
    same?.focus();
  }
}
