// A client of Phoenix channels, protocol version 2.0.0: the codec, one socket, its channels.
// It comes back by itself, and joins with what its channels then know.

export const VSN = "2.0.0";
const HEARTBEAT_MS = 30_000;
const ANSWER_MS = 10_000;
const WAITS_MS = [10, 100, 250, 500, 1_000, 2_000, 5_000];
const OPEN = 1;

export function encode({ joinRef, ref, topic, event, payload }) {
  return JSON.stringify([joinRef, ref, topic, event, payload]);
}

// A frame as an object; payloads of binary frames are an ArrayBuffer.
export function decode(data) {
  if (typeof data === "string") {
    const [joinRef, ref, topic, event, payload] = JSON.parse(data);
    return { joinRef, ref, topic, event, payload };
  }
  const bytes = new Uint8Array(data);
  const kind = bytes[0];
  const names = { 0: 3, 1: 4, 2: 2 }[kind];
  if (names === undefined) throw new RangeError(`no frame has the kind ${kind}`);
  const texts = [];
  let at = 1 + names;
  for (let i = 0; i < names; i++) {
    const end = at + bytes[1 + i];
    texts.push(new TextDecoder().decode(bytes.subarray(at, end)));
    at = end;
  }
  const rest = bytes.slice(at).buffer;
  if (kind === 2) return { joinRef: null, ref: null, topic: texts[0], event: texts[1], payload: rest };
  if (kind === 0) return { joinRef: texts[0], ref: null, topic: texts[1], event: texts[2], payload: rest };
  const [joinRef, ref, topic, status] = texts;
  return { joinRef, ref, topic, event: "phx_reply", payload: { status, response: rest } };
}

// The offer of sub-protocols that carries a token: so it stands in no address.
export function protocolsFor(token) {
  if (!token) return [];
  let raw = "";
  for (const byte of new TextEncoder().encode(token)) raw += String.fromCharCode(byte);
  const text = btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["phoenix", `base64url.bearer.phx.${text}`];
}

const waitMs = (tries) => WAITS_MS[Math.min(tries, WAITS_MS.length - 1)];

export class Channel {
  // `params` makes the join's payload each time. `handlers`: joined(response), refused(response),
  // event(name, payload), closed().
  constructor(socket, topic, params, handlers) {
    Object.assign(this, { socket, topic, params, handlers });
    this.joinRef = null;
    this.state = "closed";
    this.tries = 0;
    this.timer = null;
  }

  join() {
    this._clear();
    this.state = "joining";
    if (!this.socket.open) return;
    this.joinRef = this.socket.nextRef();
    this.timer = this.socket.later(ANSWER_MS, () => this._again());
    this.socket.send({
      joinRef: this.joinRef, ref: this.joinRef, topic: this.topic, event: "phx_join", payload: this.params(),
    });
  }

  // The reply of a push: {status, response}. Rejects where the connection goes first.
  push(event, payload = {}) {
    if (this.state !== "joined") return Promise.reject(new Error("not joined"));
    return this.socket.ask({ joinRef: this.joinRef, topic: this.topic, event, payload });
  }

  leave() {
    this._clear();
    if (this.state === "joined" || this.state === "joining") {
      if (this.socket.open) {
        this.socket.send({
          joinRef: this.joinRef, ref: this.socket.nextRef(), topic: this.topic, event: "phx_leave", payload: {},
        });
      }
    }
    this.state = "closed";
    this.socket.channels.delete(this.topic);
  }

  hear({ joinRef, ref, event, payload }) {
    if (joinRef !== null && joinRef !== this.joinRef) return; // of a join before this one
    if (event === "phx_reply") {
      if (ref === this.joinRef && this.state === "joining") this._answered(payload);
      else this.socket.answered(ref, payload);
    } else if (event === "phx_error") {
      this._again();
    } else if (event === "phx_close") {
      this._clear();
      this.state = "closed";
      this.socket.channels.delete(this.topic);
      this.handlers.closed?.();
    } else if (this.state === "joined") {
      this.handlers.event?.(event, payload);
    }
  }

  lost() {
    this._clear();
    if (this.state !== "closed") this.state = "joining";
  }

  _answered({ status, response }) {
    this._clear();
    if (status === "ok") {
      this.state = "joined";
      this.tries = 0;
      this.handlers.joined?.(response);
    } else {
      this.handlers.refused?.(response);
      if (response?.reason === "not found") {
        this.state = "closed";
        this.socket.channels.delete(this.topic);
      } else this._again();
    }
  }

