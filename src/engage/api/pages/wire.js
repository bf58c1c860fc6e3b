// What goes over the wire, told to whoever listens: the panel beside the phone shows it.

const listeners = new Set();

/** `line` is {kind, text, state?, took?, detail?}; kind is "http", "push", "socket" or "heal". */
export function tell(line) {
  for (const listener of listeners) listener({ at: new Date(), ...line });
}

export function listen(listener) {
  listeners.add(listener);
}
