"use strict";
// The table of individuals: sorting, filtering, and opening rows. All text is set as text, never as markup.
(() => {
  const {individuals, coding, genes, measure} = JSON.parse(document.getElementById("details").textContent);
  const table = document.getElementById("table"), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells], rows = [...body.querySelectorAll("tr.row")];
  const nameOf = row => row.cells[0].textContent;
  const byName = new Map(rows.map(row => [nameOf(row), row]));

  const detailOf = row => row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const drawn = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // Sorting: numbers by value, names with numbers in natural order, missing values last.
  const collator = new Intl.Collator("en", {numeric: true});
  const numberOf = text => text.trim() === "" ? NaN : Number(text.replaceAll(",", ""));
  const isBits = heads.length - 1;
  function sort(column) {
    const falls = heads[column].ariaSort === "none" || !heads[column].ariaSort ? column > 0 && column < 7
      : heads[column].ariaSort === "ascending";
    heads.forEach((head, place) => { head.ariaSort = place === column ? (falls ? "descending" : "ascending") : "none"; });
    const keyed = rows.map(row => ({row, text: row.cells[column].textContent}));
    keyed.sort((one, other) => {
      if (one.text === "–" || other.text === "–") return (one.text === "–") - (other.text === "–");
      const a = numberOf(one.text), b = numberOf(other.text);
      const order = column === isBits || isNaN(a) || isNaN(b) ? collator.compare(one.text, other.text) : a - b;
      return falls ? -order : order;
    });
    for (const {row} of keyed) {
      const detail = detailOf(row);
      body.append(row);
      if (detail) body.append(detail);
    }
  }
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));

  // Filtering: every word must occur in the row.
  const filter = document.getElementById("filter"), status = document.getElementById("status");
  const statusColumn = heads.findIndex(head => head.textContent === "status");
  for (const name of new Set(rows.map(row => row.cells[statusColumn].textContent))) status.append(element("option", name));
  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const cells = [...row.cells].map(cell => cell.textContent.toLowerCase());
      const fits = words.every(word => cells.some(cell => cell.includes(word)))
        && (!status.value || row.cells[statusColumn].textContent === status.value);
      row.hidden = !fits;
      const detail = detailOf(row);
      if (detail) detail.hidden = !fits;
      shown += fits;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length}`;
  }
  filter.addEventListener("input", show);
  status.addEventListener("input", show);
  show();

  // Opening a row.
  function toggle(row) {
    const open = detailOf(row);
    row.classList.toggle("open", !open);
    row.setAttribute("aria-expanded", String(!open));
    if (open) { open.remove(); return; }
    const detail = element("tr", undefined, "detail"), cell = element("td"), inside = element("div", undefined, "inside");
    cell.colSpan = heads.length;
    const facts = individuals[nameOf(row)];
    inside.append(element("p", facts.words));
    if (facts.failure) inside.append(element("p", facts.failure, "warning"));
    inside.append(document.getElementById(`network-${facts.network}`).content.cloneNode(true));
    if (facts.forecast) {
      inside.append(element("p", `forecast ${facts.forecast[0].toFixed(4)} ± ${facts.forecast[1].toFixed(4)} (95%)`, "note"));
    }
    if (facts.curves.length) inside.append(curves(facts.curves));
    inside.append(lineage(nameOf(row)));
    cell.append(inside);
    detail.append(cell);
    row.after(detail);
  }
  rows.forEach(row => {
    row.setAttribute("aria-expanded", "false");
    row.addEventListener("click", () => toggle(row));
    row.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(row); }
    });
  });
  function goTo(name) {
    const row = byName.get(name);
    if (row.hidden) { filter.value = ""; status.value = ""; show(); }
    if (!detailOf(row)) toggle(row);
    row.scrollIntoView({block: "center"});
    row.focus({preventScroll: true});
  }

  // Validation accuracy over epochs, one line for each training.
  function curves(found) {
    const width = 420, height = 170, left = 46, bottom = 34, top = 8, right = 10;
    const longest = Math.max(...found.map(curve => curve.length)), values = found.flat();
    let low = Math.min(...values), high = Math.max(...values);
    if (high - low < 0.01) { low -= 0.005; high += 0.005; }
    const x = epoch => left + (width - left - right) * (longest === 1 ? 0.5 : (epoch - 1) / (longest - 1));
    const y = value => top + (height - top - bottom) * (high - value) / (high - low);
    const svg = drawn("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", style: "max-width: 32rem",
      "aria-label": `validation ${measure} over epochs`, "font-size": 11, fill: "var(--ink)"});
    for (const value of [low, (low + high) / 2, high]) {
      svg.append(drawn("line", {x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--line)"}));
      svg.append(drawn("text", {x: left - 5, y: y(value) + 4, "text-anchor": "end"}, value.toFixed(3)));
    }
    const step = Math.ceil(longest / 10);
    for (let epoch = 1; epoch <= longest; epoch += step) {
      svg.append(drawn("text", {x: x(epoch), y: height - bottom + 15, "text-anchor": "middle"}, epoch));
    }
    svg.append(drawn("text", {x: (left + width) / 2, y: height - 3, "text-anchor": "middle"}, `epoch (validation ${measure})`));
    found.forEach((curve, place) => {
      const colour = place === found.length - 1 ? "var(--orange)" : "var(--blue)";
      const points = curve.map((value, index) => `${x(index + 1)},${y(value)}`).join(" ");
      svg.append(drawn("polyline", {points, fill: "none", stroke: colour, "stroke-width": 1.8}));
      curve.forEach((value, index) => svg.append(drawn("circle", {cx: x(index + 1), cy: y(value), r: 2.6, fill: colour})));
    });
    return svg;
  }

  // Lineage: the individual and, step by step, its closer parent; bits that differ from the row below are marked.
  const difference = (one, other) => coding.filter(locus => one[locus] !== other[locus]);
  const valueOf = (gene, bits) => gene[2][parseInt(gene[1].map(locus => bits[locus]).join(""), 2)];
  function original(name) {
    while (individuals[name].origin === "elite") name = individuals[name].parents[0];
    return name;
  }
  function closerParent(facts) {
    const parents = facts.parents.filter(name => name in individuals).map(original);
    const far = name => difference(facts.chromosome, individuals[name].chromosome).length;
    return parents.sort((one, other) => far(one) - far(other))[0];
  }
  function lineage(name) {
    const list = element("div", undefined, "line");
    list.append(element("p", "lineage, through the closer parent of each individual:", "note"));
    for (let own = name; own; own = closerParent(individuals[own])) {
      const facts = individuals[own], parent = closerParent(facts), line = element("div", undefined, "bits");
      const link = element("a", own);
      link.href = "#individuals";
      link.addEventListener("click", event => { event.preventDefault(); event.stopPropagation(); goTo(own); });
      line.append(link, "\u00a0".repeat(Math.max(1, 12 - own.length)));
      const changed = parent ? difference(facts.chromosome, individuals[parent].chromosome) : [];
      [...facts.chromosome].forEach((bit, locus) => line.append(changed.includes(locus) ? element("mark", bit) : bit));
      const longest = Math.max(0, ...Object.keys(facts.accuracies).map(Number));
      if (longest) line.append(` ${facts.accuracies[longest].toFixed(4)} (${longest === 1 ? "1 epoch" : `${longest} epochs`})`);
      line.append(` · ${facts.origin}`);
      const words = parent ? genes.filter(gene => valueOf(gene, facts.chromosome) !== valueOf(gene, individuals[parent].chromosome))
        .map(gene => `${gene[0]} ${valueOf(gene, individuals[parent].chromosome)} → ${valueOf(gene, facts.chromosome)}`) : [];
      if (words.length) line.append(`: ${words.join(", ")}`);
      list.append(line);
    }
    return list;
  }
})();
