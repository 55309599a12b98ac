"use strict";
(() => {
  const deck = document.getElementById("deck");
  if (!deck) return;
  const tool = Object.fromEntries(["kind", "only", "count", "undo", "save", "copy", "load", "shortcuts", "help", "said", "text", "keys", "forgetful"]
    .map(id => [id, document.getElementById(id)]));
  const cards = [...deck.children], pathOf = card => JSON.parse(card.dataset.path);
  const cardOf = new Map(cards.map(card => [pathOf(card), card]));
  const unseen = new Map(JSON.parse(deck.dataset.unseen).map(([decision, path]) => [path, decision]));
  const storageKey = `ssld review ${deck.dataset.run}`, header = "decision\tpath";
  let chosen = new Map();           // path -> decision, where it is not the run's
  let current = cards[0], stored = true;
  const past = [];

  const ofRun = path => cardOf.has(path) ? cardOf.get(path).dataset.run : unseen.get(path);
  const decisionOn = path => chosen.get(path) ?? ofRun(path);
  const say = words => { tool.said.textContent = words; };

  // ---- decisions

  function decide(changes) {
    const before = new Map(chosen);
    for (const [path, decision] of changes) decision === ofRun(path) ? chosen.delete(path) : chosen.set(path, decision);
    const same = before.size === chosen.size && [...chosen].every(([path, decision]) => before.get(path) === decision);
    if (same) return;
    past.push(before);
    store();
    refresh();
  }

  function undo() {
    if (!past.length) return;
    chosen = past.pop();
    store();
    refresh();
    say("Undone.");
  }

  function overridesText() {
    const paths = [...new Set([...cardOf.keys(), ...unseen.keys(), ...chosen.keys()])].sort();
    const differs = path => !cardOf.has(path) || decisionOn(path) !== cardOf.get(path).dataset.machine;
    return [header, ...paths.filter(differs).map(path => `${decisionOn(path)}\t${path}`)].join("\n") + "\n";
  }

  function readOverrides(text) {
    const lines = text.split("\n").map(line => line.replace(/\r$/, ""));
    if (lines[0] !== header) throw new Error("line 1: expected the header decision<TAB>path. Choose a file that was saved here.");
    const found = new Map();
    lines.slice(1).forEach((line, i) => {
      if (!line) return;
      const [decision, path, ...more] = line.split("\t");
      if (!["keep", "remove"].includes(decision) || !path || more.length)
        throw new Error(`line ${i + 2}: expected keep<TAB>path or remove<TAB>path, found “${line.slice(0, 80)}”.`);
      if ((found.get(path) ?? decision) !== decision) throw new Error(`line ${i + 2}: ${path} has two decisions. Leave one of them.`);
      found.set(path, decision);
    });
    return found;
  }

  // ---- what the browser keeps; a page from disk may be refused it

  function store() {
    try {
      chosen.size ? localStorage.setItem(storageKey, JSON.stringify([...chosen])) : localStorage.removeItem(storageKey);
      stored = true;
    } catch {
      stored = false;
    }
    tool.forgetful.hidden = stored;
  }

  function restore() {
    try {
      chosen = new Map(JSON.parse(localStorage.getItem(storageKey) ?? "[]").filter(([, d]) => ["keep", "remove"].includes(d)));
    } catch {
      chosen = new Map();
    }
    if (chosen.size) say(`${chosen.size === 1 ? "One decision" : `${chosen.size} decisions`} of your last visit restored.`);
  }

  // ---- what is seen

  function refresh() {
    for (const [path, card] of cardOf) {
      const decision = decisionOn(path), changed = chosen.has(path);
      card.classList.toggle("is-changed", changed);
      card.querySelector(".changed").hidden = !changed;
      for (const button of card.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.decision === decision));
    }
    const elsewhere = [...chosen.keys()].filter(path => !cardOf.has(path)).length + [...unseen.keys()].filter(path => !chosen.has(path)).length;
    const changes = chosen.size === 1 ? "1 change" : `${chosen.size || "no"} changes`;
    tool.count.textContent = changes + (elsewhere ? `, ${elsewhere} about pictures not shown` : "");
    tool.undo.disabled = !past.length;
    tool.save.disabled = tool.copy.disabled = overridesText() === header + "\n";
    tool.text.value = overridesText();
  }

  function filter() {
    const kind = tool.kind.value, isRemoval = card => card.dataset.machine === "remove" && card.dataset.run === "remove";
    for (const card of cards) {
      const fits = !kind || (kind === "*" ? isRemoval(card) : card.dataset.kind === kind);
      card.hidden = !fits || (tool.only.checked && !chosen.has(pathOf(card)));
    }
    const shown = cards.filter(card => !card.hidden);
    if (current.hidden && shown.length) makeCurrent(shown[0]);
    say(shown.length === 1 ? "1 picture shown." : `${shown.length} pictures shown.`);
  }

  function makeCurrent(card) {
    for (const [one, index] of [[current, -1], [card, 0]])
      for (const element of [one, ...one.querySelectorAll("button")]) element.tabIndex = index;
    current = card;
  }

  function move(step) {
    const shown = cards.filter(card => !card.hidden);
    if (!shown.length) return;
    const isInDeck = current.contains(document.activeElement);
    const next = shown[Math.min(Math.max(shown.indexOf(current) + (isInDeck ? step : 0), 0), shown.length - 1)];
    makeCurrent(next);
    next.focus();
  }

  const flip = card => set(card, decisionOn(pathOf(card)) === "keep" ? "remove" : "keep");
  function set(card, decision) {
    decide([[pathOf(card), decision]]);
    say(`${decision === "keep" ? "To be kept" : "To be removed"}: ${pathOf(card)}`);
  }

  // ---- the file

  function save() {
    if (tool.save.disabled) return say("There is nothing to save: every decision is the comparison’s own.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([overridesText()], {type: "text/tab-separated-values"}));
    link.download = "overrides.tsv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say("Saved as overrides.tsv where this browser puts downloads.");
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(overridesText());
      say("Copied. Save the text as a file, such as overrides.tsv.");
    } catch {
      tool.text.hidden = false;
      tool.text.select();
      say("The browser does not allow copying; the text below is selected, copy it by hand.");
    }
  }

  async function load() {
    const [file] = tool.load.files;
    if (!file) return;
    try {
      const found = readOverrides(await file.text());
      decide([...found]);
      say(`${found.size} decisions read from ${file.name}.`);
    } catch (error) {
      say(`${file.name} was not read: ${error.message}`);
    }
    tool.load.value = "";
  }

  // ---- hands

  const keys = {
    j: () => move(1), k: () => move(-1), ArrowRight: () => move(1), ArrowDown: () => move(1), ArrowLeft: () => move(-1),
    ArrowUp: () => move(-1), x: () => flip(current), " ": () => flip(current), r: () => set(current, "remove"),
    e: () => set(current, "keep"), u: undo, s: save, "?": () => tool.keys.showModal(),
    c: () => { tool.only.checked = !tool.only.checked; filter(); },
  };
  const inDeckOnly = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "x", " ", "r", "e"];

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, textarea, dialog")) return;
    const isInDeck = event.target.closest(".card") !== null, isSingle = event.key.length === 1 && event.key !== " ";
    if (!(event.key in keys) || (isSingle && !tool.shortcuts.checked) || (inDeckOnly.includes(event.key) && !isInDeck)) return;
    if (event.key === " " && event.target.closest("button")) return;          // the button answers by itself
    event.preventDefault();
    keys[event.key]();
  });
  deck.addEventListener("focusin", event => makeCurrent(event.target.closest(".card")));
  deck.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (button) set(button.closest(".card"), button.dataset.decision);
  });
  tool.kind.addEventListener("change", filter);
  tool.only.addEventListener("change", filter);
  tool.undo.addEventListener("click", undo);
  tool.save.addEventListener("click", save);
  tool.copy.addEventListener("click", copy);
  tool.load.addEventListener("change", load);
  tool.help.addEventListener("click", () => tool.keys.showModal());
  window.addEventListener("beforeunload", event => { if (chosen.size && !stored) event.preventDefault(); });

  restore();
  refresh();
})();
