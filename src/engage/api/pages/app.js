// The demo store page: its member, its updates, and the sandbox's clock.

import { setUpActivity, showActivity, tickActivity } from "./activity.js";
import { call, Problem } from "./api.js";
import * as clock from "./clock.js";
import { setUpActions, remove } from "./actions.js";
import { $, el, setText } from "./dom.js";
import { setUpEarn, showEarn } from "./earn.js";
import { Feed } from "./feed.js";
import { setUpHome, nextDue, showHome, tickHome } from "./home.js";
import { identity, join, onOtherTabChanged, loadIdentity, renewToken } from "./identity.js";
import { useMember, useToken, change, applyBalance, onChange, readSandbox, refresh, refreshSoon, state } from "./model.js";
import { followCredits, followPush, setUpPanel, showLogMember } from "./panel.js";
import { toast } from "./toast.js";
import { log } from "./log.js";
import { clockTime, dayOf, shortDay } from "./format.js";

const AGAIN_MS = 2000;
const MISSED_MS = 4000;
const HOME_COUNTRY = "ES";

const otherTabs = new BroadcastChannel("engage-sandbox-clock");

let feed = null;

async function start() {
  try {
    await readSandbox();
    if (loadIdentity() === null) await join(HOME_COUNTRY);
    await enter();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    setText($("fuel-status"), problem.message);
    setTimeout(start, AGAIN_MS);
  }
}

async function enter() {
  feed?.stop();
  const member = identity();
  useMember(member.token, signInAgain);
  await refresh();
  if (member !== identity()) return;
  feed = new Feed(member.token, () => state.feedSeq, {
    snapshot: (message) => receive(message, true),
    balance: (message) => receive(message, false),
    state: (name) => change({ connection: name }),
    expiring: stayConnected,
    refused: signInAgain,
  });
}

/** Replace a token that is about to end, without a break. */
async function stayConnected() {
  try {
    const { token } = await renewToken();
    useToken(token);
    await feed.useToken(token);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    // The feed closes the connection when the token ends. Then the page signs in again.
  }
}

let starting = null;

/** The token was refused: get another. A member who is gone is followed by a new one. */
function signInAgain() {
  const country = identity()?.country ?? HOME_COUNTRY;
  return begin(() =>
    renewToken().catch((problem) => {
      if (problem.code !== "unknown_member") throw problem;
      return join(country);
    }),
  );
}

/** Make a new member: the visitor has chosen a country. */
function restart(country) {
  return begin(() => join(country));
}

function begin(signIn) {
  starting ??= signIn()
    .then(enter)
    .catch((problem) => toast(problem.message, { urgent: true }))
    .finally(() => {
      starting = null;
    });
  return starting;
}

// Messages of the feed. A gap in seq means that changes were missed: read the state.

function receive(message, isSnapshot) {
  const { type, seq, balance, cause } = message;
  const text = `${type} seq ${seq}${cause ? ` ${cause}` : ""}, ${balance.active} active, ${balance.pending} pending`;
  log({ kind: "push", text, detail: message });
  const before = state.feedSeq;
  change({ feedSeq: seq });
  const newer = applyBalance({ seq, balance }, { replaces: isSnapshot });
  if (!isSnapshot && newer) followPush(message);
  if (!isSnapshot && before !== null && seq > before + 1) {
    log({ kind: "resync", text: `seq ${before} to ${seq}: reading /v1/me for the changes between` });
    refresh();
  } else refreshSoon();
}

let today = null;
let behindSince = null;
let lastCheck = 0;

function tick() {
  if (state.member === null) return;
  const zone = state.member.zone ?? "UTC";
  const at = clock.now();
  setText($("sandbox-time"), `${shortDay(at, zone)}, ${clockTime(at, zone)}`);
  setText($("sandbox-zone"), zone.split("/").at(-1).replaceAll("_", " "));
  tickHome(state);
  tickActivity(state);
  followCredits(state);
  const day = dayOf(at, zone);
  if (today !== null && day !== today) refresh();
  today = day;
  checkForMissedPushes(at);
}

/** A push may be lost: read overdue credits, and reconnect a feed that has fallen behind. */
function checkForMissedPushes(at) {
  const passed = performance.now();
  const due = nextDue(state.credits);
  if (due !== null && at > due + MISSED_MS && passed > lastCheck + MISSED_MS) {
    lastCheck = passed;
    refresh();
  }
  const behind = state.connection === "live" && state.seq > state.feedSeq;
  behindSince = behind ? (behindSince ?? passed) : null;
  if (behind && passed > behindSince + MISSED_MS) {
    behindSince = null;
    log({ kind: "resync", text: `the feed is at seq ${state.feedSeq}, /v1/me at ${state.seq}: reconnecting` });
    feed.renew();
  }
}

function refreshIfVisible() {
  if (document.hidden || identity() === null) return;
  if (feed?.waiting) feed.renew();
  readSandbox().then(refresh, () => {});
}

const clockButtons = [
  ["plus-5-min", "PT5M"],
  ["plus-1-day", "P1D"],
];

async function advance(duration) {
  enableClock(false);
  try {
    const { body } = await call("POST", "/v1/sandbox/clock", { body: { advance: duration } });
    clock.setNow(body.now);
    otherTabs.postMessage(body.now);
    change({});
    refreshSoon();
  } catch (problem) {
    toast(problem.message, { urgent: true });
  } finally {
    enableClock(true);
  }
}

function enableClock(enabled) {
  for (const [id] of clockButtons) $(id).ariaBusy = String(!enabled);
}

function showMember() {
  const { member } = state;
  if (member === null) return;
  const facts = [
    ["member", member.member_id],
    ["program", `${member.program}, rules of ${member.program_version}`],
    ["country", member.country],
    ["time zone", member.zone],
  ];
  $("member-facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  $("country").value = member.country;
  $("member").returnValue = "";
  $("member").showModal();
}

async function memberClosed() {
  if ($("member").returnValue !== "new") return;
  await restart($("country").value);
  toast("Welcome! A new member, and 50 points on the way.");
}

function show() {
  showHome(state);
  showEarn(state);
  showActivity(state);
  showLogMember(state);
  tick();
  for (const [id] of clockButtons) $(id).disabled = state.member === null;
}

setUpPanel();
setUpHome();
setUpEarn(() => showEarn(state));
setUpActivity({
  remove,
  showStatement: (shown) => {
    change({ statementShown: shown });
    if (shown) refresh();
  },
});
setUpActions();
for (const [id, duration] of clockButtons) {
  $(id).addEventListener("click", () => {
    if ($(id).ariaBusy !== "true") advance(duration);
  });
}
$("member-button").addEventListener("click", showMember);
$("member").addEventListener("close", memberClosed);
onOtherTabChanged(() => {
  loadIdentity();
  enter();
});
otherTabs.addEventListener("message", ({ data }) => {
  clock.setNow(data);
  tick();
  refreshSoon();
});
document.addEventListener("visibilitychange", refreshIfVisible);
addEventListener("online", refreshIfVisible);
onChange(show);
setInterval(tick, 1000);
start();
