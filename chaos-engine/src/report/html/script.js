document.documentElement.classList.add("js");
for (const range of document.querySelectorAll("input[data-zoom]")) {
  range.addEventListener("input", () => {
    const svg = document.getElementById(range.dataset.zoom);
    const box = svg.parentElement;
    const middle = (box.scrollLeft + box.clientWidth / 2) / box.scrollWidth;
    svg.style.width = range.value * 100 + "%";
    box.scrollLeft = middle * box.scrollWidth - box.clientWidth / 2;
    // The seconds that have room now, by the least width of a drawing.
    let fitting = null;
    for (const seconds of svg.querySelectorAll("g.seconds")) {
      if (fitting === null || seconds.dataset.from * 560 <= svg.getBoundingClientRect().width) fitting = seconds;
      seconds.classList.remove("shown");
    }
    fitting?.classList.add("shown");
  });
}
// Paper cannot be unfolded, and not every browser prints what a style opens.
addEventListener("beforeprint", () => {
  for (const kills of document.querySelectorAll("details.kills:not([open])")) {
    kills.open = true;
    addEventListener("afterprint", () => { kills.open = false; }, { once: true });
  }
});
