// The modules of the pages that need no page: the Phoenix client by the vectors and on a made-up
// socket, what is known of a task, and programs as text.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Socket, decode, encode, protocolsFor } from "./phoenix.js";
import { Series, bytes } from "./series.js";
import { snippet } from "./snippets.js";
import { timeline } from "./spans.js";
import { TaskState, count } from "./task_state.js";

const { vectors } = JSON.parse(readFileSync(new URL("./vectors.json", import.meta.url), "utf-8"));
const frames = (kind) => vectors
  .filter(({ vsn }) => vsn === "2.0.0")
  .flatMap(({ steps }) => steps.filter(([name]) => name === kind).flatMap(([, value]) => value));

const fromHex = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16)).buffer;

test("what the vectors' server says in text is read, and written as it was", () => {
  const texts = frames("expect").filter((frame) => !frame.startsWith("hex:"));
  assert.ok(texts.length > 50);
  for (const frame of texts) {
    const message = decode(frame);
    assert.deepEqual(JSON.parse(encode(message)), JSON.parse(frame));
  }
});

test("what it says in bytes is read", () => {
  const hexes = frames("expect").filter((frame) => frame.startsWith("hex:")).map((frame) => frame.slice(4));
  assert.ok(hexes.length >= 2);
  for (const hex of hexes) {
    const { topic, event, payload } = decode(fromHex(hex));
    assert.ok(topic.startsWith("room:"));
    assert.ok(event.length > 0);
    assert.ok(payload instanceof ArrayBuffer || payload.response instanceof ArrayBuffer);
  }
  assert.throws(() => decode(fromHex("0900")), RangeError);
});

test("the client's own frames are those of the vectors", () => {
  const sent = new Set(frames("send"));
  assert.ok(sent.has(encode({ joinRef: null, ref: "1", topic: "phoenix", event: "heartbeat", payload: {} })));
  assert.ok(sent.has(encode({ joinRef: "1", ref: "1", topic: "room:a", event: "phx_join", payload: {} })));
});

test("a token becomes a sub-protocol that a browser takes", () => {
  const [name, offer] = protocolsFor("a?>~ü/token");
  assert.equal(name, "phoenix");
  assert.match(offer, /^base64url\.bearer\.phx\.[A-Za-z0-9_-]+$/);
  assert.equal(Buffer.from(offer.split(".").at(-1), "base64url").toString(), "a?>~ü/token");
  assert.deepEqual(protocolsFor(null), []);
});

// ---- a socket and a clock that are made up

class World {
  constructor() {
    this.sockets = [];
    this.timers = new Map();
    this.now = 0;
    this.numbers = 0;
    const world = this;
    this.WebSocket = class {
      constructor(url, protocols) {
        Object.assign(this, { url, protocols, readyState: 0, sent: [] });
        world.sockets.push(this);
      }
      send(text) { this.sent.push(JSON.parse(text)); }
      close() { this.readyState = 3; this.onclose?.({}); }
      open() { this.readyState = 1; this.onopen(); }
      say(...frame) { this.onmessage({ data: JSON.stringify(frame) }); }
    };
    this.setTimeout = (act, ms) => {
      this.timers.set(++this.numbers, { at: this.now + ms, act });
      return this.numbers;
    };
    this.clearTimeout = (number) => this.timers.delete(number);
  }

