// One task on the page: what is known of it, its channel, its buttons.

import { call } from "./api.js";
import { TaskState } from "./task_state.js";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function button(text, act, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

export function promptOf(task) {
  if (!task) return null;
  return task.prompt ?? task.messages?.findLast((each) => each.role === "user")?.content ?? null;
}

// What would be submitted to ask the same again.
export function bodyOf(task) {
  const body = {};
  for (const name of ["prompt", "messages", "model", "tools", "tool_choice", "template_variables"]) if (task[name] != null) body[name] = task[name];
  for (const name of ["temperature", "max_tokens", "seed", "response_format"]) {
    if (task.options?.[name] != null) body[name] = task.options[name];
  }
  return body;
}

let number = 0;

export class Card {
  // `onclose` when it is taken off the page, `oncode` with what was asked, `onchange` at an end.
  constructor(socket, taskId, prompt, { onclose, oncode, onchange }) {
    this.socket = socket;
    this.known = new TaskState(taskId);
    this.channel = null;
    this.handlers = { onclose, oncode, onchange };
    const id = `task-${++number}`;
    this.title = element("h3", { id });
    this.said = element("p", { class: "said", role: "status" });
    this.bar = element("progress", { max: "1", "aria-label": "Progress" });
    this.textNode = document.createTextNode("");
    this.text = element("div", { class: "text", tabindex: "0", role: "region", "aria-label": "Answer" }, this.textNode);
    this.note = element("p", { class: "help resumed" });
    this.problem = element("p", { class: "problem", role: "alert" });
    this.stop = button("Stop", () => this._order("DELETE", ""));
    this.retry = button("Retry", () => this._order("POST", "/retry"));
    this.root = element(
      "article", { class: "card", "aria-labelledby": id, "data-task": taskId },
      this.title, this.said, this.bar, this.text, this.note, this.problem,
      element(
        "div", { class: "buttons" }, this.stop, this.retry,
        button("Code", () => this._code()),
        button("Close", () => this.close()),
      ),
    );
    this._name(prompt ?? "");
    this.show();
  }

  // The task is there: follow it from what is known.
  follow() {
    let asked = 0;
    const { known } = this;
    this.channel = this.socket.channel(
      `task:${known.taskId}`,
      () => ({ offset: (asked = known.length), stay: true }),
      {
        joined: (response) => {
          this.problem.textContent = "";
          this._write(known.joined(response, asked));
          if (promptOf(response.task) !== null) this._name(promptOf(response.task));
          this.show();
        },
        refused: ({ reason }) => this.fail(reason === "not found" ? "this task is not there any more" : reason),
        event: (name, payload) => {
          this._write(known.apply(name, payload));
          this.show();
          if (known.ended) this.handlers.onchange();
        },
      },
    );
  }

  fail(sentence) {
    this.problem.textContent = sentence;
  }

  show() {
    const { known } = this;
    const running = !known.ended;
    this.root.dataset.state = known.state;
    const sentence = known.sentence();
    if (this.said.textContent !== sentence) {
      // While it writes, the count of its tokens is not read out again and again.
      this.said.setAttribute("aria-live", known.state === "executing" ? "off" : "polite");
      this.said.textContent = sentence;
    }
    this.text.setAttribute("aria-busy", String(running));
    if (running && !known.tokens) this.bar.removeAttribute("value");
    else this.bar.value = known.progress;
    this.stop.disabled = !running || known.state === "submitting";
    this.retry.disabled = running;
    const notes = [];
    if (known.resumedAt !== null) notes.push(`Went on at character ${known.resumedAt}.`);
    if (known.fallback) notes.push(`From character ${known.fallback.offset} on by: ${known.fallback.source}.`);
    this.note.textContent = notes.join(" ");
  }

  close() {
    this.channel?.leave();
    this.root.remove();
    this.handlers.onclose(this);
  }

  _name(prompt) {
    this.title.textContent = prompt.slice(0, 300) || "(a long prompt)";
  }

  _write({ kept, added }) {
    const { text } = this;
    const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 8;
    if (kept !== null) this.textNode.data = this.known.text;
    else if (added) this.textNode.appendData(added);
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  async _order(method, path) {
    this.problem.textContent = "";
    this.stop.disabled = this.retry.disabled = true;
    try {
      await call(method, `/tasks/${this.known.taskId}${path}`);
    } catch (error) {
      this.fail(error.message);
    }
    this.show();
  }

  async _code() {
    try {
      this.handlers.oncode(bodyOf(await call("GET", `/tasks/${this.known.taskId}`)));
    } catch (error) {
      this.fail(error.message);
    }
  }
}
