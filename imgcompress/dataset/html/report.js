(() => {
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const showSamples = () => {
    const figures = [...document.querySelectorAll(".pair")];
    const buttons = [];

    const select = (chosen) => {
      for (const figure of figures) figure.hidden = figure !== chosen;
      for (const [button, figure] of buttons) button.setAttribute("aria-current", String(figure === chosen));
    };

    for (const group of document.querySelectorAll("#strip p")) {
      for (const number of group.dataset.samples.split(" ")) {
        const figure = figures[number];
        const name = figure.querySelector(".name").textContent;
        const picture = element("img", { src: figure.querySelector(".before").src, alt: name });
        const button = element("button", { type: "button", title: name }, picture);
        button.addEventListener("click", () => select(figure));
        buttons.push([button, figure]);
        group.append(button);
      }
    }

    select(figures[0]);
  };

  const showTable = () => {
    const data = JSON.parse(document.getElementById("records").textContent);
    const total = data.names.length;
    const whole = new Intl.NumberFormat("en-US");
    const fixed = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    const from = (values) => (row) => values[row];
    const formatted = (format, value) => (row) => (value(row) == null ? "" : format.format(value(row)));

    const reasonOf = (row) => data.reasons[data.reason[row]] + (row in data.errors ? `: ${data.errors[row]}` : "");
    const pixels = (row) => (data.width[row] == null || data.height[row] == null ? null : data.width[row] * data.height[row]);
    const saved = (row) =>
      data.bytes_in[row] && data.bytes_out[row] != null ? 100 * (1 - data.bytes_out[row] / data.bytes_in[row]) : null;
    const number = (label, value, format, kind = "number") => ({ label, kind, value, text: formatted(format, value) });
    // How wide a column of a kind is, in rem; names take what is left.
    const widths = { name: 14, status: 8.2, reason: 7.5, format: 4.8, pixels: 7.8, bytes: 6.4, number: 4.8 };
    const columns = [
      { label: "File", kind: "name", value: from(data.names), text: from(data.names) },
      { label: "Status", kind: "status", value: from(data.status), text: (row) => data.statuses[data.status[row]] },
      { label: "Reason", kind: "reason", value: reasonOf, text: reasonOf },
      { label: "Format", kind: "format", value: from(data.format), text: (row) => data.formats[data.format[row]] },
      { label: "Pixels", kind: "number pixels", value: pixels, text: (row) => (pixels(row) == null ? "" : `${data.width[row]} × ${data.height[row]}`) },
      number("Bytes in", from(data.bytes_in), whole, "number bytes"),
      number("Bytes out", from(data.bytes_out), whole, "number bytes"),
      number("Saved, %", saved, fixed(1)),
      ...data.scores.map((score) => number(score.label, from(score.values), fixed(score.digits))),
      number("Seconds", from(data.seconds), fixed(2)),
    ];

    const table = document.getElementById("table");
    const scroller = document.getElementById("scroller");
    const body = table.tBodies[0];
    const search = document.getElementById("text");
    const haystack = [];
    let rows = [];
    let sorting = null;
    let rowHeight = 34;

    const order = () => {
      if (!sorting) return;
      const { column, sign } = sorting;
      const keys = new Array(total);
      for (const row of rows) keys[row] = column.value(row);
      const compare = column.kind === "name" || column.kind === "reason"
        ? new Intl.Collator("en", { numeric: true }).compare
        : (a, b) => a - b;
      // What has no value comes last, whichever way the others go.
      rows.sort((a, b) => {
        const x = keys[a], y = keys[b];
        if (x == null || y == null) return (x == null) - (y == null) || a - b;
        return sign * compare(x, y) || a - b;
      });
    };

    const filter = () => {
      const words = search.value.toLowerCase();
      const status = document.querySelector("#statuses input:checked").value;
      const format = document.querySelector("#formats input:checked").value;
      if (words && !haystack.length) {
        for (let row = 0; row < total; row++) haystack.push(`${data.names[row]}\n${reasonOf(row)}`.toLowerCase());
      }
      rows = [];
      for (let row = 0; row < total; row++) {
        if (status !== "" && data.status[row] !== Number(status)) continue;
        if (format !== "" && data.format[row] !== Number(format)) continue;
        if (words && !haystack[row].includes(words)) continue;
        rows.push(row);
      }
      order();
      const shown = rows.length === total ? `${whole.format(total)} files` : `${whole.format(rows.length)} of ${whole.format(total)} files`;
      document.getElementById("count").textContent = shown;
      table.setAttribute("aria-rowcount", rows.length + 1);
      scroller.classList.toggle("few", rows.length < 15);
      scroller.scrollTop = 0;
      draw();
    };

    const space = (height) => {
      const cell = element("td", { colspan: columns.length });
      cell.style.height = `${height}px`;
      return element("tr", { class: "space", "aria-hidden": "true" }, cell);
    };

    const line = (index) => {
      const row = rows[index];
      const made = element("tr", { "aria-rowindex": index + 2 });
      for (const column of columns) {
        const text = column.text(row);
        const cell = element("td", { class: column.kind === "status" ? `status ${text}` : column.kind }, text);
        if (column.kind === "name" || column.kind === "reason") cell.title = text;
        if (column.kind === "format" && row in data.costs) cell.title = `bytes: ${data.costs[row]}`;
        made.append(cell);
      }
      return made;
    };

    // Only the rows in sight exist; rows of space stand for the others.
    const draw = () => {
      const first = Math.max(0, Math.floor(scroller.scrollTop / rowHeight) - 8);
      const end = Math.min(rows.length, first + Math.ceil(scroller.clientHeight / rowHeight) + 17);
      const lines = [];
      if (first) lines.push(space(first * rowHeight));
      for (let index = first; index < end; index++) lines.push(line(index));
      if (end < rows.length) lines.push(space((rows.length - end) * rowHeight));
      body.replaceChildren(...lines);
      const drawn = body.querySelector("tr:not(.space)");
      const height = drawn ? drawn.getBoundingClientRect().height : rowHeight;
      if (Math.abs(height - rowHeight) > 0.01) {
        rowHeight = height;
        draw();
      }
    };

    const heads = columns.map((column) => {
      const button = element("button", { type: "button" }, column.label);
      const head = element("th", { scope: "col", class: column.kind, "aria-sort": "none" }, button);
      button.addEventListener("click", () => {
        sorting = { column, sign: sorting && sorting.column === column ? -sorting.sign : 1 };
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", sorting.sign > 0 ? "ascending" : "descending");
        order();
        scroller.scrollTop = 0;
        draw();
      });
      return head;
    });
    table.tHead.rows[0].append(...heads);
    let least = 0;
    for (const column of columns) {
      const width = Math.max(widths[column.kind.split(" ").at(-1)], 0.5 * column.label.length + 2.2);
      const col = element("col");
      if (column.kind !== "name") col.style.width = `${width}rem`;
      table.querySelector("colgroup").append(col);
      least += width;
    }
    table.style.minWidth = `${least}rem`;

    const addChips = (kind, all, names, codes) => {
      const found = new Set(codes);
      const chips = [["", all], ...names.map((name, code) => [String(code), name || "none"]).filter(([code]) => found.has(Number(code)))];
      const set = document.getElementById(kind);
      set.hidden = kind === "formats" && chips.length < 3;
      for (const [value, name] of chips) {
        const input = element("input", { type: "radio", name: kind, value });
        input.checked = value === "";
        input.addEventListener("change", filter);
        set.append(element("label", {}, input, element("span", {}, name)));
      }
    };
    addChips("statuses", "all", data.statuses, data.status);
    addChips("formats", "all formats", data.formats, data.format);

    let waiting = false;
    const later = (work) => () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        work();
      });
    };
    search.addEventListener("input", filter);
    scroller.addEventListener("scroll", later(draw), { passive: true });
    window.addEventListener("resize", later(draw));
    filter();
  };

  showSamples();
  showTable();
})();
