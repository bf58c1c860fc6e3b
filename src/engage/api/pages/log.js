// Log lines of requests and pushes, for the panel beside the phone.

const listeners = new Set();

/** `line` is {kind, text, state?, took?, detail?}; kind is "http", "push", "socket" or "resync". */
export function log(line) {
  for (const listener of listeners) listener({ at: new Date(), ...line });
}

export function onLog(listener) {
  listeners.add(listener);
}
