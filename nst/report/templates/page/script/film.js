// The film, wound by hand.
for (const root of document.querySelectorAll("[data-film]")) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const frames = JSON.parse(part("frames").textContent);
  const wind = () => {
    const [moment, picture] = frames[Number(part("wind").value)];
    part("frame").src = picture;
    part("told").textContent = moment;
    part("wind").setAttribute("aria-valuetext", moment);
  };
  part("wind").addEventListener("input", wind);
  root.querySelector(".wound").hidden = false;
  wind();
}
