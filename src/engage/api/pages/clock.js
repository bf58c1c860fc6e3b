// The sandbox's clock: the last time of the server, continued by this machine's clock.

let serverTime = Date.now();
let receivedAt = performance.now();

export function setNow(iso) {
  serverTime = Date.parse(iso);
  receivedAt = performance.now();
}

/** Milliseconds since 1970, by the sandbox's clock. */
export function now() {
  return serverTime + performance.now() - receivedAt;
}
