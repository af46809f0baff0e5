// The playground: a form, the tasks that are shown side by side, and those of before.

import { Problem, call, newId, socketUrl, submit, token } from "./api.js";
import { Card } from "./card.js";
import { connection, enter } from "./entry.js";
import { History } from "./history.js";
import { Socket } from "./phoenix.js";
import { snippet } from "./snippets.js";

const OPEN_KEY = "elwift.open";
const CARDS_MAX = 12;
const $ = (id) => document.getElementById(id);

const cards = [];
const socket = new Socket(socketUrl(), { token: token.get, onstate: connection });
const history = new History(
  { list: $("history"), search: $("search"), found: $("found"), more: $("more") },
  (taskId, prompt) => open(taskId, prompt).root.scrollIntoView({ block: "nearest" }),
);
let code = {};
let refresh = null;

// ---- cards

function card(taskId, prompt) {
  const made = new Card(socket, taskId, prompt, {
    onclose: () => {
      cards.splice(cards.indexOf(made), 1);
      remember();
    },
    oncode: showCode,
    onchange: refreshSoon,
  });
  while (cards.length >= CARDS_MAX) cards.at(-1).close();
  cards.unshift(made);
  $("cards").prepend(made.root);
  return made;
}

function open(taskId, prompt) {
  const there = cards.find((each) => each.known.taskId === taskId);
  if (there) return there;
  const made = card(taskId, prompt);
  remember();
  made.follow();
  return made;
}

// So that a page that is loaded again shows the same.
function remember() {
  sessionStorage.setItem(OPEN_KEY, JSON.stringify(cards.map((each) => each.known.taskId)));
  $("none").hidden = cards.length > 0;
}

function recall() {
  let ids = [];
  try {
    ids = JSON.parse(sessionStorage.getItem(OPEN_KEY) ?? "[]");
  } catch {
    sessionStorage.removeItem(OPEN_KEY);
  }
  for (const taskId of ids.slice(0, CARDS_MAX).reverse()) open(taskId, "");
}

function refreshSoon() {
  refresh ??= setTimeout(() => {
    refresh = null;
    history.refresh();
  }, 500);
}

// ---- the form

class Wrong extends Error {
  constructor(sentence, id) {
    super(sentence);
    this.id = id;
  }
}

function asked() {
  const body = {};
  const prompt = $("prompt").value;
  if (!prompt.trim()) throw new Wrong("Write a prompt first.", "prompt");
  const system = $("system").value;
  if (system.trim()) {
    body.messages = [{ role: "system", content: system }, { role: "user", content: prompt }];
  } else body.prompt = prompt;
  if ($("model").value) body.model = $("model").value;
  for (const [id, name] of [["temperature", "temperature"], ["max-tokens", "max_tokens"]]) {
    if (!$(id).validity.valid) throw new Wrong(`${$(id).labels[0].textContent}: ${$(id).validationMessage}`, id);
    if ($(id).value !== "") body[name] = $(id).valueAsNumber;
  }
  const schema = $("schema").value.trim();
  if (schema) {
    try {
      body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(schema) } };
    } catch (error) {
      throw new Wrong(`The schema is no JSON: ${error.message}`, "schema");
    }
  }
  return body;
}

const FIELDS = { prompt: "prompt", messages: "prompt", response_format: "schema", max_tokens: "max-tokens", temperature: "temperature", model: "model" };

function complain(error) {
  $("problem").textContent = error.message;
  for (const field of $("ask").elements) field.removeAttribute("aria-invalid");
  const field = $(error.id ?? FIELDS[error.field]);
  if (!field) return;
  field.closest("details")?.setAttribute("open", "");
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-errormessage", "problem");
  field.focus();
}

async function send() {
  let body;
  try {
    body = asked();
  } catch (error) {
    complain(error);
    return;
  }
  $("problem").textContent = "";
  for (const field of $("ask").elements) field.removeAttribute("aria-invalid");
  const copies = Math.min(4, Math.max(1, $("copies").valueAsNumber || 1));
  await Promise.all(Array.from({ length: copies }, () => sendOne(body)));
}

async function sendOne(body) {
  const made = card(newId(), $("prompt").value);
  try {
    // It is remembered before it is sent: a page that is loaded again looks for it.
    remember();
    await submit({ ...body, task_id: made.known.taskId });
    made.follow();
    refreshSoon();
  } catch (error) {
    if (error instanceof Problem) {
      made.close();
      complain(error);
    } else made.fail(error.message);
  }
}

// ---- as code

function showCode(body) {
  code = body;
  writeCode("curl");
  $("snippet-said").textContent = "";
  $("snippet").showModal();
}

function writeCode(language) {
  for (const each of $("snippet").querySelectorAll("[data-language]")) {
    each.setAttribute("aria-pressed", String(each.dataset.language === language));
  }
  $("snippet-text").value = snippet(language, location.origin, code, token.get() !== null);
}

async function copyCode() {
  const field = $("snippet-text");
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Pages that come without TLS have no clipboard, but a selection.
    field.select();
    document.execCommand("copy");
  }
  $("snippet-said").textContent = "Copied.";
}

// ---- the start

async function models() {
  const found = await call("GET", "/v1/models").catch(() => ({ data: [] }));
  const names = found.data.map((each) => each.id);
  $("model").replaceChildren(new Option("the one that runs", ""), ...names.map((name) => new Option(name, name)));
}

$("ask").noValidate = true;
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
$("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    send();
  }
});
$("code").addEventListener("click", () => {
  try {
    showCode(asked());
  } catch (error) {
    complain(error);
  }
});
$("snippet").addEventListener("click", (event) => {
  const { language } = event.target.dataset;
  if (language) writeCode(language);
});
$("snippet-copy").addEventListener("click", copyCode);
$("snippet-close").addEventListener("click", () => $("snippet").close());

recall();
enter(socket, () => {
  history.refresh();
  models();
});
