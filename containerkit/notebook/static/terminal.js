// A terminal: xterm.js draws, Python (notebook/terminal.py) has the process. The library comes from the kernel, once for
// a page, so that nothing is fetched from elsewhere and no notebook is stored with it.

const LIBRARY = Symbol.for("containerkit.xterm");

// The first terminal of a page asks for the library; those that follow find it.
async function library(model) {
  if (globalThis[LIBRARY]) return globalThis[LIBRARY];
  const [script, style] = await new Promise((resolve) => {
    const hear = (message, buffers) => {
      if (message.kind !== "library") return;
      model.off("msg:custom", hear);
      resolve(buffers.map((buffer) => new TextDecoder().decode(buffer)));
    };
    model.on("msg:custom", hear);
    model.send({ kind: "library" });
  });
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { Terminal } = await import(/* webpackIgnore: true */ url);
  URL.revokeObjectURL(url);
  return (globalThis[LIBRARY] ??= { Terminal, style });
}

// The page's own colours, and a set of sixteen that can be read on them.
function theme(box) {
  const style = getComputedStyle(box);
  const foreground = getComputedStyle(box.parentNode).color;
  const background = style.backgroundColor;
  const [r, g, b] = background.match(/\d+/g).map(Number);
  const bright = { black: "#24292e", red: "#b31d28", green: "#22863a", yellow: "#a66300", blue: "#0550ae",
    magenta: "#8250df", cyan: "#1b7c83", white: "#6e7781", brightBlack: "#57606a", brightRed: "#cb2431",
    brightGreen: "#2da44e", brightYellow: "#9a6700", brightBlue: "#218bff", brightMagenta: "#a475f9",
    brightCyan: "#3192aa", brightWhite: "#8c959f" };
  const dark = { black: "#484f58", red: "#ff7b72", green: "#3fb950", yellow: "#d29922", blue: "#58a6ff",
    magenta: "#bc8cff", cyan: "#39c5cf", white: "#b1bac4", brightBlack: "#6e7681", brightRed: "#ffa198",
    brightGreen: "#56d364", brightYellow: "#e3b341", brightBlue: "#79c0ff", brightMagenta: "#d2a8ff",
    brightCyan: "#56d4dd", brightWhite: "#f0f6fc" };
  const colours = r + g + b > 384 ? bright : dark;
  const selectionBackground = r + g + b > 384 ? "#b6d7ff" : "#264f78";
  return { ...colours, foreground, background, cursor: foreground, cursorAccent: background, selectionBackground };
}

async function render({ model, el }) {
  const box = document.createElement("div");
  const end = document.createElement("div");
  box.className = "ck-terminal";
  end.className = "ck-terminal-end";
  el.style.color = "var(--jp-ui-font-color1, #222)";
  const { Terminal, style } = await library(model);
  const sheet = document.createElement("style");
  sheet.textContent = style;
  el.append(sheet, box, end);
  const family = getComputedStyle(box).getPropertyValue("--jp-code-font-family").trim() || "monospace";
  const terminal = new Terminal({ fontFamily: family, fontSize: 13, cursorBlink: true, scrollback: 5000 });

  // As many rows and columns as there is room for.
  function fit() {
    const screen = box.querySelector(".xterm-screen");
    if (!screen?.clientWidth || !box.clientWidth) return;
    const columns = Math.floor((box.clientWidth - 40) / (screen.clientWidth / terminal.cols));
    const rows = Math.floor((box.clientHeight - 12) / (screen.clientHeight / terminal.rows));
    if (columns > 1 && rows > 1 && (columns !== terminal.cols || rows !== terminal.rows)) terminal.resize(columns, rows);
  }

  // How much of what came since the last hello of a view has been drawn.
  let drawn = null;
  const hear = (message, buffers) => {
    if (message.kind === "output") {
      if (message.is_new) {
        terminal.reset();
        drawn = { turn: message.turn, bytes: 0 };
      }
      if (!drawn) return; // it is for another view of the page: this one is told everything when it has said hello
      const mine = drawn;
      const data = new Uint8Array(buffers[0].buffer ?? buffers[0], buffers[0].byteOffset ?? 0, buffers[0].byteLength);
      terminal.write(data, () => {
        mine.bytes += data.length;
        model.send({ kind: "drawn", ...mine });
      });
    } else if (message.kind === "ended") {
      end.textContent = `ended, exit code ${message.exit}`;
      terminal.options.disableStdin = true;
    }
  };
  const coloured = () => { terminal.options.theme = theme(box); };
  terminal.onData((text) => model.send({ kind: "typed", text }));
  terminal.onResize(({ rows, cols }) => model.send({ kind: "size", rows, columns: cols }));
  model.on("msg:custom", hear);
  // Keys are the terminal's and not the notebook's.
  box.setAttribute("data-lm-suppress-shortcuts", "true");
  box.setAttribute("data-jp-suppress-context-menu", "");
  for (const name of ["keydown", "keyup", "keypress"]) box.addEventListener(name, (event) => event.stopPropagation());
  const room = new ResizeObserver(() => {
    if (!terminal.element && box.clientWidth) {
      terminal.open(box);
      coloured();
      model.send({ kind: "size", rows: terminal.rows, columns: terminal.cols });
      model.send({ kind: "hello" });
    }
    fit();
  });
  const themes = new MutationObserver(coloured);
  room.observe(box);
  themes.observe(document.body, { attributes: true });
  return () => {
    room.disconnect();
    themes.disconnect();
    model.off("msg:custom", hear);
    terminal.dispose();
  };
}

export default { render };
