// The dashboard: how the node is, what it does, what it did, and why something was slow.

import { call, socketUrl, token } from "./api.js";
import { button, element, promptOf } from "./card.js";
import { connection, enter } from "./entry.js";
import { Socket } from "./phoenix.js";
import { Plot, waterfall } from "./plots.js";
import { bytes } from "./series.js";
import { timeline } from "./spans.js";
import { ENDED, seconds } from "./task_state.js";

const LOOK_MS = 5_000;
const PAGE = 100;
const PAGE_MAX = 500;
const $ = (id) => document.getElementById(id);
const socket = new Socket(socketUrl(), { token: token.get, onstate: connection });

// ---- figures

const plots = {
  tokens: new Plot("Tokens a second"),
  queued: new Plot("Waiting"),
  running: new Plot("Running"),
  wait: new Plot("Wait of who comes now", seconds),
  reused: new Plot("Cached prompt tokens a second"),
  lag: new Plot("Lag of the event loop", seconds),
  node: new Plot("Memory of the node", bytes),
  engine: new Plot("Memory of the engine", bytes),
  sockets: new Plot("Sockets"),
  frames: new Plot("Frames a second"),
  free: new Plot("Disk free", bytes),
};
let before = null;
let deep = null;

function rate(now, then) {
  return now === undefined || then === undefined ? null : Math.max(0, now - then);
}

function figures(status) {
  plots.tokens.add(status.tokens_per_second);
  plots.queued.add(status.queued);
  plots.running.add(status.running);
  plots.wait.add(status.wait_ms);
  plots.reused.add(rate(status.cache?.reused_tokens, before?.cache?.reused_tokens));
  plots.node.add(status.memory_bytes);
  plots.engine.add(status.engine_memory_bytes);
  plots.sockets.add(status.sockets.open);
  plots.frames.add(rate(status.sockets.frames, before?.sockets.frames));
  plots.lag.add(deep?.parts?.loop?.lag_ms);
  plots.free.add(deep?.parts?.disk?.free_bytes);
  before = status;
  const facts = [
    `${status.model}, engine ${status.engine}`, `${status.running} of ${status.slots} slots in use`,
    `up for ${seconds(status.uptime_ms)}`, status.durable ? "on disk" : "in memory alone",
    ...Object.entries(status.ended).map(([name, number]) => `${number} ${name}`),
  ];
  $("facts").textContent = facts.join(" · ");
  reasons(status.degraded);
  $("room").textContent = [status.room, status.threads && `${status.threads} threads: ${status.threads_because}`]
    .filter(Boolean).join(" · ");
}

function reasons(degraded) {
  const all = [...new Set([...degraded, ...(deep?.reasons ?? [])])];
  const word = deep?.status === "unavailable" ? "unavailable" : all.length ? "degraded" : "ok";
  const said = [word, ...all].join("\n");
  if ($("health").dataset.said === said) return; // nothing to read out again
  $("health").dataset.said = said;
  $("health").dataset.state = word === "ok" ? "open" : "waiting";
  $("health").textContent = { ok: "All is well", degraded: "Works, but not as it should", unavailable: "Cannot work now" }[word];
  $("reasons").replaceChildren(...all.map((each) => element("li", {}, each)));
}

// Of what `node:status` does not tell. Nothing is asked of the node while nobody looks.
async function look() {
  if (document.hidden) return;
  try {
    deep = await call("GET", "/readyz").catch((error) => error.document ?? { status: "unavailable", reasons: [error.message], parts: {} });
    const stats = await call("GET", "/stats");
    for (const name of ["wait_ms", "duration_ms"]) {
      for (const part of ["p50", "p95", "p99"]) {
        const value = stats[name]?.[part];
        $(`${name}-${part}`).textContent = value == null ? "–" : seconds(value);
      }
    }
    paused((await call("GET", "/queue?limit=1")).paused);
    await table();
  } catch (error) {
    $("problem").textContent = error.message;
  }
}

function paused(now) {
  $("pause").setAttribute("aria-pressed", String(now));
  $("pause").textContent = now ? "Resume the queue" : "Pause the queue";
}

// ---- tasks

let tasks = [];
let last = null;

