// Two starts on top of each other, and a slider that says where one ends and the other begins.
for (const root of document.querySelectorAll("[data-slider]")) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const stage = root.querySelector(".stage");
  const layers = { left: new Image(), right: new Image() };
  stage.append(layers.left, layers.right);
  const update = () => {
    for (const [side, layer] of Object.entries(layers)) {
      const shown = document.querySelector(`[data-pair="${part("pair").value}"] [data-key="${part(side).value}"] img`);
      Object.assign(layer, { src: shown.src, alt: shown.alt, width: shown.width, height: shown.height });
    }
    const cut = Number(part("cut").value);
    const [left, right] = [part("left"), part("right")].map((select) => select.selectedOptions[0].textContent);
    stage.style.setProperty("--cut", `${cut}%`);
    part("told").textContent = `${left} (left) and ${right} (right)`;
    part("cut").setAttribute("aria-valuetext", `${cut} % ${left}, ${100 - cut} % ${right}`);
  };
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    part("cut").value = Math.round((100 * (event.clientX - box.left)) / box.width);
    update();
  };
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  root.addEventListener("input", update);
  root.hidden = false;
  update();
}
