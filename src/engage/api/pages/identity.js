// Who this browser is: a member of the sandbox, kept for the next visit and shared by the tabs.

import { call } from "./api.js";

export const PROGRAM = "eu-mi-points";
const KEPT = "engage.demo.member";

let current = null;

/** {member_id, token, country}, or null on a first visit. */
export function identity() {
  return current;
}

export function recall() {
  try {
    current = JSON.parse(localStorage.getItem(KEPT));
  } catch {
    // Without storage a reload begins anew, which is all right for a demo.
    current = null;
  }
  return current;
}

export async function join(country) {
  const { body } = await call("POST", "/v1/sandbox/members", { body: { program: PROGRAM, country } });
  current = { member_id: body.member_id, token: body.token, country };
  try {
    localStorage.setItem(KEPT, JSON.stringify(current));
  } catch {
    // As above.
  }
  return current;
}

/** Another tab has started anew. */
export function onJoinedElsewhere(then) {
  addEventListener("storage", (event) => {
    if (event.key === KEPT && event.newValue) then();
  });
}
