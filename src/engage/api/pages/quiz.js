// A quiz: one question after the other, graded by the server, with the time that the server gives.

import * as clock from "./clock.js";
import { $, el, icon, mark, setText } from "./dom.js";
import { countdown, number, plural } from "./format.js";
import { celebrate } from "./motion.js";

let timer = 0;

/** Ask the questions of an attempt; the answers by question, or null if the member gave up. */
export function ask(quiz, attempt) {
  const dialog = $("quiz");
  setText($("quiz-title"), quiz.title);
  tick(attempt);
  timer = setInterval(() => tick(attempt), 250);
  dialog.showModal();
  return new Promise((resolve) => {
    const answers = {};
    dialog.onclose = () => {
      clearInterval(timer);
      resolve(null);
    };
    const next = (n) => {
      if (n === attempt.questions.length) {
        clearInterval(timer);
        dialog.onclose = null;
        resolve(answers);
        return;
      }
      showQuestion(attempt, n, (chosen) => {
        answers[attempt.questions[n].id] = chosen;
        next(n + 1);
      });
    };
    next(0);
  });
}

function tick({ expires_at: expires }) {
  const left = Date.parse(expires) - clock.now();
  setText($("quiz-left"), left > 0 ? countdown(left) : "Time is up");
  mark($("quiz-left"), { state: left < 10_000 ? "refused" : false });
}

const HINTS = { one: "Choose one.", several: "Choose all that are right.", order: "Put them in order." };

function showQuestion({ questions }, n, answered) {
  const question = questions[n];
  const form = el("form", { class: "question" });
  const send = el("button", { class: "primary wide" }, n + 1 === questions.length ? "Send the answers" : "Next");
  const options = question.kind === "order" ? orderOf(question) : choicesOf(question);
  form.append(
    el("p", { class: "dim" }, `Question ${n + 1} of ${questions.length}. ${HINTS[question.kind] ?? ""}`),
    el("h3", {}, question.text),
    options,
    send,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answered(chosenIn(question, options));
  });
  $("quiz-body").replaceChildren(form);
  form.querySelector("input, button").focus();
}

function choicesOf(question) {
  const type = question.kind === "several" ? "checkbox" : "radio";
  return el(
    "fieldset",
    { class: "choices" },
    el("legend", { class: "unseen" }, question.text),
    ...question.options.map((option) =>
      el("label", { class: "choice" }, el("input", { type, name: "option", value: option.id }), el("span", {}, option.text)),
    ),
  );
}

/** A list whose items move up: works without a mouse, too. */
function orderOf(question) {
  const list = el("ol", { class: "choices order" });
  for (const option of question.options) {
    const up = el("button", { type: "button", class: "round", "aria-label": `Move up: ${option.text}` }, icon("up"));
    const item = el("li", { class: "choice", data: { option: option.id } }, el("span", {}, option.text), up);
    up.addEventListener("click", () => {
      item.previousElementSibling?.before(item);
      up.focus();
    });
    list.append(item);
  }
  return list;
}

function chosenIn(question, options) {
  if (question.kind === "order") return [...options.children].map((item) => item.dataset.option);
  return [...options.querySelectorAll("input:checked")].map((input) => input.value);
}

/** Show what was right, with the explanations. */
export function showResult(attempt, { correct, total, passed, credits, review }) {
  const points = credits.reduce((sum, credit) => sum + credit.points, 0);
  const texts = new Map(attempt.questions.map((question) => [question.id, question]));
  const close = el("button", { type: "button", class: "primary wide" }, "Close");
  close.addEventListener("click", () => $("quiz").close());
  setText($("quiz-left"), `${correct} of ${total}`);
  mark($("quiz-left"), { state: passed ? "active" : "refused" });
  $("quiz-body").replaceChildren(
    el("p", { class: "strong" }, points ? `${plural(points, "point")} on the way.` : passed ? "Well done." : "Not this time."),
    el(
      "ul",
      { class: "review" },
      ...review.map(({ question_id: id, right, right_options: options, explanation }) => {
        const question = texts.get(id);
        const names = options.map((option) => question?.options.find((one) => one.id === option)?.text ?? option);
        return el(
          "li",
          { data: { right } },
          icon(right ? "check" : "cross"),
          el("div", {}, el("b", {}, question?.text ?? id), el("p", {}, names.join(question?.kind === "order" ? " → " : ", ")), explanation ? el("p", { class: "dim" }, explanation) : null),
        );
      }),
    ),
    close,
  );
  if (points) celebrate($("quiz-left"), document.querySelector(".phone"));
  close.focus();
  return number(points);
}

/** Close the dialog without a result. */
export function closeQuiz() {
  clearInterval(timer);
  $("quiz").onclose = null;
  if ($("quiz").open) $("quiz").close();
}
