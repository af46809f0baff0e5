// The tasks of before, the newest first, a page at a time, and a search through them.

import { call } from "./api.js";
import { button, element, promptOf } from "./card.js";

const PAGE = 50;
const SEARCH_PAGE = 500;
const SEARCHED_MAX = 5_000;

export class History {
  constructor(parts, onopen) {
    Object.assign(this, parts); // list, search, found, more
    this.onopen = onopen;
    this.tasks = [];
    this.whole = false;
    this.loading = null;
    this.more.addEventListener("click", () => this._load(PAGE).then(() => this.show()));
    this.search.addEventListener("input", () => this._searched());
  }

  async refresh() {
    await this.loading;
    this.tasks = [];
    this.whole = false;
    await this._load(PAGE);
    await this._searched();
  }

  show() {
    const wanted = this.search.value.trim().toLocaleLowerCase();
    const shown = wanted ? this.tasks.filter((each) => has(each, wanted)) : this.tasks;
    this.list.replaceChildren(...shown.slice(0, 200).map((each) => this._row(each)));
    this.more.hidden = this.whole || wanted !== "";
    const limit = this.whole ? "" : `, among the newest ${this.tasks.length}`;
    this.found.textContent = wanted ? `${shown.length} found${limit}` : "";
  }

  async _searched() {
    this.show();
    const wanted = this.search.value;
    while (wanted.trim() && wanted === this.search.value && !this.whole && this.tasks.length < SEARCHED_MAX) {
      const before = this.tasks.length;
      await this._load(SEARCH_PAGE);
      if (this.tasks.length === before) break;
      this.show();
    }
  }

  _load(limit) {
    // One at a time: each goes on behind the last.
    this.loading ??= this._page(limit).finally(() => { this.loading = null; });
    return this.loading;
  }

  async _page(limit) {
    const last = this.tasks.at(-1);
    const before = last ? `&before=${last.task_id}` : "";
    try {
      const { tasks } = await call("GET", `/tasks?limit=${limit}${before}`);
      this.tasks.push(...tasks);
      this.whole = tasks.length < limit;
    } catch (error) {
      this.whole = true;
      this.found.textContent = error.message;
    }
  }

  _row(task) {
    const when = element("span", { class: "when" }, `${task.state}, ${new Date(task.created_at).toLocaleString()}`);
    const what = element("span", { class: "what" }, (promptOf(task) ?? "").slice(0, 200));
    const row = button("", () => this.onopen(task.task_id, promptOf(task)));
    row.append(what, when);
    return element("li", {}, row);
  }
}

function has(task, wanted) {
  const texts = [promptOf(task), task.result?.text, task.task_id, task.state];
  return texts.some((text) => text?.toLocaleLowerCase().includes(wanted));
}
