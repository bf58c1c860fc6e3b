// Animations, unless the visitor prefers reduced motion.

const COUNT_MS = 700;
const FLY_MS = 900;
const BITS = 90;
const COLOURS = ["#ff6a13", "#ffb27a", "#f5c542", "#1fa463", "#4f6fe0", "#e4572e"];

const still = matchMedia("(prefers-reduced-motion: reduce)");
const counts = new WeakMap();

function motionReduced() {
  return still.matches || document.hidden;
}

/** Count from the shown number to `value`. A later call continues from the current number. */
export function countTo(element, value) {
  const shown = Number(element.textContent);
  cancelAnimationFrame(counts.get(element)?.frame);
  if (motionReduced() || Number.isNaN(shown) || shown === value) {
    element.textContent = value;
    counts.delete(element);
    return;
  }
  const began = performance.now();
  const count = { frame: 0 };
  const step = (at) => {
    const part = Math.min(Math.max((at - began) / COUNT_MS, 0), 1);
    element.textContent = Math.round(shown + (value - shown) * (1 - (1 - part) ** 3));
    if (part < 1) count.frame = requestAnimationFrame(step);
  };
  count.frame = requestAnimationFrame(step);
  counts.set(element, count);
  once(element, "bump");
}

/** Add a class for the length of its animation. */
export function once(element, name) {
  element.classList.remove(name);
  // Reading the layout restarts the animation.
  void element.offsetWidth;
  element.classList.add(name);
  element.addEventListener("animationend", () => element.classList.remove(name), { once: true });
}

/** Animate a text such as "+2" from one element to another. */
export function fly(text, from, to) {
  if (motionReduced()) return;
  const [start, end] = [from, to].map((element) => element.getBoundingClientRect());
  const flying = document.createElement("span");
  flying.className = "flying";
  flying.ariaHidden = "true";
  flying.textContent = text;
  document.body.append(flying);
  flying.style.left = `${start.left + start.width / 2 - flying.offsetWidth / 2}px`;
  flying.style.top = `${start.top + start.height / 2 - flying.offsetHeight / 2}px`;
  const across = end.left + end.width / 2 - (start.left + start.width / 2);
  // Limited, because the balance may be scrolled out of sight.
  const up = Math.max(end.top - start.top, -260);
  flying
    .animate(
      [
        { transform: "translate(0, 0) scale(0.8)", opacity: 0 },
        { transform: "translate(0, -70px) scale(1.25)", opacity: 1, offset: 0.35 },
        { transform: `translate(${across}px, ${up}px) scale(0.7)`, opacity: 0 },
      ],
      { duration: FLY_MS, easing: "ease-in-out" },
    )
    .finished.finally(() => flying.remove());
}

/** Confetti from the middle of an element, inside the bounds of another. */
export function celebrate(from, inside) {
  if (motionReduced()) return;
  const [start, bounds] = [from, inside].map((element) => element.getBoundingClientRect());
  for (let n = 0; n < BITS; n += 1) scatter(start, bounds, COLOURS[n % COLOURS.length]);
}

function scatter(start, bounds, colour) {
  const bit = document.createElement("i");
  bit.className = "spark-bit";
  bit.ariaHidden = "true";
  bit.style.background = colour;
  const [x, y] = [start.left + start.width / 2, start.top + start.height / 2];
  bit.style.left = `${x}px`;
  bit.style.top = `${y}px`;
  document.body.append(bit);
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  const across = within((Math.random() - 0.5) * bounds.width * 1.3, bounds.left - x + 12, bounds.right - x - 22);
  const up = -120 - Math.random() * 260;
  const turn = Math.random() * 900 - 450;
  bit
    .animate(
      [
        { transform: "translate(0, 0) scale(0.2)", opacity: 1 },
        { transform: `translate(${across * 0.8}px, ${up}px) rotate(${turn / 2}deg)`, opacity: 1, offset: 0.4 },
        { transform: `translate(${across}px, ${up + 420}px) rotate(${turn}deg)`, opacity: 0 },
      ],
      { duration: 1600 + Math.random() * 900, easing: "cubic-bezier(.2, .6, .4, 1)" },
    )
    .finished.finally(() => bit.remove());
}
