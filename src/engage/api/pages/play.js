// Challenges, quizzes, the wheel, prize draws and leaderboards, as the API lists them.

import * as clock from "./clock.js";
import { $, el, icon, mark, setText } from "./dom.js";
import { countdown, dayAndTime, longDay, number, plural } from "./format.js";
import { inWords } from "./names.js";

export function showPlay(state, actions) {
  if (state.member === null) return;
  showChallenges(state);
  showQuizzes(state, actions);
  showGames(state, actions);
  showDraws(state, actions);
  showBoards(state, actions);
  const anything = ["challenges", "quizzes", "games", "draws", "boards"].some((part) => state[part].length);
  $("play-empty").hidden = anything;
}

function fill(card, list, items) {
  $(card).hidden = items.length === 0;
  $(list).replaceChildren(...items);
}

// Challenges.

function showChallenges({ challenges, member }) {
  for (const list of document.querySelectorAll("[data-part=challenges]")) {
    const shown = list.closest("#view-home") ? challenges.filter((one) => one.state === "running").slice(0, 2) : challenges;
    list.closest(".card").hidden = shown.length === 0;
    list.replaceChildren(...shown.map((challenge) => challengeItem(challenge, member.zone)));
  }
}

function challengeItem({ id, title, progress, goal, steps, state, ends_at: ends }, zone) {
  const last = steps.at(-1)?.at ?? 1;
  const stops = steps.map((step) => {
    const stop = el("span", { class: "stop", title: `${number(step.at)}: ${prize(step)}` }, step.reached_at ? icon("check") : prize(step));
    stop.style.setProperty("--at", `${(100 * step.at) / last}%`);
    mark(stop, { done: Boolean(step.reached_at) });
    return stop;
  });
  const when = state === "running" && ends ? `until ${dayAndTime(ends, zone)}` : state === "running" ? "" : inWords(state);
  return el(
    "li",
    { data: { challenge: id, state } },
    el("div", { class: "row" }, el("b", {}, title), el("span", { class: "dim" }, `${number(progress)} of ${number(last)}`)),
    el("div", { class: "track" }, el("progress", { max: last, value: Math.min(progress, last), "aria-label": title }), ...stops),
    el("p", { class: "dim" }, [goalWords(goal), when].filter(Boolean).join(", ")),
  );
}

function prize({ points, reward }) {
  return points ? `+${number(points)}` : reward ? "Gift" : "";
}

const GOALS = {
  count: ({ activity }) => inWords(activity ?? "activities"),
  distinct_products: ({ activity }) => `${inWords(activity ?? "activities")} of different products`,
  spend_minor: () => "Money spent",
  points_earned: () => "Points earned",
  all_of: ({ goals }) => goals.map((goal) => `${goal.of} × ${goalWords(goal)}`).join(", "),
};

function goalWords(goal) {
  return GOALS[goal?.kind]?.(goal) ?? "";
}

// Quizzes.

function showQuizzes({ quizzes, member }, { startQuiz }) {
  fill(
    "quizzes-card",
    "quizzes",
    quizzes.map((quiz) => {
      const spent = quiz.attempts_left === 0;
      const again = quiz.resets_at ? `again on ${dayAndTime(quiz.resets_at, member.zone)}` : "no attempt left";
      const words = `${plural(quiz.questions, "question")}, ${countdown(quiz.time_limit_s * 1000)}, ${spent ? again : plural(quiz.attempts_left, "attempt")}`;
      const button = el(
        "button",
        { class: "offer", type: "button" },
        icon("question"),
        el("span", { class: "offer-words" }, el("b", {}, quiz.title), el("span", {}, words)),
        el("span", { class: "plus" }, `+${number(quiz.points_max)}`),
      );
      button.disabled = spent;
      mark(button, { spent });
      button.addEventListener("click", () => startQuiz(quiz, button));
      return el("li", { data: { quiz: quiz.id } }, button);
    }),
  );
}

// Games: a wheel each. It is kept between updates, because it may be turning.

const wheels = new Map();

function showGames({ games, member }, { play }) {
  $("games-card").hidden = games.length === 0;
  const shown = games.map((game) => {
    let wheel = wheels.get(game.id);
    if (wheel === undefined) {
      wheel = makeWheel(game, play);
      wheels.set(game.id, wheel);
    }
    const left = game.chances_left ?? 0;
    const again = game.resets_at ? `Again ${dayAndTime(game.resets_at, member.zone)}` : "No chance left";
    setText(wheel.querySelector("h3"), game.title);
    setText(wheel.querySelector(".chances"), left ? plural(left, "chance") : again);
    wheel.querySelector(".spin").disabled = left === 0;
    return wheel;
  });
  if (shown.some((wheel, n) => $("games").children[n] !== wheel)) $("games").replaceChildren(...shown);
}

