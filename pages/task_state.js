// What a page knows of one task: pure, fed with what its channel says.

export const ENDED = new Set(["completed", "discarded", "cancelled"]);

export class TaskState {
  constructor(taskId) {
    this.taskId = taskId;
    this.text = "";
    this.length = 0; // in code points, as the node counts
    this.state = "submitting";
    this.phase = null;
    this.position = null;
    this.etaMs = null;
    this.waitsFor = null;
    this.progress = 0;
    this.tokens = 0;
    this.result = null;
    this.error = null;
    this.fallback = null;
    this.task = null;
    this.resumedAt = null;
    this.note = "";
  }

  get ended() {
    return ENDED.has(this.state);
  }

  // The reply to a join. `before`: how much was known when it was asked for.
  joined({ task, delta, offset }, before = 0) {
    this.task = { ...this.task, ...withoutNulls(task) };
    this.state = task.state;
    this.position = task.position;
    this.etaMs = task.eta_ms;
    this.waitsFor = task.waits_for;
    this.progress = task.progress;
    this.tokens = task.tokens;
    this.fallback = task.fallback;
    if (task.result) this.result = task.result;
    this.error = task.state === "discarded" ? (task.errors.at(-1) ?? null) : null;
    this.phase = null;
    if (before > 0) this.resumedAt = Math.min(before, offset);
    return this._text(offset, delta);
  }

  // An event of the channel. What became of the text: {kept, added}; `kept` is how many characters
  // of it stay, null for all.
  apply(event, payload) {
    if (event === "queued") {
      this.state = "available";
      ({ position: this.position, eta_ms: this.etaMs, waits_for: this.waitsFor } = payload);
    } else if (event === "progress") {
      this.state = payload.state;
      this.phase = payload.phase;
      this.position = this.waitsFor = null;
      this.progress = payload.progress;
      this.tokens = payload.tokens;
      this.etaMs = payload.eta_ms;
      this.note = "";
      return this._text(payload.offset, payload.delta);
    } else if (event === "retrying") {
      this.state = "retryable";
      this.note = `attempt ${payload.attempt} of ${payload.max_attempts} in ${seconds(payload.in_ms)}`;
    } else if (event === "rewind") {
      if (this.ended) this.state = "available";
      this.result = this.error = null;
      if (payload.offset === 0) this.progress = this.tokens = 0;
      return this._text(payload.offset, "");
    } else if (event === "fallback") {
      this.fallback = { source: payload.source, offset: payload.offset };
    } else if (event === "completed") {
      this._end("completed");
      this.result = payload.result;
      const whole = payload.result?.text;
      // A text that was cut back or closed at its end counts as the result has it.
      if (typeof whole === "string" && whole !== this.text) return this._text(0, whole);
    } else if (event === "failed") {
      this._end("discarded");
      this.error = payload.error;
    } else if (event === "cancelled") {
      this._end("cancelled");
    }
    return { kept: null, added: "" };
  }

  // One sentence about how it stands.
  sentence() {
    switch (this.state) {
      case "submitting": return "is being submitted";
      case "scheduled": return "is scheduled";
      case "available": {
        if (this.waitsFor) return `waits for ${this.waitsFor}`;
        if (!this.position) return "its turn has come";
        const wait = this.etaMs === null ? "" : `, about ${seconds(this.etaMs)}`;
        return `number ${this.position} in the queue${wait}`;
      }
      case "retryable": return `will be tried again: ${this.note}`;
      case "executing": {
        if (this.phase === "prefill" || (this.phase === null && !this.tokens)) return "reading the prompt";
        const left = this.etaMs ? `, about ${seconds(this.etaMs)} more` : "";
        return `writing, ${this.tokens} tokens${left}`;
      }
      case "cancelling": return "is being stopped";
      case "cancelled": return "stopped";
      case "discarded": return `failed: ${this.error?.message ?? "no reason was given"}`;
      case "completed": return this.figures();
      default: return this.state;
    }
  }

  figures() {
    const { usage, timings, finish_reason: reason } = this.result ?? {};
    if (!usage) return "done";
    const parts = [`${usage.completion_tokens} tokens`];
    if (timings?.tokens_per_second) parts.push(`${timings.tokens_per_second.toFixed(0)}/s`);
    if (timings?.ttft_ms != null) parts.push(`first after ${seconds(timings.ttft_ms)}`);
    if (usage.cached_tokens) parts.push(`${usage.cached_tokens} of the prompt cached`);
    if (reason === "length") parts.push("cut at the limit");
    return `done: ${parts.join(", ")}`;
  }

  _end(state) {
    this.state = state;
    this.phase = this.position = this.etaMs = null;
    this.progress = 1;
    this.note = "";
  }

  _text(offset, delta) {
    const kept = offset < this.length ? offset : null;
    if (kept !== null) {
      const points = [...this.text];
      this.text = points.slice(0, kept).join("");
      this.length = kept;
    }
    this.text += delta;
    this.length += count(delta);
    return { kept, added: delta };
  }
}

// Code points of a text.
export function count(text) {
  let number = 0;
  for (const _ of text) number++;
  return number;
}

export function seconds(ms) {
  if (ms < 10) return `${ms.toFixed(0)} ms`;
  if (ms < 950) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  return ms < 5_400_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

function withoutNulls(task) {
  return Object.fromEntries(Object.entries(task).filter(([, value]) => value !== null));
}
