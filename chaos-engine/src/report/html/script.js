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
