"use strict";

for (const figure of document.querySelectorAll(".pair")) {
  const stage = figure.querySelector(".stage");
  const slider = figure.querySelector("input");
  const [before, after] = [...figure.querySelectorAll(".tag")].map((tag) => tag.textContent.toLowerCase());
  const cut = () => {
    stage.style.setProperty("--cut", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${before}, ${100 - slider.value} % ${after}`);
  };
  slider.addEventListener("input", cut);
  cut();

  for (const toggle of figure.querySelectorAll(".toggle")) {
    toggle.addEventListener("click", () => {
      const on = figure.classList.toggle(toggle.dataset.kind);
      toggle.setAttribute("aria-pressed", String(on));
    });
  }

  // What a pixel of the screen is in pixels of the picture: letters do not shrink with it.
  const over = figure.querySelector(".over");
  const { width, height } = over.viewBox.baseVal;
  new ResizeObserver(() => {
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    if (scale) over.style.setProperty("--unit", 1 / scale);
  }).observe(stage);
}
