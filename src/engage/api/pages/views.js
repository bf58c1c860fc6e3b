// The views of the app, one at a time, chosen in the bar at the bottom. The address names the view.

import { $ } from "./dom.js";

const NAMES = ["home", "earn", "play", "shop", "activity"];

let onShown = () => {};

export function setUpViews(shown) {
  onShown = shown;
  addEventListener("hashchange", show);
  show();
}

export function currentView() {
  const name = location.hash.slice(1);
  return NAMES.includes(name) ? name : "home";
}

export function goTo(name) {
  location.hash = name;
}

function show() {
  const current = currentView();
  for (const name of NAMES) {
    $(`view-${name}`).hidden = name !== current;
    const link = document.querySelector(`.nav a[href="#${name}"]`);
    if (name === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector(".screen").scrollTop = 0;
  scrollTo(0, 0);
  onShown(current);
}
