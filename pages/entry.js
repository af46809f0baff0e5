// What both pages have in their head: the connection, and the token where the node wants one.

import { call, token, whenForbidden } from "./api.js";

const WORDS = { open: "connected", connecting: "connecting", waiting: "connection lost, trying again", cut: "cut" };
const $ = (id) => document.getElementById(id);

export function connection(state) {
  $("connection").textContent = WORDS[state];
  $("connection").dataset.state = state;
  $("cut").setAttribute("aria-pressed", String(state === "cut"));
}

// Connects the socket, and calls `start`, once the node lets this tab in: now, or with a token.
export function enter(socket, start) {
  whenForbidden(() => {
    $("token-problem").textContent = token.get() ? "This token is not valid here." : "";
    $("token-form").hidden = false;
    $("token").focus();
    socket.cut();
  });
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token.set($("token").value.trim());
    $("token").value = "";
    $("token-form").hidden = true;
    begin();
  });
  $("cut").addEventListener("click", () => {
    if ($("cut").getAttribute("aria-pressed") === "true") socket.connect();
    else socket.cut();
  });
  addEventListener("online", () => socket.hurry());
  document.addEventListener("visibilitychange", () => document.hidden || socket.hurry());

  async function begin() {
    // Asked first, so that a socket is opened only with a token that is valid.
    const refused = await call("GET", "/tasks?limit=1").then(() => false, (error) => error.status === 401);
    if (refused) return;
    socket.connect();
    start();
  }
  begin();
}
