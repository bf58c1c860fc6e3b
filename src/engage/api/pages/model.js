// What the page knows. REST is the truth; the feed moves the balance sooner, and never back.

import { call, Problem } from "./api.js";
import * as clock from "./clock.js";

const CREDITS_READ = 50;
const SOON_MS = 120;
const AGAIN_MS = 3000;

const EMPTY = {
  member: null,
  balance: null,
  seq: null,
  feedSeq: null,
  expiring: [],
  streak: null,
  limits: [],
  credits: [],
  entries: [],
  trouble: null,
};

export const state = { ...EMPTY, connection: "connecting", shopKey: null, statementShown: false };

const listeners = new Set();
let told = false;

/** `listener` is called after changes, once for all that came together. */
export function onChange(listener) {
  listeners.add(listener);
}

export function change(changes) {
  Object.assign(state, changes);
  if (told) return;
  told = true;
  queueMicrotask(() => {
    told = false;
    for (const listener of listeners) listener(state);
  });
}

// Whose answers count; those to questions of an earlier member do not.
let token = null;
let etag = null;
let home = null;
let onLost = () => {};

/** From now on it is this member's. `lost` is called when the token is not accepted any more. */
export function belongTo(memberToken, lost) {
  token = memberToken;
  etag = home = null;
  onLost = lost;
  change(EMPTY);
}

/** The balance as the feed tells it; a snapshot replaces whatever was known. False when it is old news. */
export function moved({ seq, balance }, { replaces = false } = {}) {
  if (!replaces && state.seq !== null && seq < state.seq) return false;
  change({ seq, balance });
  return true;
}

/** What an answer to an activity says, until the next reading says it again. */
export function answered({ credits = [], streak, limit }) {
  const known = new Set(state.credits.map((credit) => credit.id));
  const fresh = credits.filter((credit) => !known.has(credit.id));
  change({
    credits: [...fresh.reverse(), ...state.credits],
    streak: streak ?? state.streak,
    limits: limit ? state.limits.map((one) => (one.rule === limit.rule ? limit : one)) : state.limits,
  });
}

let reading = null;
let readAgain = false;
let later = 0;

/** Reads everything that is shown. Many askers, one reading; whoever asks during one gets another. */
export function refresh() {
  clearTimeout(later);
  readAgain = true;
  reading ??= readUntilCurrent().finally(() => {
    reading = null;
  });
  return reading;
}

/** The same, a little later, for when more may be coming. */
export function refreshSoon(ms = SOON_MS) {
  clearTimeout(later);
  later = setTimeout(refresh, ms);
}

async function readUntilCurrent() {
  while (readAgain) {
    readAgain = false;
    await read(token);
  }
}

async function read(asker) {
  const as = { token: asker };
  try {
    const [me, credits, entries] = await Promise.all([
      call("GET", "/v1/me", { ...as, etag }),
      call("GET", `/v1/me/credits?limit=${CREDITS_READ}`, as),
      state.statementShown ? call("GET", "/v1/me/entries", as) : null,
    ]);
    if (asker !== token) return;
    if (me.status !== 304) {
      home = me.body;
      etag = me.etag;
    }
    take(home, credits.body.items, entries?.body.items);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (asker !== token) return;
    if (problem.status === 401 || problem.code === "unknown_member") onLost();
    else {
      change({ trouble: problem.message });
      refreshSoon(AGAIN_MS);
    }
  }
}

function take({ balance: { seq, ...balance }, member, expiring, streak, limits }, credits, entries) {
  // A push may have overtaken this answer.
  if (state.seq === null || seq >= state.seq) change({ seq, balance });
  else refreshSoon();
  change({ member, expiring, streak, limits, credits, entries: entries ?? state.entries, trouble: null });
}

/** Raises Problem. */
export async function readSandbox() {
  const { body } = await call("GET", "/v1/sandbox");
  clock.setNow(body.now);
  change({ shopKey: body.shop_key });
}
