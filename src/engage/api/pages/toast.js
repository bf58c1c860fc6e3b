// Short messages to the member, one at a time.

import { $, el } from "./dom.js";

const SHOWN_MS = 4500;

let timer = 0;

/** `urgent`: an error, which screen readers read at once. */
export function toast(text, { urgent = false } = {}) {
  clearTimeout(timer);
  for (const id of ["toast-polite", "toast-urgent"]) $(id).replaceChildren();
  $(urgent ? "toast-urgent" : "toast-polite").append(el("p", { class: "toast" }, text));
  timer = setTimeout(() => {
    for (const id of ["toast-polite", "toast-urgent"]) $(id).replaceChildren();
  }, SHOWN_MS);
}
