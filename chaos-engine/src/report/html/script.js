document.documentElement.classList.add("js");
for (const range of document.querySelectorAll("input[data-zoom]")) {
  range.addEventListener("input", () => {
    const svg = document.getElementById(range.dataset.zoom);
    const box = svg.parentElement;
    const middle = (box.scrollLeft + box.clientWidth / 2) / box.scrollWidth;
    svg.style.width = range.value * 100 + "%";
    box.scrollLeft = middle * box.scrollWidth - box.clientWidth / 2;
  });
}
// Paper cannot be unfolded, and not every browser prints what a style opens.
addEventListener("beforeprint", () => {
  for (const kills of document.querySelectorAll("details.kills:not([open])")) {
    kills.open = true;
    addEventListener("afterprint", () => { kills.open = false; }, { once: true });
  }
});
