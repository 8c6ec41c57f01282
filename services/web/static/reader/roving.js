// Many elements of which the Tab key reaches one: the arrows up and down, Home and End go to the others.

const STEPS = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };

export class Roving {
  #root;
  #selector;

  // `entered(element)` is called when an element gets the focus by a key.
  constructor(root, selector, entered = () => {}) {
    [this.#root, this.#selector] = [root, selector];
    root.addEventListener("focusin", ({ target }) => target.matches(selector) && this.#hold(target));
    root.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step === undefined || event.altKey || event.ctrlKey || event.metaKey || !event.target.matches(selector)) return;
      const all = this.#all();
      const next = all[Math.max(0, Math.min(all.length - 1, all.indexOf(event.target) + step))];
      event.preventDefault();
      next.focus();
      entered(next);
    });
  }

  // After the elements have changed.
  renew() {
    const [first] = this.#all();
    if (first) this.#hold(first);
  }

  #hold(element) {
    for (const other of this.#all()) other.setAttribute("tabindex", other === element ? "0" : "-1");
  }

  #all() {
    return [...this.#root.querySelectorAll(this.#selector)];
  }
}
