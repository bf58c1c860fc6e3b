// The balance, the fuel button and the week of the streak.

import * as clock from "./clock.js";
import { $, el, icon, mark, setText, svg } from "./dom.js";
import { countTo, once } from "./motion.js";
import { clockTime, countdown, dayAndTime, longDay, pays, plural, weekday } from "./format.js";

const WEEK = 7;
const DAY_MS = 86_400_000;
const READ_OUT_MS = 900;

const CONNECTIONS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" };

export function setUpHome() {
  for (let n = 0; n < WEEK; n += 1) {
    const arc = { cx: 100, cy: 100, r: 94, pathLength: WEEK, "stroke-dasharray": "0.8 6.2", "stroke-dashoffset": -n - 0.1 };
    $("ring").append(svg("circle", arc));
    const words = [el("span", { class: "unseen" }), el("span", { class: "label", "aria-hidden": "true" })];
    const spot = el("span", { class: "spot", "aria-hidden": "true" });
    $("week").append(el("li", {}, ...words, spot, el("span", { class: "sum", "aria-hidden": "true" })));
  }
}

export function showHome(state) {
  showConnection(state.connection);
  if (state.balance !== null) showBalance(state);
  if (state.trouble !== null) setText($("fuel-status"), state.trouble);
  if (state.member !== null) showFuel(state);
}

/** Update what depends on the clock, each second. */
export function tickHome(state) {
  if (state.member === null) return;
  setText($("status-time"), clockTime(clock.now(), state.member.zone ?? "UTC"));
  showNextDue(state);
}

function showConnection(name) {
  mark($("connection"), { state: name });
  setText($("connection").querySelector("b"), CONNECTIONS[name]);
}

let shown = null;
let readOut = 0;

function showBalance({ balance, seq, expiring, member }) {
  const key = `${member?.member_id} ${seq} ${JSON.stringify(balance)}`;
  if (key !== shown) {
    shown = key;
    countTo($("active"), balance.active);
    countTo($("pending"), balance.pending);
    for (const name of ["held", "debt"]) {
      setText($(name), String(balance[name]));
      $(`${name}-pill`).hidden = balance[name] === 0;
    }
    clearTimeout(readOut);
    readOut = setTimeout(() => {
      setText($("announcer"), `${plural(balance.active, "point")} active, ${balance.pending} pending`);
    }, READ_OUT_MS);
  }
  const first = expiring[0];
  const zone = member?.zone ?? "UTC";
  setText($("expiring"), first ? `${plural(first.points, "point")} valid until ${longDay(first.expires_at, zone)}` : "");
}

export function nextDue(credits) {
  const due = credits.filter((credit) => credit.state === "pending" && credit.due_at);
  return due.length ? Math.min(...due.map((credit) => Date.parse(credit.due_at))) : null;
}

function showNextDue({ balance, credits }) {
  const due = nextDue(credits);
  const left = due === null ? 0 : due - clock.now();
  const words = !balance?.pending || due === null ? "" : left > 0 ? `next in ${countdown(left)}` : "any moment";
  setText($("pending-when"), words);
}

/** The streak within its week of seven days: {tapped, done, today}; `today` is an index. */
function weekProgress(streak, at) {
  const tapped = Date.parse(streak.next_tap_at) > at;
  const done = tapped ? ((streak.days - 1) % WEEK) + 1 : streak.days % WEEK;
  return { tapped, done, today: tapped ? done - 1 : done };
}

function showFuel(state) {
  $("fuel-card").hidden = state.streak === null;
  if (state.streak === null) return;
  const week = weekProgress(state.streak, clock.now());
  const button = $("fuel");
  button.disabled = false;
  mark(button, { tapped: week.tapped });
  mark($("fuel-card"), { open: !week.tapped });
  setText($("fuel-label"), week.tapped ? "Fuelled" : "Fuel up");
  $("fuel-icon").setAttribute("href", `/demo/icons.svg#${week.tapped ? "check" : "flame"}`);
  $("run").hidden = state.streak.days < 2;
  setText($("run"), `${state.streak.days} days in a row`);
  showFuelText(state, week);
  showWeek(state, week);
  [...$("ring").children].forEach((arc, n) => arc.classList.toggle("done", n < week.done));
}

function showFuelText({ member, program, streak, credits }, week) {
  const [perDay, bonus] = [pays(program, "fuel"), pays(program, "fuel_streak")];
  if (week.tapped) {
    setText($("fuel-status"), `${pointsToday(credits)}day ${week.done} of ${WEEK}`);
    setText($("fuel-next"), `Next tap opens ${dayAndTime(streak.next_tap_at, member.zone)}`);
  } else if (streak.days === 0) {
    setText($("fuel-status"), "Start a streak of seven days");
    setText($("fuel-next"), bonus ? `${perDay} points a day, ${bonus} more on the seventh` : "One tap a day");
  } else {
    setText($("fuel-status"), `Day ${week.done + 1} of ${WEEK} is open`);
    setText($("fuel-next"), bonusText(streak.next_bonus_in, bonus));
  }
}

function bonusText(days, bonus) {
  if (days === null || !bonus) return "Keep the streak";
  return days === 1 ? `Today brings ${bonus} bonus points` : `${days} taps to the ${bonus} bonus points`;
}

/** "2 pending, " or "52 active, ": the points of the newest tap, with the bonus. */
function pointsToday(credits) {
  const newest = credits.find((credit) => credit.rule === "fuel");
  if (!newest) return "";
  const earned = credits.filter((one) => one.rule.startsWith("fuel") && one.due_at === newest.due_at);
  const sum = earned.reduce((total, one) => total + one.points, 0);
  return `${sum} ${newest.state}, `;
}

function showWeek({ member, program, streak }, week) {
  const [perDay, bonus] = [pays(program, "fuel"), pays(program, "fuel_streak")];
  // A tapped day ends when the next tap opens, in the zone of the streak.
  const today = week.tapped ? Date.parse(streak.next_tap_at) - DAY_MS / 2 : clock.now();
  [...$("week").children].forEach((item, n) => {
    const name = weekday(today + (n - week.today) * DAY_MS, member.zone);
    const done = n < week.done;
    const [aloud, label, spot, sum] = item.children;
    if (done && item.dataset.done === undefined && item.dataset.known !== undefined) once(item, "just");
    mark(item, { done, today: n === week.today, known: true });
    setText(label, n === week.today ? "Today" : name);
    const sign = done ? "check" : n === WEEK - 1 ? "gift" : String(n + 1);
    if (spot.dataset.sign !== sign) {
      spot.dataset.sign = sign;
      spot.replaceChildren(sign.length > 1 ? icon(sign) : sign);
    }
    const points = n === WEEK - 1 ? perDay + bonus : perDay;
    setText(sum, perDay ? `+${points}` : "");
    setText(aloud, `Day ${n + 1}, ${name}${n === week.today ? ", today" : ""}: ${done ? "done" : `${points} points`}`);
  });
}
