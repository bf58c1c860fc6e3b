// The member of this browser: a test member, stored for the next visit and shared by its tabs.

import { call } from "./api.js";

const STORAGE_KEY = "engage.demo.member";

let current = null;

/** {program, member_id, token, country}, or null on a first visit. */
export function identity() {
  return current;
}

export function loadIdentity() {
  try {
    current = JSON.parse(localStorage.getItem(STORAGE_KEY));
  } catch {
    // Without storage, a reload makes a new member.
    current = null;
  }
  if (current !== null && !current.program) current = null;
  return current;
}

/** `referralCode`: of the member who has invited this one. Raises Problem. */
export async function join(program, country, referralCode = null) {
  const body = { program, country };
  if (referralCode) body.referral_code = referralCode;
  const { body: made } = await call("POST", "/v1/sandbox/members", { body });
  return keep({ program, member_id: made.member_id, token: made.token, country });
}

/** Get another token of the same member. Raises Problem, `unknown_member` if the member is gone. */
export async function renewToken() {
  const { program, member_id, country } = current;
  const { body } = await call("POST", "/v1/sandbox/tokens", { body: { program, member_id } });
  return keep({ program, member_id, token: body.token, country });
}

function keep(member) {
  current = member;
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(current));
  } catch {
    // As above.
  }
  return current;
}

/** Call `then` when another tab has made a new member, or got another token. */
export function onOtherTabChanged(then) {
  addEventListener("storage", (event) => {
    if (event.key === STORAGE_KEY && event.newValue) then();
  });
}
