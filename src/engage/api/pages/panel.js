// Beside the phone: the steps of the last activity through the system, and the network log.

import * as clock from "./clock.js";
import { $, el, icon, mark, setText } from "./dom.js";
import { clockTime, countdown, logTime } from "./format.js";
import { onLog } from "./log.js";

const LINES_KEPT = 200;

const STEPS = [
  ["Sent by the app", "One POST with an Idempotency-Key"],
  ["Decided and stored", "The rules decide. PostgreSQL has the pending credit before the answer"],
  ["Pushed to every open screen", "The new balance, over the websocket"],
  ["Pending until it is due", "Never early: advance the clock with +5 min"],
  ["Settled and pushed", "Entry, lot and balance in one transaction, then the push"],
];

export function setUpPanel() {
  STEPS.forEach(([name, words], n) => {
    const dot = el("span", { class: "dot", "aria-hidden": "true" }, String(n + 1));
    $("steps").append(el("li", {}, dot, el("p", {}, el("b", {}, name), el("small", {}, words)), el("span", { class: "seen" })));
  });
  onLog(showLine);
}

let followed = null;

function step(n, state, seen = "") {
  const item = $("steps").children[n];
  if (item.dataset.state !== state) {
    mark(item, { state: state ?? false });
    const sign = { done: icon("check"), refused: "!" }[state] ?? String(n + 1);
    item.querySelector(".dot").replaceChildren(sign);
  }
  setText(item.querySelector(".seen"), seen);
}

/** `rule`: the rule of the credit, where the answer does not name it. */
export function follow(request, rule = null) {
  followed = { began: performance.now(), rule, credit: null, pushed: false, settled: false };
  STEPS.forEach((_, n) => step(n, n === 1 ? "now" : undefined));
  step(0, "done", request);
}

export function followAnswer(status, took, credits) {
  step(1, "done", `${status} in ${took} ms`);
  followed.credit = credits?.[0] ?? null;
  if (!followed.pushed) step(2, "now");
}

export function followRefusal(problem) {
  step(1, "refused", problem.status ? `${problem.status} ${problem.code}` : "no answer");
  followed = null;
}

/** A balance was pushed. */
export function followPush({ seq, cause }) {
  if (followed === null) return;
  if (cause === "active") followed.activeSeq = seq;
  if (followed.pushed || cause === "active") return;
  followed.pushed = true;
  step(2, "done", `seq ${seq}, after ${Math.round(performance.now() - followed.began)} ms`);
}

export function followCredits({ credits, member, balance }) {
  if (followed === null || followed.settled) return;
  const credit = credits.find((one) => one.id === followed.credit?.id || one.rule === followed.rule);
  if (credit === undefined) return;
  const due = clockTime(credit.due_at, member?.zone ?? "UTC");
  const left = Date.parse(credit.due_at) - clock.now();
  if (credit.state === "pending") {
    step(3, "now", left > 0 ? `${due}, in ${countdown(left)}` : due);
  } else if (credit.state === "active") {
    followed.settled = true;
    step(3, "done", due);
    step(4, "done", `${followed.activeSeq ? `seq ${followed.activeSeq}, ` : ""}${balance.active} active`);
  } else {
    followed.settled = true;
    step(4, "refused", "taken back");
  }
}

const KINDS = { http: "HTTP", push: "PUSH", socket: "SOCKET", resync: "RESYNC" };

function showLine({ at, kind, text, state, status, code, took, detail }) {
  const what = el("span", { class: "what" }, text);
  if (status) what.append(" ", el("b", { class: state }, `${status}${code ? ` ${code}` : ""}`));
  else if (state) what.classList.add(state);
  const cells = [
    el("span", { class: "at" }, logTime(at)),
    el("span", { class: "kind" }, KINDS[kind]),
    what,
    el("span", { class: "took" }, took ?? ""),
  ];
  const line = el("li", { data: { kind, quiet: text.startsWith("GET") } });
  if (detail === undefined) line.append(el("p", { class: "plain" }, ...cells));
  else line.append(expandable(cells, detail));
  $("log").prepend(line);
  while ($("log").children.length > LINES_KEPT) $("log").lastElementChild.remove();
}

/** The body is rendered when the line is opened. */
function expandable(cells, detail) {
  const body = el("pre");
  const details = el("details", {}, el("summary", {}, ...cells), body);
  details.addEventListener("toggle", () => setText(body, details.open ? JSON.stringify(detail, null, 2) : ""));
  return details;
}

export function showLogMember({ member }) {
  setText($("log-member"), member ? `${member.program} ${member.member_id}` : "");
}
