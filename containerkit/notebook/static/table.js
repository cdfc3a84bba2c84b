// The table of containers. What is shown, and in which order, is decided in Python (notebook/table.py); this draws it.
// Only the rows within sight exist, so that hundreds of containers cost what a dozen do.

const ROW = 44;
const POINTS = 60;
const CHARTS = [
  { name: "cpu", title: "CPU", colour: "#1f77b4", unit: (v) => `${v.toFixed(v < 10 ? 1 : 0)} %`,
    limit: (row) => row.cpus && row.cpus * 100, least: 100 },
  { name: "memory", title: "memory", colour: "#ff7f0e", unit: size, limit: (row) => row.memory, least: 1 << 20 },
  { name: "network", title: "network", colour: "#2ca02c", unit: (v) => `${size(v)}/s`, limit: () => null, least: 10240 },
  { name: "io", title: "disk", colour: "#9467bd", unit: (v) => `${size(v)}/s`, limit: () => null, least: 10240 },
];
const ICONS = {
  start: "M4 2l10 6-10 6z", stop: "M3 3h10v10H3z", pause: "M3 2h4v12H3zM9 2h4v12H9z", unpause: "M2 2h3v12H2zM7 2l8 6-8 6z",
  logs: "M2 3h12v2H2zM2 7h12v2H2zM2 11h8v2H2z", exec: "M2 2l6 6-6 6-1.4-1.4L5.2 8 .6 3.4zM8 12h7v2H8z",
  remove: "M3 6h10l-1 9H4zM6 1h4l1 2h4v2H1V3h4z",
};

function size(bytes) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (bytes < 1024) return `${bytes.toFixed(unit === "B" || bytes >= 100 ? 0 : 1)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)} TiB`;
}

function make(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}