// Of what is shown the newest are asked for again; those behind stay, unless others are wanted.
async function table({ anew = false } = {}) {
  const state = $("state").value;
  const known = anew ? [] : tasks;
  const limit = Math.min(PAGE_MAX, Math.max(PAGE, known.length));
  const { tasks: page } = await call("GET", `/tasks?limit=${limit}${state && `&state=${state}`}`);
  if (state !== $("state").value) return; // others are wanted by now
  const there = new Set(page.map((task) => task.task_id));
  const behind = known.length > PAGE_MAX ? known.slice(PAGE_MAX).filter((task) => !there.has(task.task_id)) : [];
  tasks = [...page, ...behind];
  show();
}

async function older() {
  const state = $("state").value;
  const end = tasks.at(-1)?.task_id;
  const { tasks: page } = await call("GET", `/tasks?limit=${PAGE}&before=${end}${state && `&state=${state}`}`);
  tasks.push(...page);
  show();
}

function show() {
  const wanted = $("search").value.trim().toLocaleLowerCase();
  const shown = tasks.filter((task) => !wanted || [promptOf(task), task.task_id, task.client, task.user, task.result?.text]
    .some((text) => text?.toLocaleLowerCase().includes(wanted)));
  const said = JSON.stringify(shown.map((task) => [task.task_id, task.state, task.tokens, task.seq]));
  if (said === last) return; // the focus stays where it is
  last = said;
  const focused = document.activeElement?.dataset?.key;
  $("rows").replaceChildren(...shown.map(row));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  $("count").textContent = `${shown.length} of the newest ${tasks.length} tasks`;
}

function row(task) {
  const ended = ENDED.has(task.state);
  const took = task.finished_at && task.started_at ? seconds(Date.parse(task.finished_at) - Date.parse(task.started_at)) : "";
  const act = (name, method, path) => button(name, () => order(task.task_id, method, path), { "data-key": `${name} ${task.task_id}` });
  const opener = button((promptOf(task) ?? "(a long prompt)").slice(0, 80), () => detail(task.task_id), { "data-key": task.task_id });
  return element(
    "tr", { "data-task": task.task_id },
    element("td", {}, opener), element("td", {}, task.state),
    element("td", {}, new Date(task.created_at).toLocaleString()), element("td", {}, took),
    element("td", {}, String(task.tokens)),
    element("td", {}, ended ? act("Retry", "POST", "/retry") : act("Cancel", "DELETE", "")),
  );
}

async function order(taskId, method, path) {
  $("problem").textContent = "";
  try {
    await call(method, `/tasks/${taskId}${path}`);
    await table();
  } catch (error) {
    $("problem").textContent = error.message;
  }
}

async function detail(taskId) {
  try {
    const [task, { audit }] = await Promise.all([call("GET", `/tasks/${taskId}`), call("GET", `/tasks/${taskId}/audit`)]);
    const line = timeline(task, audit, Date.now());
    $("detail-title").textContent = `Task ${taskId}`;
    $("detail-prompt").textContent = (promptOf(task) ?? "").slice(0, 500);
    $("waterfall").replaceChildren(waterfall(line, seconds));
    const lines = [
      ...line.spans.map((span) => [span.fromMs, span.name, seconds(span.toMs - span.fromMs)]),
      ...line.points.map((point) => [point.atMs, point.name, ""]),
    ].sort(([a], [b]) => a - b);
    $("steps").replaceChildren(...lines.map(([at, name, took]) => element(
      "tr", {}, element("td", {}, seconds(at)), element("td", {}, name), element("td", {}, took),
    )));
    const errors = task.errors.map((error) => `attempt ${error.attempt}: ${error.code}, ${error.message}`);
    $("detail-errors").textContent = errors.join("\n");
    $("detail-text").textContent = task.result?.text ?? "";
    if (!$("detail").open) $("detail").showModal();
  } catch (error) {
    $("problem").textContent = error.message;
  }
}

// ---- the start

$("plots").append(...Object.values(plots).map((plot) => plot.root));
$("state").addEventListener("change", () => table({ anew: true }).catch((error) => { $("problem").textContent = error.message; }));
$("search").addEventListener("input", show);
$("older").addEventListener("click", () => older().catch((error) => { $("problem").textContent = error.message; }));
$("detail-close").addEventListener("click", () => $("detail").close());
$("pause").addEventListener("click", async () => {
  const act = $("pause").getAttribute("aria-pressed") === "true" ? "resume" : "pause";
  try {
    paused((await call("POST", `/queue/${act}`)).paused);
  } catch (error) {
    $("problem").textContent = error.message;
  }
});

let looking = null;
enter(socket, () => {
  socket.channel("node:status", () => ({}), { joined: figures, event: (_name, status) => figures(status) });
  look();
  looking ??= setInterval(look, LOOK_MS);
});
