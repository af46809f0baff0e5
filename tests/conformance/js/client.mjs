// Watches one task with phoenix.js and says what it sees, one JSON object a line.
//
// usage: node client.mjs '{"phoenix": PACKAGE, "url": URL, "options": {…}, "join": {…}}'
// `options` go to the Socket, `join` goes with the offset at each join. The first line of standard
// input is the id of the task, each later one an event that is pushed on its channel; the end of the
// input is the end of the program. The text is put together as the README teaches; `chars` is its
// length in code points. The last line of a channel that is over has it whole.

import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const { phoenix, url, options, join: payload } = JSON.parse(process.argv[2]);
const { Socket } = await import(phoenix);

let text = "";

function say(event, more = {}) {
  process.stdout.write(JSON.stringify({ event, chars: [...text].length, ...more }) + "\n");
}

function end(event, more) {
  say(event, { ...more, text });
  process.exit(0);
}

function join(taskId) {
  const socket = new Socket(url, {
    transport: WebSocket,
    reconnectAfterMs: (tries) => Math.min(tries, 50),
    rejoinAfterMs: () => 1,
    ...options,
  });
  socket.onOpen(() => say("open"));
  socket.onClose(({ code }) => say("lost", { code }));
  socket.connect();

  const channel = socket.channel(`task:${taskId}`, () => ({ ...payload, offset: [...text].length }));
  const keep = (offset) => [...text].slice(0, offset).join("");
  const show = ({ delta, offset }) => { text = keep(offset) + delta; };
  channel.on("progress", show);
  channel.on("rewind", ({ offset }) => { text = keep(offset); });
  for (const event of ["queued", "progress", "retrying", "rewind", "completed", "failed", "cancelled"]) {
    channel.on(event, (payload) => say(event, { payload }));
  }
  channel.onError((why) => why?.reason === "channel_crash" && say("crashed"));
  channel.onClose(() => end("closed"));
  channel.join()
    .receive("ok", show)
    .receive("ok", (reply) => say("joined", { reply }))
    .receive("error", ({ reason }) => end("refused", { reason }));
  return channel;
}

function push(channel, event) {
  const push = channel.push(event, {});
  for (const status of ["ok", "error", "timeout"]) {
    push.receive(status, (response) => say("answered", { status, response }));
  }
  say("pushed", { sent: push.sent });
}

const lines = createInterface({ input: process.stdin });
lines.once("line", (taskId) => {
  const channel = join(taskId);
  lines.on("line", (event) => push(channel, event));
});
lines.once("close", () => process.exit(0));
say("ready");
