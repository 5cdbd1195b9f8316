/** How far below the upper edge a section begins and still counts as the one that is read. */
const NEAR_TOP_PX = 96;

/**
 * The sections of a long page, and which of them is in view. In: where the page is scrolled to. Out: `current`. Each is
 * an element of its own, whose id is the prefix and the section's.
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
    return () => {
      this.#page = null;
      page.removeEventListener("scroll", look);
    };
  };

  goTo(id: Id): void {
    const page = this.#page;
    const before = page?.scrollTop;
    page?.querySelector(`#${this.#prefix}${id}`)?.scrollIntoView({ block: "start" });
    this.#went = page !== null && page.scrollTop !== before;
    this.current = id;
  }

  #look(page: HTMLElement): void {
    if (this.#went) {
      this.#went = false;
      return;
    }
    const top = page.getBoundingClientRect().top;
    const atEnd = page.scrollTop > 0 && page.scrollTop + page.clientHeight >= page.scrollHeight - 4;
    const passed = this.#ids.filter((id) => {
      const box = page.querySelector(`#${this.#prefix}${id}`)?.getBoundingClientRect();
      return box !== undefined && box.top - top < NEAR_TOP_PX;
    });
    this.current = (atEnd ? this.#ids : passed).at(-1) ?? this.#ids[0];
  }
}
