// The page reads fully without this: it adds looking closer, sorting, and a mark in the contents.
"use strict";

for (const matrix of document.querySelectorAll("[data-matrix]")) {
  const view = document.querySelector("[data-view]");
  const cells = [...matrix.querySelectorAll("td a")];
  const columns = matrix.querySelectorAll("thead th").length - 1;
  let pinned = view.dataset.view;
  const show = (cell) => {
    for (const other of cells) other.classList.toggle("on", other === cell);
    const small = cell.querySelector("img"), large = view.querySelector(".large img");
    large.src = small.src;
    large.alt = small.alt;
    view.querySelector("strong").textContent = cell.dataset.name;
    view.querySelector("[data-numbers]").textContent = cell.dataset.numbers;
    view.querySelector("[data-full]").href = cell.getAttribute("href");
  };
  const found = () => cells.find((cell) => cell.dataset.name === pinned) || cells[0];
  for (const cell of cells) {
    cell.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") show(cell); });
    cell.addEventListener("focus", () => show(cell));
    cell.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      pinned = cell.dataset.name;
      show(cell);
    });
    cell.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      const next = step && cells[cells.indexOf(cell) + step];
      if (next) { event.preventDefault(); next.focus(); }
    });
  }
  matrix.addEventListener("pointerleave", () => show(found()));
  show(found());
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const numeric = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
        return numeric ? x - y : String(x).localeCompare(String(y));
      };
      const rows = [...table.tBodies[0].rows].sort(compare);
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}

if ("IntersectionObserver" in window) {
  const links = new Map([...document.querySelectorAll("nav.contents a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const id of links.keys()) { const part = document.getElementById(id); if (part) seen.observe(part); }
}
