// Places that show the same run light up together; where there is a viewer, the run is shown in it.
for (const root of document.querySelectorAll("[data-linked]")) {
  const places = [...root.querySelectorAll("[data-key]")];
  const view = document.getElementById(root.dataset.viewer);
  const light = (key) => { for (const place of places) place.classList.toggle("on", place.dataset.key === key); };
  const keyOf = (event) => event.target.closest("[data-key]")?.dataset.key;

  if (!view) {
    root.addEventListener("pointerover", (event) => light(keyOf(event)));
    root.addEventListener("focusin", (event) => light(keyOf(event)));
    root.addEventListener("pointerleave", () => light());
    continue;
  }

  const part = (name) => view.querySelector(`[data-part="${name}"]`);
  const numbers = [...view.querySelectorAll('[data-part="number"]')];
  const cells = new Map(places.filter((place) => place.dataset.numbers).map((place) => [place.dataset.key, place]));
  const groups = [...root.querySelectorAll("[data-walk]")].map((group) => ({
    places: [...group.querySelectorAll("a[data-key]")],
    columns: group.dataset.walk === "table" ? group.querySelectorAll("thead th").length : 0,
  }));
  const first = [...cells.values()];
  let kept = (first.find((cell) => "best" in cell.dataset) ?? first[0]).dataset.key;

  const show = (key) => {
    const cell = cells.get(key), small = cell.querySelector("img"), large = part("full").querySelector("img");
    light(key);
    Object.assign(large, { src: small.src, alt: small.alt });
    part("full").setAttribute("href", cell.getAttribute("href"));
    part("title").textContent = cell.dataset.title;
    part("title").setAttribute("href", cell.dataset.page);
    part("best").hidden = !("best" in cell.dataset);
    part("front").hidden = !("front" in cell.dataset);
    cell.dataset.numbers.split("|").forEach((text, index) => { numbers[index].textContent = text; });
  };
  // Of each plot one place is in the tab order: the one that is kept.
  const keep = (key) => {
    kept = key;
    show(key);
    for (const group of groups) for (const place of group.places) place.setAttribute("tabindex", place.dataset.key === key ? 0 : -1);
  };

  root.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && keyOf(event)) show(keyOf(event)); });
  root.addEventListener("pointerleave", () => show(kept));
  root.addEventListener("focusin", (event) => { if (keyOf(event)) keep(keyOf(event)); });
  root.addEventListener("click", (event) => {
    if (!keyOf(event) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    keep(keyOf(event));
  });
  root.addEventListener("keydown", (event) => {
    const place = event.target.closest("[data-walk] a[data-key]");
    const group = place && groups.find((each) => each.places.includes(place));
    const step = group && { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(group.columns || 1), ArrowDown: group.columns || 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    group.places[group.places.indexOf(place) + step]?.focus();
  });
  keep(kept);
}
