document.documentElement.classList.add("js");
// The seconds that have room, by the least width of a drawing.
const label = (svg) => {
  const width = svg.getBoundingClientRect().width;
  let fitting = null;
  for (const seconds of svg.querySelectorAll("g.seconds")) {
    if (fitting === null || seconds.dataset.from * 560 <= width) fitting = seconds;
    seconds.classList.remove("shown");
  }
  fitting?.classList.add("shown");
};
for (const range of document.querySelectorAll("input[data-zoom]")) {
  const svg = document.getElementById(range.dataset.zoom);
  range.addEventListener("input", () => {
    const box = svg.parentElement;
    const middle = (box.scrollLeft + box.clientWidth / 2) / box.scrollWidth;
    // By what the drawing is wide without it, which on a phone is more than its box: else the first steps would do nothing.
    svg.style.width = `calc(max(100%, 560px) * ${range.value})`;
    box.scrollLeft = middle * box.scrollWidth - box.clientWidth / 2;
    label(svg);
  });
  // A window that was made narrower, or a phone that was turned.
  addEventListener("resize", () => label(svg));
}
// Paper cannot be unfolded, and not every browser prints what a style opens.
addEventListener("beforeprint", () => {
  for (const kills of document.querySelectorAll("details.kills:not([open])")) {
    kills.open = true;
    addEventListener("afterprint", () => { kills.open = false; }, { once: true });
  }
});
