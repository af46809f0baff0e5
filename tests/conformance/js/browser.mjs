// What a page has and Node 20 has not; to be imported before phoenix.js.
import { WebSocket } from "ws";

globalThis.self = globalThis;
globalThis.WebSocket = WebSocket;
