// Calls to the API. A POST carries an Idempotency-Key, so one that had no answer is safe to send again.

import { tell } from "./wire.js";

const ATTEMPTS = 3;
const PAUSE_MS = 1000;

/** A "no" of the API, or no answer at all (status 0). `detail` is fit to show. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || "Something went wrong. Please try again.");
    this.status = status;
    this.code = body.code;
    this.facts = body;
  }
}

/** {status, body, etag, took}; took in milliseconds. 304 has no body. Raises Problem. */
export async function call(method, path, { body, token, etag } = {}) {
  const headers = { Accept: "application/json", "Accept-Language": "en" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (etag) headers["If-None-Match"] = etag;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = newId("");
  const request = { method, headers, cache: "no-store" };
  if (body !== undefined) request.body = JSON.stringify(body);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask(path, request, body);
    } catch (problem) {
      if (!worthAsking(problem) || attempt === ATTEMPTS) throw problem;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** An id that nobody else has. Works where the page is not a secure context, too. */
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function worthAsking(problem) {
  return problem instanceof Problem && (problem.status === 0 || problem.status === 503);
}

async function ask(path, request, sent) {
  const began = performance.now();
  let response, body;
  try {
    response = await fetch(path, request);
    const text = await response.text();
    body = text ? JSON.parse(text) : undefined;
  } catch {
    tell({ kind: "http", text: `${request.method} ${path} no answer`, state: "bad" });
    throw new Problem(0, { code: "no_answer", detail: "The store does not answer right now. Trying again." });
  }
  const took = Math.round(onTheWire(path, began));
  const good = response.ok || response.status === 304;
  tell({
    kind: "http",
    text: `${request.method} ${path}`,
    status: response.status,
    code: good ? undefined : body?.code,
    state: good ? "good" : "bad",
    took: `${took} ms`,
    detail: { sent, answer: masked(body) },
  });
  if (!good) throw new Problem(response.status, body ?? {});
  return { status: response.status, body, etag: response.headers.get("ETag"), took };
}

/** How long the answer took, without what the page had to wait for its own drawing. */
function onTheWire(path, began) {
  const asked = performance.getEntriesByName(new URL(path, location.href).href, "resource");
  const entry = asked.findLast((one) => one.startTime >= began && one.requestStart > 0);
  // The browser keeps 250 and then no more.
  if (performance.getEntriesByType("resource").length > 200) performance.clearResourceTimings();
  return entry ? entry.responseEnd - entry.requestStart : performance.now() - began;
}

/** Credentials are not for screens, nor for screenshots. */
function masked(body) {
  if (body === null || typeof body !== "object" || Array.isArray(body)) return body;
  const secret = ["token", "ticket", "shop_key", "admin_key"];
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, secret.includes(name) ? "…" : value]),
  );
}
