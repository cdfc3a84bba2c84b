// The lines of a log. Python (notebook/logview.py) says which; this shows them, and asks for more where they end.

function marked(text, words) {
  if (!words) return [text];
  const low = text.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = low.indexOf(words); at >= 0; at = low.indexOf(words, from)) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + words.length);
    parts.push(text.slice(from, at), mark);
    from = at + words.length;
  }
  return [...parts, text.slice(from)];
}

function row([stream, time, text], words) {
  const node = document.createElement("div");
  const stamp = document.createElement("time");
  stamp.textContent = time;
  node.className = stream;
  node.append(stamp, ...marked(text, words));
  return node;
}

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "ck-log";
  box.tabIndex = 0;
  el.append(box);
  let scroll = "end";
  // Where Python has scrolled to is no wish of the reader's.
  let set = 0;

  function show(message) {
    const before = box.scrollTop;
    const words = message.words.toLowerCase();
    const rows = message.lines.map((line) => row(line, words));
    if (!rows.length) {
      rows.push(document.createElement("div"));
      rows[0].className = "ck-none";
      rows[0].textContent = "no output yet";
    }
    box.replaceChildren(...rows);
    scroll = message.scroll;
    const line = rows[message.line];
    const top = (node) => node.offsetTop - box.offsetTop;
    if (scroll === "end") box.scrollTop = box.scrollHeight;
    else if (scroll === "start") box.scrollTop = 0;
    else if (scroll === "found" && line) {
      line.classList.add("ck-found");
      box.scrollTop = top(line) - box.clientHeight / 2;
    } else if (scroll === "keep") box.scrollTop = line ? top(line) + before : message.line < 0 ? before - lost(message) : 0;
    set = box.scrollTop;
  }

  // Lines that were above have gone: about as high as those that are there.
  function lost(message) {
    return -message.line * (box.scrollHeight / Math.max(message.lines.length, 1));
  }

  box.onscroll = () => {
    if (Math.abs(box.scrollTop - set) < 2) return;
    set = -10;
    if (scroll === "end" && box.scrollTop + box.clientHeight < box.scrollHeight - 4) {
      scroll = "keep";
      model.send({ kind: "hold" });
    }
  };
  box.onwheel = (event) => {
    if (event.deltaY < 0 && box.scrollTop === 0) model.send({ kind: "older" });
    if (event.deltaY > 0 && scroll !== "end" && box.scrollTop + box.clientHeight >= box.scrollHeight - 1)
      model.send({ kind: "newer" });
  };
  const hear = (message) => { if (message.kind === "lines") show(message); };
  model.on("msg:custom", hear);
  model.send({ kind: "hello" });
  return () => model.off("msg:custom", hear);
}

export default { render };
