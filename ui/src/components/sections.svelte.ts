/** How far below the upper edge a section begins and still counts as the one that is read. */
const NEAR_TOP_PX = 96;

/**
 * The sections of a long page, and which of them somebody is at: where the focus is, as long as it is in view, else what
 * is at the upper edge. In: the focus, and where the page is scrolled to. Out: `current`. Each is an element of its own,
 * whose id is the prefix and the section's.
 */
export class Sections<Id extends string> {
  current = $state<Id>();
  readonly #ids: readonly Id[];
  readonly #prefix: string;
  #page: HTMLElement | null = null;
  /** What was gone to stays current, also when the page ends before it is at the top. */
  #went = false;

  constructor(ids: readonly Id[], prefix: string) {
    this.#ids = ids;
    this.#prefix = prefix;
    this.current = ids[0];
  }

  /** Attach to what scrolls. */
  readonly follow = (page: HTMLElement): (() => void) => {
    const look = () => this.#look(page);
    this.#page = page;
    page.addEventListener("scroll", look, { passive: true });
    page.addEventListener("focusin", look);
    return () => {
      this.#page = null;
      page.removeEventListener("scroll", look);
      page.removeEventListener("focusin", look);
    };
  };

  goTo(id: Id): void {
    const page = this.#page;
    const before = page?.scrollTop;
    if (page) this.#element(page, id)?.scrollIntoView({ block: "start" });
    this.#went = page?.scrollTop !== before;
    this.current = id;
  }

  #look(page: HTMLElement): void {
    if (this.#went) {
      this.#went = false;
      return;
    }
    this.current = this.#focused(page) ?? this.#atTop(page);
  }

  #focused(page: HTMLElement): Id | undefined {
    const { activeElement } = document;
    if (!activeElement || !page.contains(activeElement)) return undefined;
    const [box, view] = [activeElement.getBoundingClientRect(), page.getBoundingClientRect()];
    if (box.bottom <= view.top || box.top >= view.bottom) return undefined;
    return this.#ids.find((id) => this.#element(page, id)?.contains(activeElement));
  }

  #atTop(page: HTMLElement): Id | undefined {
    const { top } = page.getBoundingClientRect();
    const atEnd = page.scrollTop > 0 && page.scrollTop + page.clientHeight >= page.scrollHeight - 4;
    const passed = this.#ids.filter((id) => {
      const box = this.#element(page, id)?.getBoundingClientRect();
      return box !== undefined && box.top - top < NEAR_TOP_PX;
    });
    return (atEnd ? this.#ids : passed).at(-1) ?? this.#ids[0];
  }

  #element(page: HTMLElement, id: Id): Element | null {
    return page.querySelector(`#${this.#prefix}${id}`);
  }
}
