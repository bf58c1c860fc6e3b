// Short messages to the member, one at a time.

import { $, el } from "./dom.js";

const SHOWN_MS = 4500;

let timer = 0;

/** `urgent`: an error, which screen readers read at once. */
export function toast(text, { urgent = false } = {}) {
  clearTimeout(timer);
  clearToasts();
  $(urgent ? "toast-urgent" : "toast-polite").append(el("p", { class: "toast" }, text));
  timer = setTimeout(clearToasts, SHOWN_MS);
}

/** An error does not outlive the next success. */
export function clearError() {
  $("toast-urgent").replaceChildren();
}

function clearToasts() {
  for (const id of ["toast-polite", "toast-urgent"]) $(id).replaceChildren();
}
