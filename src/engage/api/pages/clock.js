// The sandbox's clock as the server told it, running on with this machine's.

let told = Date.now();
let heard = performance.now();

export function setNow(iso) {
  told = Date.parse(iso);
  heard = performance.now();
}

/** Milliseconds since 1970, by the sandbox's clock. */
export function now() {
  return told + performance.now() - heard;
}
