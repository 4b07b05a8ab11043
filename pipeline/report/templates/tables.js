// Tables that can be sorted by any column and searched; without this script they are as they are written.
(() => {
  const ROWS = 10; // a shorter table is read at a glance
  const value = (row, column, numeric) => {
    const text = row.cells[column].textContent.trim();
    if (!numeric) return text;
    const number = parseFloat(text.replace(/,/g, "").replace("−", "-").replace("±", ""));
    return Number.isNaN(number) ? -Infinity : number;
  };
  const compare = (one, other) =>
    typeof one === "string" ? one.localeCompare(other, undefined, { numeric: true }) : one === other ? 0 : one - other;

  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const title = document.createElement("span");
      const button = document.createElement("button");
      button.type = "button";
      title.append(...head.childNodes);
      button.append(title);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const numeric = head.classList.contains("number");
        const rows = [...table.tBodies[0].rows].map((row) => [value(row, column, numeric), row]);
        rows.sort(([one], [other]) => (up ? compare(one, other) : compare(other, one)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  };

  const searchable = (table) => {
    const rows = [...table.tBodies[0].rows].map((row) => [row.textContent.toLowerCase(), row]);
    const label = document.createElement("label");
    const field = document.createElement("input");
    const found = document.createElement("output");
    label.className = "search";
    field.type = "search";
    label.append("Search this table ", field, found);
    table.closest(".table").prepend(label);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = rows.filter(([text, row]) => !(row.hidden = !words.every((word) => text.includes(word)))).length;
      found.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
  };

  for (const table of document.querySelectorAll(".table table")) {
    if (table.tBodies[0].rows.length > 1) sortable(table);
    if (table.tBodies[0].rows.length >= ROWS) searchable(table);
  }
})();