  pass(ms) {
    const end = this.now + ms;
    for (;;) {
      const [number, timer] = [...this.timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (timer === undefined || timer.at > end) break;
      this.timers.delete(number);
      this.now = timer.at;
      timer.act();
    }
    this.now = end;
  }

  get last() { return this.sockets.at(-1); }
}

function joined(params = () => ({})) {
  const world = new World();
  const states = [];
  const heard = [];
  const socket = new Socket("ws://node/socket/websocket", { outside: world, onstate: (state) => states.push(state) });
  socket.connect();
  const channel = socket.channel("room:a", params, {
    joined: (response) => heard.push(["joined", response]),
    refused: (response) => heard.push(["refused", response]),
    event: (...event) => heard.push(event),
    closed: () => heard.push(["closed"]),
  });
  world.last.open();
  return { world, socket, channel, states, heard, ref: () => channel.joinRef };
}

const OK = { status: "ok", response: {} };

test("a channel joins when the socket is open, and hears its events alone", () => {
  const { world, heard, ref } = joined(() => ({ offset: 3 }));
  assert.equal(world.last.url, "ws://node/socket/websocket?vsn=2.0.0");
  assert.deepEqual(world.last.sent, [[ref(), ref(), "room:a", "phx_join", { offset: 3 }]]);
  world.last.say(ref(), null, "room:a", "early", {});
  world.last.say(ref(), ref(), "room:a", "phx_reply", OK);
  world.last.say(ref(), null, "room:a", "one", { n: 1 });
  world.last.say(null, null, "room:a", "broadcast", {});
  world.last.say("before", null, "room:a", "stale", {});
  world.last.say(null, null, "room:b", "foreign", {});
  assert.deepEqual(heard, [["joined", {}], ["one", { n: 1 }], ["broadcast", {}]]);
});

test("a lost connection comes back and joins with what is known then", () => {
  let offset = 0;
  const { world, heard, states, ref } = joined(() => ({ offset }));
  world.last.say(ref(), ref(), "room:a", "phx_reply", OK);
  offset = 12;
  const before = ref();
  world.last.close();
  assert.equal(states.at(-1), "waiting");
  world.pass(10);
  assert.equal(world.sockets.length, 2);
  world.last.open();
  assert.deepEqual(world.last.sent.at(-1)[4], { offset: 12 });
  assert.notEqual(ref(), before);
  world.last.say(before, null, "room:a", "stale", {});
  world.last.say(ref(), ref(), "room:a", "phx_reply", OK);
  assert.deepEqual(heard, [["joined", {}], ["joined", {}]]);
});

test("who cannot come in waits longer from time to time, five seconds at most", () => {
  const world = new World();
  const socket = new Socket("ws://node", { outside: world });
  socket.connect();
  const waits = [];
  for (let i = 0; i < 9; i++) {
    const at = world.now;
    world.last.close();
    const known = world.sockets.length;
    while (world.sockets.length === known) world.pass(10);
    waits.push(world.now - at);
  }
  assert.deepEqual(waits, [10, 100, 250, 500, 1000, 2000, 5000, 5000, 5000]);
});

test("cut is cut, until it is wanted again", () => {
  const { world, socket, states } = joined();
  socket.cut();
  world.pass(100_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(states.at(-1), "cut");
  socket.connect();
  world.last.open();
  assert.equal(world.last.sent.at(-1)[3], "phx_join");
});

test("a heartbeat that nobody answers ends the connection", () => {
  const { world } = joined();
  world.pass(30_000);
  const [, ref] = world.last.sent.at(-1);
  world.last.say(null, ref, "phoenix", "phx_reply", OK);
  world.pass(30_000);
  assert.equal(world.sockets.length, 1, "it was answered");
  world.pass(30_010);
  assert.equal(world.sockets.length, 2, "it was not");
});

test("a push has its reply, or none when the connection goes", async () => {
  const { world, channel, ref } = joined();
  await assert.rejects(channel.push("ok"), /not joined/);
  world.last.say(ref(), ref(), "room:a", "phx_reply", OK);
  const first = channel.push("ok", { a: 1 });
  const [joinRef, number] = world.last.sent.at(-1);
  world.last.say(joinRef, number, "room:a", "phx_reply", { status: "error", response: { reason: "no" } });
  assert.deepEqual(await first, { status: "error", response: { reason: "no" } });
  const second = channel.push("ok");
  world.last.close();
  await assert.rejects(second, /gone/);
  world.pass(10);
  world.last.open();
  world.last.say(ref(), ref(), "room:a", "phx_reply", OK);
  const third = channel.push("ok");
  world.pass(10_000);
  await assert.rejects(third, /no answer/);
});

test("a channel that failed, or whose join was not answered, joins again", () => {
  const { world, ref } = joined();
  world.pass(10_000);
  world.pass(250);
  assert.equal(world.last.sent.filter((frame) => frame[3] === "phx_join").length, 2);
  world.last.say(ref(), ref(), "room:a", "phx_reply", OK);
  world.last.say(ref(), null, "room:a", "phx_error", {});
  world.pass(5_000);
  assert.equal(world.last.sent.filter((frame) => frame[3] === "phx_join").length, 3);
});

test("what is not there is not asked for again, what is full is", () => {
  for (const [reason, joins] of [["not found", 1], ["too many watch this task", 2]]) {
    const { world, heard, ref } = joined();
    world.last.say(ref(), ref(), "room:a", "phx_reply", { status: "error", response: { reason } });
    assert.deepEqual(heard, [["refused", { reason }]]);
    world.pass(1_000);
    assert.equal(world.last.sent.filter((frame) => frame[3] === "phx_join").length, joins);
  }
});

test("who leaves, or is told that it is over, joins no more", () => {
  const left = joined();
  left.world.last.say(left.ref(), left.ref(), "room:a", "phx_reply", OK);
  left.channel.leave();
  assert.equal(left.world.last.sent.at(-1)[3], "phx_leave");
  const over = joined();
  over.world.last.say(over.ref(), over.ref(), "room:a", "phx_reply", OK);
  over.world.last.say(over.ref(), over.ref(), "room:a", "phx_close", {});
  assert.deepEqual(over.heard.at(-1), ["closed"]);
  for (const { world } of [left, over]) {
    world.last.close();
    world.pass(10);
    world.last.open();
    assert.deepEqual(world.last.sent, []);
  }
});

// ---- what is known of a task

const TASK = {
  task_id: "t", state: "executing", position: null, eta_ms: null, waits_for: null, progress: 0,
  tokens: 0, fallback: null, result: null, errors: [],
};

test("texts are counted in code points, and cut there", () => {
  const known = new TaskState("t");
  known.joined({ task: TASK, delta: "🦊é", offset: 0 });
  known.apply("progress", { state: "executing", phase: "decode", progress: 0.1, tokens: 2, eta_ms: 5, offset: 2, delta: "🚀🚀" });
  assert.deepEqual([known.text, known.length], ["🦊é🚀🚀", 4]);
  assert.deepEqual(known.apply("rewind", { offset: 3 }), { kept: 3, added: "" });
  assert.equal(known.text, "🦊é🚀");
  known.joined({ task: TASK, delta: "狐", offset: 1 }, 3);
  assert.deepEqual([known.text, known.length, known.resumedAt], ["🦊狐", 2, 1]);
  assert.equal(count("e\u0301"), 2);
});

test("it says how the task stands", () => {
  const known = new TaskState("t");
  const waiting = { ...TASK, state: "available", position: 3, eta_ms: 12_300 };
  known.joined({ task: waiting, delta: "", offset: 0 });
  assert.equal(known.sentence(), "number 3 in the queue, about 12 s");
  known.apply("queued", { position: 1, eta_ms: null, waits_for: "the engine to come back" });
  assert.equal(known.sentence(), "waits for the engine to come back");
  known.apply("progress", { state: "executing", phase: "prefill", progress: 0, tokens: 0, eta_ms: 9, offset: 0, delta: "" });
  assert.equal(known.sentence(), "reading the prompt");
  known.apply("retrying", { attempt: 2, max_attempts: 3, in_ms: 500, error: {} });
  assert.equal(known.sentence(), "will be tried again: attempt 2 of 3 in 0.50 s");
  known.apply("failed", { error: { message: "the engine died" } });
  assert.deepEqual([known.sentence(), known.ended], ["failed: the engine died", true]);
  known.apply("rewind", { offset: 0 });
  assert.equal(known.ended, false);
  known.apply("completed", { result: { text: "whole", usage: { completion_tokens: 2 }, timings: {}, finish_reason: "stop" } });
  assert.deepEqual([known.sentence(), known.text], ["done: 2 tokens", "whole"]);
});

test("a text too long for a result is the one that came in pieces", () => {
  const known = new TaskState("t");
  known.joined({ task: TASK, delta: "pieces", offset: 0 });
  known.apply("completed", { result: { text: null, usage: { completion_tokens: 1 } } });
  assert.equal(known.text, "pieces");
});

test("Swift has its own escapes, and no text becomes a program", () => {
  const text = snippet("swift", "http://node", { prompt: 'a"\\(b)\n\u0000', stop: [], x: { y: null, z: {} } }, true);
  assert.ok(text.includes('"prompt": "a\\"\\\\(b)\\n\\u{0}"'));
  assert.ok(text.includes('"x": ["y": NSNull(), "z": [String: Any]()] as [String: Any]'));
  assert.ok(text.includes("ELWIFT_TOKEN"));
});

// ---- the dashboard's

test("a series keeps its newest values, and leaves gaps where there is none", () => {
  const series = new Series(5);
  assert.deepEqual(series.paths(100, 10), { line: "", area: "" });
  for (const value of [9, 0, 5, null, 10]) series.add(value);
  assert.deepEqual(series.paths(100, 10), {
    line: "M0 1L25 10L50 5M100 0", area: "M0 1L25 10L50 5L50 10L0 10ZM100 0L100 10L100 10Z",
  });
  series.add(2);
  assert.deepEqual([series.values, series.last, series.top], [[0, 5, null, 10, 2], 2, 10]);
  assert.deepEqual([bytes(null), bytes(1023), bytes(1536), bytes(3 * 2 ** 30)], ["unknown", "1023 B", "1.5 KiB", "3.0 GiB"]);
});

test("a time line has what its task waited for, and what the engine did", () => {
  const at = (ms) => new Date(ms).toISOString();
  const audit = [
    { at: at(0), event: "accepted", from_state: null, to_state: "available", cause: null },
    { at: at(100), event: "started", from_state: "available", to_state: "executing", cause: null },
    { at: at(300), event: "failed", from_state: "executing", to_state: "retryable", cause: "engine_died" },
    { at: at(400), event: "started", from_state: "retryable", to_state: "executing", cause: null },
    { at: at(900), event: "completed", from_state: "executing", to_state: "completed", cause: "stop" },
  ];
  const task = { created_at: at(0), result: { timings: { prefill_ms: 50, decode_ms: 400 } } };
  const { spans, points, endMs } = timeline(task, audit, 5_000);
  assert.deepEqual(spans.map(({ name, fromMs, toMs }) => [name, fromMs, toMs]), [
    ["waits", 0, 100], ["runs", 100, 300], ["waits for another attempt", 300, 400], ["runs", 400, 900],
    ["reads the prompt", 400, 450], ["writes", 450, 850], ["the rest, the commit included", 850, 900],
  ]);
  assert.deepEqual([points[2].name, endMs], ["failed (engine_died)", 900]);
  const running = timeline({ created_at: at(0), result: null }, audit.slice(0, 2), 250);
  assert.deepEqual(running.spans.at(-1), { name: "runs", fromMs: 100, toMs: 250 });
});
