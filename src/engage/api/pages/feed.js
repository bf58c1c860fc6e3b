// The websocket: a new ticket for each connection, resume from the newest seq, longer pauses after failures.

import { call } from "./api.js";
import { log } from "./log.js";

const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const FIRST_MESSAGE_MS = 8_000;
const PING_AFTER_MS = 10_000;
const PONG_WITHIN_MS = 5_000;
const RENEW_BEFORE_MS = 60_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * `on` is {snapshot(message), balance(message), state(name), expiring(), refused()}; state is "connecting", "live"
 * or "reconnecting". `expiring` asks for `useToken`: the connection ends with its token. `seen` gives the newest seq that the page knows, or null.
 */
export class Feed {
  #token;
  #on;
  #seen;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #end = 0;
  #stopped = false;

  constructor(token, seen, on) {
    this.#token = token;
    this.#seen = seen;
    this.#on = on;
    this.#awaitEnd();
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#end);
    this.#socket?.close();
  }

  /** Reconnect now: the network is back, or the connection has fallen behind. */
  renew() {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#connect();
  }

  /** Go on under another token of the same member, with a ticket for the open connection. Raises Problem. */
  async useToken(token) {
    this.#token = token;
    this.#awaitEnd();
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    const { body } = await call("POST", "/v1/feed/tickets", { token });
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify({ type: "auth", ticket: body.ticket }));
    log({ kind: "socket", text: "ticket of a new token sent" });
  }

  #awaitEnd() {
    clearTimeout(this.#end);
    // The clock of this machine may be wrong, so a new token is not asked for again and again.
    const left = Math.max(endOf(this.#token) - Date.now() - RENEW_BEFORE_MS, RENEW_BEFORE_MS);
    this.#end = setTimeout(() => this.#on.expiring(), Math.min(left, LONGEST_TIMER_MS));
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
      else this.#retryLater("no ticket");
      return;
    }
    if (!this.#stopped && this.#socket === null) this.#open(ticket);
  }

  #open(ticket) {
    const socket = new WebSocket(ticket.url);
    this.#socket = socket;
    const current = () => this.#socket === socket && !this.#stopped;
    this.#timer = setTimeout(() => socket.close(), FIRST_MESSAGE_MS);
    socket.onopen = () => {
      const seq = this.#seen();
      socket.send(JSON.stringify({ type: "auth", ticket: ticket.ticket }));
      if (seq !== null) socket.send(JSON.stringify({ type: "resume", seq }));
      log({ kind: "socket", text: seq === null ? "open, ticket sent" : `open, ticket sent, resume after seq ${seq}` });
    };
    socket.onmessage = ({ data }) => {
      if (current()) this.#receive(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (!current()) return;
      this.#socket = null;
      clearTimeout(this.#timer);
      log({ kind: "socket", text: `closed ${code} ${reason}`, state: "bad" });
      this.#retryLater();
    };
  }

  #receive(message) {
    clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#on.state("live");
    this.#timer = setTimeout(() => this.#ping(), PING_AFTER_MS);
    if (message.type === "snapshot") this.#on.snapshot(message);
    if (message.type === "balance") this.#on.balance(message);
  }

  /** Ask a quiet feed whether it still answers: a browser does not tell that a connection is dead. */
  #ping() {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    socket.send('{"type": "ping"}');
    this.#timer = setTimeout(() => {
      log({ kind: "socket", text: `no answer to a ping in ${PONG_WITHIN_MS / 1000} s`, state: "bad" });
      this.#attempts = 1;
      this.renew();
    }, PONG_WITHIN_MS);
  }

  #retryLater() {
    if (this.#stopped) return;
    this.#attempts += 1;
    this.#on.state("reconnecting");
    // Random pauses, so that clients do not reconnect to a restarted feed at once.
    const longest = Math.min(PAUSE_MS * 2 ** (this.#attempts - 1), LONGEST_PAUSE_MS);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2));
  }
}

/** The time at which a token ends, in milliseconds. */
function endOf(token) {
  try {
    const claims = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(claims)).exp * 1000;
  } catch {
    return Infinity;
  }
}
