// The demo store page: who it is for, what moves it, and the sandbox's clock.

import { makeActivity, showActivity, tickActivity } from "./activity.js";
import { call, Problem } from "./api.js";
import * as clock from "./clock.js";
import { makeDeeds, remove } from "./deeds.js";
import { $, el, setText } from "./dom.js";
import { makeEarn, showEarn } from "./earn.js";
import { Feed } from "./feed.js";
import { makeHome, nextDue, showHome, tickHome } from "./home.js";
import { identity, join, onJoinedElsewhere, recall } from "./identity.js";
import { belongTo, change, moved, onChange, readSandbox, refresh, refreshSoon, state } from "./model.js";
import { followCredits, followPush, makePanel, showWhose } from "./panel.js";
import { toast } from "./toast.js";
import { tell } from "./wire.js";
import { clockTime, dayOf, shortDay } from "./words.js";

const AGAIN_MS = 2000;
const MISSED_MS = 4000;
const HOME_COUNTRY = "ES";

const otherTabs = new BroadcastChannel("engage-sandbox-clock");

let feed = null;

// Who.

async function start() {
  try {
    await readSandbox();
    if (recall() === null) await join(HOME_COUNTRY);
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
  belongTo(member.token, startAnew);
  await refresh();
  if (member !== identity()) return;
  feed = new Feed(member.token, () => state.feedSeq, {
    snapshot: (message) => heard(message, true),
    balance: (message) => heard(message, false),
    state: (name) => change({ connection: name }),
    refused: startAnew,
  });
}

let starting = null;

/** The old token is not accepted any more, or the visitor wants another country. */
function startAnew(country = identity()?.country ?? HOME_COUNTRY) {
  starting ??= join(country)
    .then(enter)
    .catch((problem) => toast(problem.message, { urgent: true }))
    .finally(() => {
      starting = null;
    });
  return starting;
}

// What the feed says. A gap in seq means that something was missed: it is read.

function heard(message, isSnapshot) {
  const { type, seq, balance, cause } = message;
  const text = `${type} seq ${seq}${cause ? ` ${cause}` : ""}, ${balance.active} active, ${balance.pending} pending`;
  tell({ kind: "push", text, detail: message });
  const before = state.feedSeq;
  change({ feedSeq: seq });
  const news = moved({ seq, balance }, { replaces: isSnapshot });
  if (!isSnapshot && news) followPush(message);
  if (!isSnapshot && before !== null && seq > before + 1) {
    tell({ kind: "heal", text: `seq ${before} to ${seq}: reading /v1/me for what was between` });
    refresh();
  } else refreshSoon();
}

// Each second.

let today = null;
let behindSince = null;
let lastLook = 0;

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
  lookForMissed(at);
}

/** A push is a hint and may be lost: what is overdue is looked for, and so is a feed that has fallen behind. */
function lookForMissed(at) {
  const passed = performance.now();
  const due = nextDue(state.credits);
  if (due !== null && at > due + MISSED_MS && passed > lastLook + MISSED_MS) {
    lastLook = passed;
    refresh();
  }
  const behind = state.connection === "live" && state.seq > state.feedSeq;
  behindSince = behind ? (behindSince ?? passed) : null;
  if (behind && passed > behindSince + MISSED_MS) {
    behindSince = null;
    tell({ kind: "heal", text: `the feed is at seq ${state.feedSeq}, /v1/me at ${state.seq}: connecting anew` });
    feed.renew();
  }
}

function look() {
  if (document.hidden || identity() === null) return;
  if (feed?.waiting) feed.renew();
  readSandbox().then(refresh, () => {});
}

// The sandbox's clock.

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

// The membership sheet.

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
  await startAnew($("country").value);
  toast("Welcome! A new member, and 50 points on the way.");
}

// All of it.

function show() {
  showHome(state);
  showEarn(state);
  showActivity(state);
  showWhose(state);
  tick();
  for (const [id] of clockButtons) $(id).disabled = state.member === null;
}

makePanel();
makeHome();
makeEarn(() => showEarn(state));
makeActivity({
  remove,
  showStatement: (shown) => {
    change({ statementShown: shown });
    if (shown) refresh();
  },
});
makeDeeds();
for (const [id, duration] of clockButtons) {
  $(id).addEventListener("click", () => {
    if ($(id).ariaBusy !== "true") advance(duration);
  });
}
$("member-button").addEventListener("click", showMember);
$("member").addEventListener("close", memberClosed);
onJoinedElsewhere(() => {
  recall();
  enter();
});
otherTabs.addEventListener("message", ({ data }) => {
  clock.setNow(data);
  tick();
  refreshSoon();
});
document.addEventListener("visibilitychange", look);
addEventListener("online", look);
onChange(show);
setInterval(tick, 1000);
start();
