// Calls to the API. A POST has an Idempotency-Key, so it can be repeated when there was no answer.

import { log } from "./log.js";

const ATTEMPTS = 3;
const PAUSE_MS = 1000;

/** A problem document, or no answer (status 0). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || "Something went wrong. Please try again.");
    this.status = status;
    this.code = body.code;
    this.facts = body;
  }
}

/** {status, body, etag, took}; took in milliseconds. 304 has no body. Raises Problem. */
export async function call(method, path, { body, token, etag, key, attempts = ATTEMPTS } = {}) {
  const headers = { Accept: "application/json", "Accept-Language": "en" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (etag) headers["If-None-Match"] = etag;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = key ?? newId("");
  const request = { method, headers, cache: "no-store" };
  if (body !== undefined) request.body = JSON.stringify(body);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(path, request, body);
    } catch (problem) {
      if (!isRetryable(problem) || attempt === attempts) throw problem;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** A random id. Unlike crypto.randomUUID, this needs no secure context. */
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isRetryable(problem) {
  return problem instanceof Problem && (problem.status === 0 || problem.status === 503);
}

async function send(path, request, sent) {
  const began = performance.now();
  let response, body;
  try {
    response = await fetch(path, request);
    const text = await response.text();
    body = text ? JSON.parse(text) : undefined;
  } catch {
    log({ kind: "http", text: `${request.method} ${path} no answer`, state: "bad" });
    throw new Problem(0, { code: "no_answer", detail: "The store does not answer right now." });
  }
  const took = Math.round(networkTime(path, began));
  const good = response.ok || response.status === 304;
  log({
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

/** The milliseconds from the request to the answer, without the page's own rendering. */
function networkTime(path, began) {
  const entries = performance.getEntriesByName(new URL(path, location.href).href, "resource");
  const entry = entries.findLast((one) => one.startTime >= began && one.requestStart > 0);
  // The browser keeps only the first 250.
  if (performance.getEntriesByType("resource").length > 200) performance.clearResourceTimings();
  return entry ? entry.responseEnd - entry.requestStart : performance.now() - began;
}

/** Hide credentials: screens are photographed. */
function masked(body) {
  if (body === null || typeof body !== "object" || Array.isArray(body)) return body;
  const secret = ["token", "ticket", "shop_key", "admin_key", "approver_key"];
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, secret.includes(name) ? "…" : value]),
  );
}
