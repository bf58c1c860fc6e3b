// The websocket: a new ticket for each connection, resume from the newest seq, patience between attempts.

import { call } from "./api.js";
import { tell } from "./wire.js";

const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const FIRST_MESSAGE_MS = 8_000;

/**
 * `on` is {snapshot(message), balance(message), state(name), refused()}; state is "connecting", "live" or
 * "reconnecting". `seen` gives the newest seq that the page knows, or null.
 */
export class Feed {
  #token;
  #on;
  #seen;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #stopped = false;

  constructor(token, seen, on) {
    this.#token = token;
    this.#seen = seen;
    this.#on = on;
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  /** For when there is reason to believe that a wait is over, or that the connection is not what it seems. */
  renew() {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#connect();
  }

  get waiting() {
    return this.#socket === null;
  }

  async #connect() {
    this.#on.state(this.#attempts === 0 ? "connecting" : "reconnecting");
    let ticket;
    try {
      ticket = (await call("POST", "/v1/feed/tickets", { token: this.#token })).body;
    } catch (problem) {
      if (problem.status === 401) this.#on.refused();
      else this.#again("no ticket");
      return;
    }
    if (!this.#stopped && this.#socket === null) this.#open(ticket);
  }

  #open(ticket) {
    const socket = new WebSocket(ticket.url);
    this.#socket = socket;
    const mine = () => this.#socket === socket && !this.#stopped;
    this.#timer = setTimeout(() => socket.close(), FIRST_MESSAGE_MS);
    socket.onopen = () => {
      const seq = this.#seen();
      socket.send(JSON.stringify({ type: "auth", ticket: ticket.ticket }));
      if (seq !== null) socket.send(JSON.stringify({ type: "resume", seq }));
      tell({ kind: "socket", text: seq === null ? "open, ticket sent" : `open, ticket sent, resume after seq ${seq}` });
    };
    socket.onmessage = ({ data }) => {
      if (mine()) this.#heard(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (!mine()) return;
      this.#socket = null;
      clearTimeout(this.#timer);
      tell({ kind: "socket", text: `closed ${code} ${reason}`, state: "bad" });
      this.#again();
    };
  }

  #heard(message) {
    clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#on.state("live");
    if (message.type === "snapshot") this.#on.snapshot(message);
    if (message.type === "balance") this.#on.balance(message);
  }

  #again() {
    if (this.#stopped) return;
    this.#attempts += 1;
    this.#on.state("reconnecting");
    // Spread out, so that a restarted feed is not met by everybody at once.
    const longest = Math.min(PAUSE_MS * 2 ** (this.#attempts - 1), LONGEST_PAUSE_MS);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2));
  }
}