function drawing(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// One chart of one row: a number over a line of the last minute, and a dashed line where the limit is.
class Chart {
  constructor(kind) {
    this.kind = kind;
    this.number = make("output");
    const thin = { "vector-effect": "non-scaling-stroke" };
    this.area = drawing("path", { fill: kind.colour, opacity: 0.18 });
    this.line = drawing("path", { fill: "none", stroke: kind.colour, "stroke-width": 1.5, ...thin });
    this.limit = drawing("path", { class: "ck-limit", ...thin });
    const svg = drawing("svg", { viewBox: `0 0 ${POINTS - 1} 100`, preserveAspectRatio: "none" });
    svg.append(drawing("path", { class: "ck-base", d: `M0 100H${POINTS}`, ...thin }), this.area, this.line, this.limit);
    this.node = make("div", { className: `ck-chart ck-${kind.name}` }, this.number, svg);
  }

  draw(row, values) {
    const limit = this.kind.limit(row);
    const last = values.at(-1);
    const is_throttled = this.kind.name === "cpu" && row.throttled > 0;
    this.number.textContent = row.live && last !== undefined ? this.kind.unit(last) : "";
    this.number.classList.toggle("ck-warn", is_throttled || (this.kind.name === "memory" && limit && last > 0.95 * limit));
    this.node.title = `${this.kind.title}${limit ? `, limit ${this.kind.unit(limit)}` : ""}`
      + (is_throttled ? `, throttled ${row.throttled} % of the time` : "");
    const top = limit ? Math.max(limit * 1.08, ...values) : Math.max(this.kind.least, ...values) * 1.1;
    const first = POINTS - values.length;
    const points = values.map((value, i) => `${first + i} ${(100 - (value / top) * 100).toFixed(1)}`);
    this.line.setAttribute("d", points.length ? `M${points.join("L")}` : "");
    this.area.setAttribute("d", points.length ? `M${first} 100L${points.join("L")}L${POINTS - 1} 100Z` : "");
    this.limit.setAttribute("d", limit ? `M0 ${100 - (limit / top) * 100}H${POINTS}` : "");
  }
}

class Row {
  constructor(id, act) {
    this.id = id;
    this.name = make("button", { onclick: () => act("panel", id) });
    this.image = make("span");
    this.status = make("span");
    this.charts = CHARTS.map((kind) => new Chart(kind));
    this.buttons = ["start", "pause", "logs", "exec", "remove"].map((verb) => this.button(verb, act));
    this.node = make("div", { className: "ck-row" }, make("div", { className: "ck-name" }, this.name, this.image),
      this.status, ...this.charts.map((chart) => chart.node), make("div", { className: "ck-actions" }, ...this.buttons));
    this.node.setAttribute("role", "row");
  }

  button(verb, act) {
    const button = make("button", { type: "button" });
    button.append(drawing("svg", { viewBox: "0 0 16 16" }));
    button.firstChild.append(drawing("path", {}));
    this.face(button, verb);
    // To remove takes two clicks.
    button.onclick = () => {
      if (button.dataset.verb === "remove" && !button.classList.contains("ck-sure")) {
        button.classList.add("ck-sure");
        button.title = "really remove? click again";
        setTimeout(() => { button.classList.remove("ck-sure"); button.title = "remove"; }, 3000);
      } else act(button.dataset.verb, this.id);
    };
    return button;
  }

  face(button, verb) {
    if (button.dataset.verb === verb) return;
    button.dataset.verb = verb;
    button.title = verb;
    button.querySelector("path").setAttribute("d", ICONS[verb]);
  }

  draw(row, past, busy) {
    this.node.dataset.name = row.name;
    this.name.textContent = row.name;
    this.name.title = `open the panel of ${row.name}`;
    this.image.textContent = `${row.image} · ${row.command}`;
    this.image.title = this.image.textContent;
    const ended = row.status === "exited" ? ` (${row.exit})` : "";
    const health = row.health && row.status === "running" ? row.health : "";
    this.status.textContent = busy ? `${busy} …` : health || row.status + ended;
    this.status.className = `ck-status ${busy ? "busy" : health === "unhealthy" ? health : row.status}`;
    this.charts.forEach((chart, i) => chart.draw(row, past[i]));
    const [start, pause, , exec] = this.buttons;
    const is_alive = ["running", "paused", "restarting"].includes(row.status);
    this.face(start, is_alive ? "stop" : "start");
    this.face(pause, row.status === "paused" ? "unpause" : "pause");
    pause.disabled = !is_alive;
    exec.disabled = row.status !== "running";
    for (const button of this.buttons) button.ariaLabel = `${button.dataset.verb} ${row.name}`;
  }
}

class Table {
  constructor(model, el) {
    this.model = model;
    this.rows = {};
    this.past = null;
    this.order = [];
    this.busy = {};
    this.shown = new Map();
    this.summary = make("span", { className: "ck-summary" });
    this.error = make("div", { className: "ck-error" });
    this.filter = make("input", { type: "search", placeholder: "filter", ariaLabel: "filter", value: model.get("filter") });
    this.running = make("input", { type: "checkbox", checked: model.get("running_only") });
    this.heads = [["name", "container"], ["status", "status"], ...CHARTS.map((one) => [one.name, one.title])];
    this.head = make("div", { className: "ck-head" });
    this.body = make("div", { className: "ck-rows" });
    this.none = make("div", { className: "ck-none", textContent: "no containers" });
    this.scroll = make("div", { className: "ck-scroll" }, this.head, this.body, this.none);
    el.append(make("div", { className: "ck-table" },
      make("div", { className: "ck-bar" }, make("b", { textContent: "Containers" }), this.summary,
        make("label", {}, this.running, "running only"), this.filter),
      this.error, this.scroll));
    this.filter.oninput = () => this.set("filter", this.filter.value);
    this.running.onchange = () => this.set("running_only", this.running.checked);
    this.scroll.onscroll = () => this.draw();
    this.head_row();
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  head_row() {
    const sort = this.model.get("sort");
    const descending = this.model.get("descending");
    this.head.replaceChildren(...this.heads.map(([name, title]) => {
      const arrow = name === sort ? (descending ? " ▾" : " ▴") : "";
      // Numbers begin with the largest.
      const onclick = () => {
        this.model.set("descending", name === sort ? !descending : !["name", "status"].includes(name));
        this.set("sort", name);
      };
      return make("button", { type: "button", textContent: title + arrow, onclick, title: `sort by ${title}` });
    }));
  }

  hear(message) {
    if (message.kind === "all") this.past = message.past;
    if (!this.past) return; // it is for another view of the page: this one has not been told everything yet
    for (const id of message.gone ?? []) delete this.past[id];
    this.rows = Object.fromEntries(message.order.map((id) => [id, message.rows[id] ?? this.rows[id]]));
    this.order = message.order;
    this.busy = message.busy;
    for (const [id, values] of Object.entries(message.points ?? {})) {
      const lines = (this.past[id] ??= CHARTS.map(() => []));
      values.forEach((value, i) => lines[i].push(value) > POINTS && lines[i].shift());
    }
    this.summary.textContent = message.summary;
    this.error.textContent = message.error;
    this.draw();
  }

  draw() {
    this.none.style.display = this.order.length ? "none" : "";
    this.body.style.height = `${this.order.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / ROW) - 1);
    const sight = this.order.slice(first, first + Math.ceil(this.scroll.clientHeight / ROW) + 2);
    for (const [id, row] of this.shown) {
      if (!sight.includes(id)) {
        row.node.remove();
        this.shown.delete(id);
      }
    }
    sight.forEach((id, place) => {
      let row = this.shown.get(id);
      if (!row) {
        row = new Row(id, (kind, id) => this.model.send({ kind, id }));
        this.shown.set(id, row);
        this.body.append(row.node);
      }
      row.node.style.top = `${(first + place) * ROW}px`;
      row.draw(this.rows[id], this.past[id] ?? CHARTS.map(() => []), this.busy[id]);
    });
  }
}

function render({ model, el }) {
  const table = new Table(model, el);
  const hear = (message) => table.hear(message);
  const sorted = () => table.head_row();
  const filtered = () => { if (table.filter.value !== model.get("filter")) table.filter.value = model.get("filter"); };
  const chosen = () => { table.running.checked = model.get("running_only"); };
  const events = [["msg:custom", hear], ["change:sort", sorted], ["change:descending", sorted],
    ["change:filter", filtered], ["change:running_only", chosen]];
  for (const [name, handler] of events) model.on(name, handler);
  model.send({ kind: "hello" });
  return () => { for (const [name, handler] of events) model.off(name, handler); };
}

export default { render };
