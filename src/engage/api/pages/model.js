// The state of the page. REST is authoritative; the feed updates the balance sooner.

import { call, Problem } from "./api.js";
import * as clock from "./clock.js";

const CREDITS_READ = 50;
const SOON_MS = 120;
const AGAIN_MS = 3000;

const EMPTY = {
  member: null,
  program: null,
  balance: null,
  seq: null,
  feedSeq: null,
  expiring: [],
  streak: null,
  tiers: [],
  limits: [],
  tasks: [],
  credits: [],
  entries: [],
  challenges: [],
  quizzes: [],
  games: [],
  draws: [],
  boards: [],
  referral: null,
  rewards: [],
  coupons: [],
  trouble: null,
};

// What each view needs besides the home screen and the credits: [field of the state, path, how to read the answer].
const items = (body) => body.items;
const PARTS = {
  home: [["challenges", "/v1/me/challenges", items]],
  earn: [["referral", "/v1/me/referral", (body) => body]],
  play: [
    ["challenges", "/v1/me/challenges", items],
    ["quizzes", "/v1/quizzes", items],
    ["games", "/v1/games", items],
    ["draws", "/v1/draws", items, withEntered],
    ["boards", "/v1/leaderboards", items],
  ],
  shop: [
    ["rewards", "/v1/rewards", items],
    ["coupons", "/v1/me/coupons", items],
  ],
  activity: [["entries", "/v1/me/entries", items]],
};

export const state = { ...EMPTY, connection: "connecting", shopKey: null, programs: [], waiting: 0, view: "home" };

const listeners = new Set();
let scheduled = false;

/** `listener` is called once after simultaneous changes. */
export function onChange(listener) {
  listeners.add(listener);
}

export function change(changes) {
  Object.assign(state, changes);
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    for (const listener of listeners) listener(state);
  });
}

// Answers to requests with another token are ignored: they belong to an earlier member.
let token = null;
let etag = null;
let home = null;
let onLost = () => {};

/** Show this member. `lost` is called when the token is refused. */
export function useMember(memberToken, lost) {
  token = memberToken;
  etag = home = null;
  onLost = lost;
  change(EMPTY);
}

/** Go on under another token of the same member. */
export function useToken(memberToken) {
  token = memberToken;
}

/** Apply a balance of the feed. A snapshot replaces any other. Returns false for an older one. */
export function applyBalance({ seq, balance }, { replaces = false } = {}) {
  if (!replaces && state.seq !== null && seq < state.seq) return false;
  change({ seq, balance });
  return true;
}

/** Apply the answer to an activity, until the state is read again. */
export function applyAnswer({ credits = [], streak, limit }) {
  const known = new Set(state.credits.map((credit) => credit.id));
  const fresh = credits.filter((credit) => !known.has(credit.id));
  change({
    credits: [...fresh.reverse(), ...state.credits],
    streak: streak ? { ...state.streak, ...streak } : state.streak,
    limits: limit ? state.limits.map((one) => (one.rule === limit.rule ? limit : one)) : state.limits,
  });
}

let reading = null;
let readAgain = false;
let later = 0;

/** Read everything that is shown. Calls during a read share one more read. */
export function refresh() {
  clearTimeout(later);
  readAgain = true;
  reading ??= readUntilCurrent().finally(() => {
    reading = null;
  });
  return reading;
}

/** Refresh a little later, together with further changes. */
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

async function read(memberToken) {
  const as = { token: memberToken };
  try {
    const [me, credits, tasks, ...parts] = await Promise.all([
      call("GET", "/v1/me", { ...as, etag }),
      call("GET", `/v1/me/credits?limit=${CREDITS_READ}`, as),
      call("GET", "/v1/tasks", as),
      ...PARTS[state.view].map((part) => readPart(part, as)),
    ]);
    if (memberToken !== token) return;
    if (me.status !== 304) {
      home = me.body;
      etag = me.etag;
    }
    // The rules change with the version only. Without a version there are none.
    const version = home.member.program_version;
    if (version !== null && state.program?.version !== version) {
      const program = (await call("GET", "/v1/program", as)).body;
      if (memberToken !== token) return;
      change({ program });
    }
    change(Object.assign({}, ...parts));
    apply(home, credits.body.items, tasks.body.items);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (memberToken !== token) return;
    if (problem.status === 401 || problem.code === "unknown_member") onLost();
    else {
      change({ trouble: problem.message });
      refreshSoon(AGAIN_MS);
    }
  }
}

// The list has open draws alone. Those that the member has entered are remembered, for their winners.
const ENTERED_KEY = "engage.demo.draws";
const ENTERED_KEPT = 5;

function enteredDraws() {
  try {
    return (JSON.parse(localStorage.getItem(ENTERED_KEY)) ?? []).filter((one) => one.member_id === state.member?.member_id);
  } catch {
    return [];
  }
}

/** Remember a draw that the member has entered. */
export function rememberDraw(id) {
  const entered = [{ id, member_id: state.member.member_id }, ...enteredDraws()].slice(0, ENTERED_KEPT);
  try {
    localStorage.setItem(ENTERED_KEY, JSON.stringify(entered));
  } catch {
    // Without storage it is forgotten when it closes.
  }
}

async function withEntered(open, as) {
  const known = new Set(open.map((draw) => draw.id));
  const closed = enteredDraws().filter((draw) => !known.has(draw.id));
  const read = await Promise.all(closed.map(({ id }) => call("GET", `/v1/draws/${encodeURIComponent(id)}`, as)));
  return [...open, ...read.map((answer) => answer.body)];
}

/** A program that does not offer something has nothing of it. */
async function readPart([field, path, shape, more], as) {
  try {
    const found = shape((await call("GET", path, as)).body);
    return { [field]: more ? await more(found, as) : found };
  } catch (problem) {
    if (problem.code === "not_offered" || problem.code === "not_found") return { [field]: EMPTY[field] };
    throw problem;
  }
}

function apply({ balance: { seq, ...balance }, member, expiring, streak, limits, tiers }, credits, tasks) {
  // A push may have been faster than this answer.
  if (state.seq === null || seq >= state.seq) change({ seq, balance });
  else refreshSoon();
  change({ member, expiring, streak, limits, tiers: tiers ?? [], credits, tasks, trouble: null });
}

/** Raises Problem. */
export async function readSandbox() {
  const { body } = await call("GET", "/v1/sandbox");
  clock.setNow(body.now);
  change({ shopKey: body.shop_key, programs: body.programs });
}
