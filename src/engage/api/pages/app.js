// The demo store page: its member and program, its updates, and the sandbox's clock.

import { setUpActivity, showActivity, tickActivity } from "./activity.js";
import { call, Problem } from "./api.js";
import * as clock from "./clock.js";
import { can, perform, remove, setUpActions } from "./actions.js";
import { quoteBasket, SHOP } from "./buying.js";
import { PLAY } from "./playing.js";
import { answeredLater, refusedLater } from "./requests.js";
import { $, el, setText } from "./dom.js";
import { setUpEarn, showEarn } from "./earn.js";
import { Feed } from "./feed.js";
import { clockTime, dayAndMonth, dayOf, shortDay } from "./format.js";
import { nextDue, showHome, tickHome } from "./home.js";
import { identity, join, loadIdentity, onOtherTabChanged, renewToken } from "./identity.js";
import { log } from "./log.js";
import { applyBalance, change, onChange, readSandbox, refresh, refreshSoon, state, useMember, useToken } from "./model.js";
import { countryName } from "./names.js";
import { setUpOutbox } from "./outbox.js";
import { followCredits, followPush, setUpPanel, showLogMember } from "./panel.js";
import { showPlay, tickPlay } from "./play.js";
import { loadOrders, setUpShop, showShop } from "./shop.js";
import { toast } from "./toast.js";
import { currentView, setUpViews } from "./views.js";

const AGAIN_MS = 2000;
const MISSED_MS = 4000;
const FIRST_PROGRAM = "demo-store";

const narrow = matchMedia("(max-width: 430px)");
const otherTabs = new BroadcastChannel("engage-sandbox-clock");

let feed = null;

async function start() {
  try {
    await readSandbox();
    const known = loadIdentity();
    const wanted = wantedByAddress();
    const stays = known !== null && state.programs.some((program) => program.id === known.program);
    if (!stays || wanted.code || (wanted.program && wanted.program !== known.program)) await joinFirst(wanted);
    await enter();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    change({ trouble: problem.message });
    setTimeout(start, AGAIN_MS);
  }
}

/** What the address asks for, once: /?program=eu-mi-points, or the link of an invitation, /?ref=CODE. */
function wantedByAddress() {
  const asked = new URLSearchParams(location.search);
  if (location.search) history.replaceState(null, "", location.pathname + location.hash);
  return { program: asked.get("program"), code: asked.get("ref") };
}

async function joinFirst({ program: wanted, code }) {
  const named = [wanted, FIRST_PROGRAM, identity()?.program];
  const program = state.programs.find((one) => one.id === named.find(Boolean)) ?? state.programs[0];
  await join(program.id, program.countries[0], code);
  if (code) toast("Welcome! You have joined by a friend’s invitation.");
}

async function enter() {
  feed?.stop();
  const member = identity();
  useMember(member.token, signInAgain);
  loadOrders(member.member_id);
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
  const { program, country } = identity();
  return begin(() =>
    renewToken().catch((problem) => {
      if (problem.code !== "unknown_member") throw problem;
      return join(program, country);
    }),
  );
}

/** Make a new member: the visitor has chosen a program and a country. */
function restart(program, country) {
  return begin(() => join(program, country));
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
  setText($("sandbox-time"), `${narrow.matches ? dayAndMonth(at, zone) : shortDay(at, zone)}, ${clockTime(at, zone)}`);
  setText($("sandbox-zone"), zone.split("/").at(-1).replaceAll("_", " "));
  tickHome(state);
  tickActivity(state);
  tickPlay();
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

// The sandbox's clock, and on a phone the way of a tap under it.

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

function toggleTrace() {
  const shown = $("show-trace").getAttribute("aria-expanded") !== "true";
  $("show-trace").setAttribute("aria-expanded", String(shown));
  document.body.classList.toggle("with-trace", shown);
}

// The membership sheet.

function showMember() {
  const { member } = state;
  if (member === null) return;
  const facts = [
    ["member", member.member_id],
    ["program", `${state.program?.title ?? member.program}, rules of ${member.program_version}`],
    ["country", countryName(member.country)],
    ["time zone", member.zone],
  ];
  $("member-facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  $("program").replaceChildren(...state.programs.map(({ id, title }) => el("option", { value: id }, title)));
  $("program").value = member.program;
  showCountries(member.country);
  $("member").returnValue = "";
  $("member").showModal();
}

function showCountries(chosen) {
  const program = state.programs.find((one) => one.id === $("program").value);
  const options = program.countries.map((code) => el("option", { value: code }, countryName(code)));
  $("country").replaceChildren(...options);
  if (program.countries.includes(chosen)) $("country").value = chosen;
}

async function memberClosed() {
  if ($("member").returnValue !== "new") return;
  await restart($("program").value, $("country").value);
  const points = state.balance?.pending ?? 0;
  toast(points ? `Welcome! ${points} points are on the way.` : "Welcome!");
}

function show() {
  showHome(state);
  showEarn(state, perform, can);
  showPlay(state, PLAY);
  showShop(state, SHOP);
  showActivity(state);
  showLogMember(state);
  tick();
  for (const [id] of clockButtons) $(id).disabled = state.member === null;
}

setUpPanel();
setUpEarn();
setUpShop(quoteBasket);
setUpActivity({ remove });
setUpActions();
setUpOutbox((memberId) => (identity()?.member_id === memberId ? identity().token : null), {
  changed: (count) => change({ waiting: count }),
  answered: answeredLater,
  refused: refusedLater,
});
change({ view: currentView() });
setUpViews((view) => {
  change({ view });
  if (state.member !== null) refresh();
});
for (const [id, duration] of clockButtons) {
  $(id).addEventListener("click", () => {
    if ($(id).ariaBusy !== "true") advance(duration);
  });
}
$("show-trace").addEventListener("click", toggleTrace);
$("member-button").addEventListener("click", showMember);
$("program").addEventListener("change", () => showCountries(null));
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