/** The fields of a wheel: each prize once, with blanks between. */
function fieldsOf(prizes) {
  return prizes.flatMap((prize) => [prize, null]);
}

function makeWheel(game, play) {
  const fields = fieldsOf(game.prizes ?? []);
  const turn = 360 / Math.max(fields.length, 1);
  const disc = el("div", { class: "disc", "aria-hidden": "true" });
  disc.style.setProperty("--turn", `${turn}deg`);
  fields.forEach((prize, n) => {
    const label = el("span", { class: prize ? "prize" : "blank" }, prize ? prize.title : "·");
    label.style.setProperty("--n", n);
    disc.append(label);
  });
  const spin = el("button", { type: "button", class: "spin" }, "Spin");
  const card = el(
    "article",
    { class: "wheel", data: { game: game.id } },
    el("h3"),
    el("div", { class: "rim" }, disc, el("i", { class: "pointer", "aria-hidden": "true" }), spin),
    el("p", { class: "result strong", role: "status" }, " "),
    el("p", { class: "chances dim" }),
  );
  spin.addEventListener("click", () => play(game, card));
  return card;
}

/** Turn the wheel to a prize, or to a blank; resolves when it stands. */
export function turnTo(card, game, prize) {
  const disc = card.querySelector(".disc");
  const fields = fieldsOf(game.prizes ?? []);
  const wanted = fields.map((one, n) => [one?.id ?? null, n]).filter(([id]) => id === (prize?.id ?? null));
  const n = wanted.length ? wanted[Math.floor(Math.random() * wanted.length)][1] : 0;
  const turn = 360 / Math.max(fields.length, 1);
  const before = Number(disc.dataset.angle ?? 0);
  const angle = before - (before % 360) + 360 * 5 + (360 - n * turn);
  disc.dataset.angle = angle;
  disc.style.rotate = `${angle}deg`;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches || document.hidden;
  return new Promise((resolve) => setTimeout(resolve, still ? 0 : 3200));
}

// Prize draws.

function showDraws({ draws, member }, { enter, showCertificate }) {
  fill("draws-card", "draws", draws.map((draw) => drawItem(draw, member.zone, enter, showCertificate)));
}

function drawItem(draw, zone, enter, showCertificate) {
  const { id, title, state, entries, points, prizes, winners, my_number: mine, closes_at: closes, root } = draw;
  const drawn = Array.isArray(winners);
  const won = drawn && winners.includes(mine);
  const facts = [
    plural(entries ?? 0, "entry", "entries"),
    points ? `${prizes > 1 ? `${number(prizes)} × ` : ""}${plural(points, "point")} to win` : null,
    state === "open" && closes ? `closes ${dayAndTime(closes, zone)}` : inWords(state),
  ].filter(Boolean);
  const own = mine === undefined || mine === null ? null : el("p", { class: "strong" }, won ? `Number ${mine}: you won!` : `Your number is ${mine}.`);
  const button = el("button", { type: "button", class: "quiet wide" }, state === "open" ? "Enter the draw" : "Certificate");
  button.disabled = state === "open" ? own !== null : state === "void";
  button.addEventListener("click", () => (state === "open" ? enter(draw, button) : showCertificate(draw)));
  return el(
    "li",
    { data: { draw: id, state } },
    el("b", {}, title),
    el("p", { class: "dim" }, facts.join(", ")),
    own,
    drawn ? el("p", {}, `Winners: ${winners.map((one) => `#${one}`).join(", ")}`) : null,
    root ? el("p", { class: "root dim" }, `Root ${root.slice(0, 16)}…`) : null,
    button,
  );
}

// Leaderboards.

function showBoards({ boards, member }, { showBoard }) {
  $("boards-card").hidden = boards.length === 0;
  for (const board of boards) showBoard(board);
  const shown = boards.map((board) => boardItem(board, member.zone));
  $("boards").replaceChildren(...shown);
}

function boardItem({ id, title, closes_at: closes, lines, members }, zone) {
  const rows = (lines ?? []).map(({ rank, name, score, me }) =>
    el("tr", { data: { me } }, el("td", {}, `${number(rank)}.`), el("td", {}, me ? `${name === "—" ? "You" : `${name} (you)`}` : name), el("td", {}, number(score))),
  );
  const foot = [members ? plural(members, "member") : null, closes ? `until ${longDay(closes, zone)}` : null].filter(Boolean);
  return el(
    "article",
    { class: "board", data: { board: id } },
    el("h3", {}, title ?? inWords(id)),
    rows.length ? el("table", {}, el("tbody", {}, ...rows)) : el("p", { class: "empty" }, "Nobody has a score yet."),
    el("p", { class: "dim" }, foot.join(", ")),
  );
}

/** Update what depends on the clock, each second. */
export function tickPlay() {
  for (const left of document.querySelectorAll("[data-ends]")) {
    setText(left, countdown(Date.parse(left.dataset.ends) - clock.now()));
  }
}
