// Tables: sort by any column, keep the rows that hold a text, copy what is shown as CSV.
const made = (tag, values, ...children) => {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
};

const sortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = made("button", { type: "button" }, ...head.childNodes);
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
};

const csv = (table) => {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const heads = [...table.tHead.rows[0].cells].map((head) => {
    const note = head.querySelector("small")?.textContent;
    return head.querySelector("span").textContent + (note ? ` (${note})` : "");
  });
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const values = rows.map((row) => [...row.cells].map((cell) => cell.dataset.value ?? cell.textContent));
  return [heads, ...values].map((line) => line.map(quoted).join(",") + "\n").join("");
};

const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // not granted, or not a secure place: the way that old browsers have
    const area = made("textarea", { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
  return true;
};

for (const place of document.querySelectorAll("[data-table]")) {
  const table = place.querySelector("table"), rows = [...table.tBodies[0].rows];
  const tools = made("div", { className: "tools" });
  if (rows.length > 2) sortable(table);
  if (rows.length > 5) {
    const found = made("output"), search = made("input", { type: "search" });
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      found.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    search.addEventListener("input", filter);
    tools.append(made("label", {}, "Rows with ", search), found);
    filter();
  }
  const button = made("button", { type: "button", className: "plain", textContent: "Copy as CSV" });
  const told = made("output");
  button.addEventListener("click", async () => { told.textContent = (await copied(csv(table))) ? "copied" : "the browser does not allow it"; });
  tools.append(button, told);
  place[rows.length > 5 ? "prepend" : "append"](tools);
}
