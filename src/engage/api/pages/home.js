// The balance, the fuel button with the days to its bonus, freezes, and tiers.

import * as clock from "./clock.js";
import { $, el, icon, mark, setText, svg } from "./dom.js";
import { countTo, once } from "./motion.js";
import { inWords } from "./names.js";
import { clockTime, countdown, dayAndTime, dayOf, longDay, number, plural, shortDay, weekday } from "./format.js";

const USUAL_CYCLE = 7;
const MOST_SHOWN = 10;
const DAY_MS = 86_400_000;
const READ_OUT_MS = 900;

const CONNECTIONS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" };

export function showHome(state) {
  showConnection(state);
  if (state.balance !== null) showBalance(state);
  $("trouble").hidden = state.trouble === null;
  setText($("trouble"), state.trouble ?? "");
  if (state.member === null) return;
  showFuel(state);
  showLostRun(state);
  showTiers(state);
}

/** Update what depends on the clock, each second. */
export function tickHome(state) {
  if (state.member === null) return;
  setText($("status-time"), clockTime(clock.now(), state.member.zone ?? "UTC"));
  showNextDue(state);
}

function showConnection({ connection, waiting }) {
  mark($("connection"), { state: connection });
  setText($("connection").querySelector("b"), CONNECTIONS[connection]);
  $("connection").title = CONNECTIONS[connection];
  $("waiting").hidden = waiting === 0;
  setText($("waiting"), `${waiting} to send`);
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
      setText($(name), number(balance[name]));
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

// The rules of the streak, read from the program: the page knows none.

/** {daily, bonus, cycle}: the rule of the tap, the bonus and every how many days it comes. */
export function streakRules(program) {
  const rules = program?.rules.filter((rule) => rule.activity === "fuel_tap") ?? [];
  const bonus = rules.find((rule) => rule.award.type === "every_nth_day");
  const daily = rules.find((rule) => rule.limits.some((limit) => limit.type === "daily_streak"));
  const cycle = Math.min(bonus?.award.facts.days ?? USUAL_CYCLE, MOST_SHOWN);
  return { daily, bonus, cycle };
}

/** The streak within its cycle: {tapped, done, today}; `today` is an index. */
function progress(streak, cycle, at) {
  const tapped = Date.parse(streak.next_tap_at) > at;
  const done = tapped ? ((streak.days - 1) % cycle) + 1 : streak.days % cycle;
  return { tapped, done, today: tapped ? done - 1 : done };
}

function showFuel(state) {
  $("fuel-card").hidden = state.streak === null;
  if (state.streak === null) return;
  const rules = streakRules(state.program);
  const days = progress(state.streak, rules.cycle, clock.now());
  makeDays(rules.cycle);
  const button = $("fuel");
  button.disabled = false;
  mark(button, { tapped: days.tapped });
  mark($("fuel-card"), { open: !days.tapped });
  setText($("fuel-title"), rules.daily?.title ?? "Daily fuel");
  setText($("fuel-label"), days.tapped ? "Fuelled" : "Fuel up");
  $("fuel-icon").setAttribute("href", `/demo/icons.svg#${days.tapped ? "check" : "flame"}`);
  $("run").hidden = state.streak.days < 2;
  setText($("run"), `${state.streak.days} days in a row`);
  showFuelText(state, rules, days);
  showWeek(state, rules, days);
  [...$("ring").children].forEach((arc, n) => arc.classList.toggle("done", n < days.done));
  showFreezes(state.streak);
}

function makeDays(cycle) {
  if ($("week").children.length === cycle) return;
  $("ring").replaceChildren();
  $("week").replaceChildren();
  $("week").style.setProperty("--days", cycle);
  for (let n = 0; n < cycle; n += 1) {
    const dash = `0.8 ${cycle - 0.8}`;
    const arc = { cx: 100, cy: 100, r: 94, pathLength: cycle, "stroke-dasharray": dash, "stroke-dashoffset": -n - 0.1 };
    $("ring").append(svg("circle", arc));
    const words = [el("span", { class: "unseen" }), el("span", { class: "label", "aria-hidden": "true" })];
    const spot = el("span", { class: "spot", "aria-hidden": "true" });
    $("week").append(el("li", {}, ...words, spot, el("span", { class: "sum", "aria-hidden": "true" })));
  }
}

function showFuelText({ member, streak, credits }, { daily, bonus, cycle }, days) {
  const [perDay, more] = [daily?.points ?? 0, bonus?.points ?? 0];
  if (days.tapped) {
    setText($("fuel-status"), `${pointsToday(credits, daily)}day ${days.done} of ${cycle}`);
    setText($("fuel-next"), `Next tap opens ${dayAndTime(streak.next_tap_at, member.zone)}`);
  } else if (streak.days === 0) {
    setText($("fuel-status"), more ? `Start a streak of ${cycle} days` : "Start a streak");
    setText($("fuel-next"), more ? `${perDay} points a day, ${more} more on day ${cycle}` : "One tap a day");
  } else {
    setText($("fuel-status"), `Day ${days.done + 1} of ${cycle} is open`);
    setText($("fuel-next"), bonusText(streak.next_bonus_in, more));
  }
}

function bonusText(days, bonus) {
  if (days === null || !bonus) return "Keep the streak";
  return days === 1 ? `Today brings ${bonus} bonus points` : `${days} taps to the ${bonus} bonus points`;
}

/** "2 pending, " or "52 active, ": the points of the newest tap, with the bonus. */
function pointsToday(credits, daily) {
  const newest = credits.find((credit) => credit.rule === daily?.id);
  if (!newest) return "";
  const tap = newest.why?.at;
  const earned = credits.filter((one) => one === newest || (tap && one.why?.at === tap && one.points > 0));
  const sum = earned.reduce((total, one) => total + one.points, 0);
  return `${sum} ${newest.state}, `;
}

function showWeek({ member, streak }, { daily, bonus, cycle }, days) {
  const [perDay, more] = [daily?.points ?? 0, bonus?.points ?? 0];
  const frozen = new Set(streak.frozen_days ?? []);
  // A tapped day ends when the next tap opens, in the zone of the streak.
  const today = days.tapped ? Date.parse(streak.next_tap_at) - DAY_MS / 2 : clock.now();
  [...$("week").children].forEach((item, n) => {
    const at = today + (n - days.today) * DAY_MS;
    const name = weekday(at, member.zone);
    const done = n < days.done;
    const [aloud, label, spot, sum] = item.children;
    if (done && item.dataset.done === undefined && item.dataset.known !== undefined) once(item, "just");
    mark(item, { done, today: n === days.today, known: true });
    setText(label, n === days.today ? "Today" : frozen.size ? `Day ${n + 1}` : name);
    const sign = done ? "check" : n === cycle - 1 && more ? "gift" : String(n + 1);
    if (spot.dataset.sign !== sign) {
      spot.dataset.sign = sign;
      spot.replaceChildren(sign.length > 2 ? icon(sign) : sign);
    }
    const points = n === cycle - 1 ? perDay + more : perDay;
    setText(sum, perDay ? `+${points}` : "");
    setText(aloud, `Day ${n + 1}, ${name}${n === days.today ? ", today" : ""}: ${done ? "done" : `${points} points`}`);
  });
}

function showFreezes({ freezes, offer }) {
  $("freezes").hidden = !freezes && !offer;
  setText($("freezes-count"), freezes ? `${plural(freezes, "freeze")}.` : "No freeze left.");
  $("buy-freeze").hidden = !offer || offer.is_full;
  setText($("buy-freeze"), offer ? `Get one for ${number(offer.points)}` : "");
}

/** A run that ended is said, once it hurts: the day after it could still have been saved. */
function showLostRun({ streak, member }) {
  const lost = streak?.lost ?? null;
  $("lost-run").hidden = lost === null;
  if (lost === null) return;
  setText($("lost-title"), `You lost a run of ${plural(lost.days, "day")}`);
  const when = lost.on && dayOf(`${lost.on}T12:00:00Z`, "UTC");
  const missed = when ? `There was no tap on ${shortDay(`${when}T12:00:00Z`, "UTC")}. ` : "";
  const hint = streak.offer ? "A freeze would have saved it: get one for the next time." : "Tap today to start again.";
  setText($("lost-words"), missed + hint);
  mark($("lost-run"), { zone: member.zone });
}

function showTiers({ tiers, member }) {
  $("tiers").replaceChildren(...tiers.map((tier) => tierCard(tier, member.zone)));
}

function tierCard({ level, title, value, next, keeps_until: keeps }, zone) {
  const words = next ? `${number(next.missing)} to ${next.title ?? inWords(next.level)}` : "The highest level";
  const whole = next ? value + next.missing : Math.max(value, 1);
  return el(
    "section",
    { class: "card tier", data: { level }, "aria-label": "Your level" },
    el("div", { class: "tier-head" }, icon("crown"), el("div", {}, el("h2", {}, title ?? "Member"), el("p", { class: "dim" }, words))),
    el("progress", { max: whole, value, "aria-label": "Progress to the next level" }),
    keeps ? el("p", { class: "dim foot" }, `Yours until ${longDay(keeps, zone)}`) : null,
  );
}
