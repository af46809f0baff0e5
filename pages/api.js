// The node over HTTP, with the token of this tab.

const TOKEN_KEY = "elwift.token";

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `the node answered ${status}`);
    this.status = status;
    this.document = document;
    this.field = document.field ?? null;
  }
}

// An answer that nobody gave: the node cannot be reached.
export class Unreached extends Error {}

export const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY),
  set: (text) => (text ? sessionStorage.setItem(TOKEN_KEY, text) : sessionStorage.removeItem(TOKEN_KEY)),
};

let onForbidden = () => {};

export function whenForbidden(act) {
  onForbidden = act;
}

export async function call(method, path, body) {
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Unreached("the node cannot be reached");
  }
  const document = await response.json().catch(() => ({}));
  if (response.status === 401) onForbidden();
  if (!response.ok) throw new Problem(response.status, document);
  return document;
}

// The same id at every try, so that it is one task whichever of them arrives.
export async function submit(body, tries = 6) {
  for (let left = tries; ; left--) {
    try {
      return await call("POST", "/tasks", body);
    } catch (error) {
      if (!(error instanceof Unreached) || left <= 1) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** (tries - left)));
    }
  }
}

// A UUID of version 4; `randomUUID` is not there for pages that come without TLS.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export function socketUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket/websocket`;
}