  _again() {
    this._clear();
    this.state = "joining";
    this.timer = this.socket.later(waitMs(2 + this.tries++), () => this.join());
  }

  _clear() {
    if (this.timer !== null) this.socket.cancel(this.timer);
    this.timer = null;
  }
}

export class Socket {
  // `outside` replaces WebSocket, setTimeout and clearTimeout in tests. `onstate` hears "open",
  // "waiting", "connecting" and "cut"; `onrefused` that a connection ended before it was open.
  constructor(url, { token = () => null, onstate = () => {}, onrefused = () => {}, outside = globalThis } = {}) {
    Object.assign(this, { url, token, onstate, onrefused, outside });
    this.channels = new Map();
    this.waiting = new Map();
    this.ws = null;
    this.wanted = false;
    this.tries = 0;
    this.refs = 0;
    this.timer = null;
    this.beat = null;
    this.unanswered = null;
  }

  get open() {
    return this.ws !== null && this.ws.readyState === OPEN;
  }

  nextRef() {
    return String(++this.refs);
  }

  later(ms, act) {
    return this.outside.setTimeout(act, ms);
  }

  cancel(timer) {
    this.outside.clearTimeout(timer);
  }

  channel(topic, params, handlers) {
    this.channels.get(topic)?.leave();
    const channel = new Channel(this, topic, params, handlers);
    this.channels.set(topic, channel);
    channel.join();
    return channel;
  }

  connect() {
    this.wanted = true;
    if (this.ws !== null) return;
    if (this.timer !== null) this.cancel(this.timer);
    this.timer = null;
    this.onstate("connecting");
    const ws = new this.outside.WebSocket(`${this.url}?vsn=${VSN}`, protocolsFor(this.token()));
    ws.binaryType = "arraybuffer";
    this.ws = ws;
    let opened = false;
    ws.onopen = () => {
      opened = true;
      this._opened();
    };
    ws.onmessage = ({ data }) => this.ws === ws && this._heard(data);
    ws.onclose = () => {
      if (this.ws !== ws) return;
      if (!opened) this.onrefused();
      this._gone();
    };
  }

  // Ends the connection and stays away until `connect`.
  cut() {
    this.wanted = false;
    const ws = this.ws;
    this._gone();
    ws?.close(1000);
    this.onstate("cut");
  }

  // Tries at once, as when the network is back.
  hurry() {
    this.tries = 0;
    if (this.wanted) this.connect();
  }

  send(message) {
    this.ws.send(encode(message));
  }

  ask(message) {
    const ref = this.nextRef();
    return new Promise((resolve, reject) => {
      const timer = this.later(ANSWER_MS, () => {
        this.waiting.delete(ref);
        reject(new Error("no answer in time"));
      });
      this.waiting.set(ref, { resolve, reject, timer });
      this.send({ ...message, ref });
    });
  }

  answered(ref, payload) {
    const asked = this.waiting.get(ref);
    if (asked === undefined) return;
    this.waiting.delete(ref);
    this.cancel(asked.timer);
    asked.resolve(payload);
  }

  _opened() {
    this.tries = 0;
    this.unanswered = null;
    this._arm();
    this.onstate("open");
    for (const channel of this.channels.values()) channel.join();
  }

  _heard(data) {
    const message = decode(data);
    if (message.topic === "phoenix") {
      if (message.ref === this.unanswered) this.unanswered = null;
      return;
    }
    this.channels.get(message.topic)?.hear(message);
  }

  _arm() {
    this.beat = this.later(HEARTBEAT_MS, () => {
      if (!this.open || this.unanswered !== null) {
        // Nobody is there, though the connection has not said so.
        const ws = this.ws;
        this._gone();
        ws?.close();
        return;
      }
      this.unanswered = this.nextRef();
      this.send({ joinRef: null, ref: this.unanswered, topic: "phoenix", event: "heartbeat", payload: {} });
      this._arm();
    });
  }

  _gone() {
    this.ws = null;
    if (this.beat !== null) this.cancel(this.beat);
    if (this.timer !== null) this.cancel(this.timer);
    this.beat = this.timer = null;
    for (const { reject, timer } of this.waiting.values()) {
      this.cancel(timer);
      reject(new Error("the connection is gone"));
    }
    this.waiting.clear();
    for (const channel of this.channels.values()) channel.lost();
    if (!this.wanted) return;
    this.onstate("waiting");
    this.timer = this.later(waitMs(this.tries++), () => this.connect());
  }
}
