import { afterEach, beforeEach, expect, test } from "vitest";
import { Sections } from "./sections.svelte";

const IDS = ["first", "second", "last"] as const;
const HEIGHTS = { first: 500, second: 400, last: 200 };
const VIEW = 600;

/** A page that scrolls; nothing is laid out here, so it says itself where its sections are. */
function pageOf(): HTMLElement {
  const page = document.createElement("div");
  const whole = Object.values(HEIGHTS).reduce((sum, height) => sum + height, 0);
  let scrolled = 0;
  Object.defineProperties(page, {
    clientHeight: { value: VIEW },
    scrollHeight: { value: whole },
    scrollTop: {
      get: () => scrolled,
      set: (to: number) => (scrolled = Math.max(0, Math.min(to, whole - VIEW))),
    },
  });
  page.getBoundingClientRect = () => new DOMRect(0, 0, 300, VIEW);
  let above = 0;
  for (const id of IDS) {
    const [from, height] = [above, HEIGHTS[id]];
    const section = document.createElement("section");
    section.id = `part-${id}`;
    section.getBoundingClientRect = () => new DOMRect(0, from - page.scrollTop, 300, height);
    // As in a browser, the event comes when what scrolled has ended.
    section.scrollIntoView = () => queueMicrotask(scroll(from));
    // A field at its end.
    const field = document.createElement("input");
    field.getBoundingClientRect = () => new DOMRect(0, from + height - 30 - page.scrollTop, 300, 30);
    section.append(field);
    above += height;
    page.append(section);
  }
  return page;
}

let page: HTMLElement;
let sections: Sections<(typeof IDS)[number]>;
let stop: () => void;

/** Scrolls; what it returns tells the page of it. */
function scroll(to: number): () => void {
  const before = page.scrollTop;
  page.scrollTop = to;
  return () => page.scrollTop !== before && page.dispatchEvent(new Event("scroll"));
}

beforeEach(() => {
  page = pageOf();
  document.body.append(page);
  sections = new Sections(IDS, "part-");
  stop = sections.follow(page);
});
afterEach(() => {
  stop();
  page.remove();
});

test("the section that is read is current, and the last one at the end of the page", () => {
  expect(sections.current).toBe("first");
  for (const [to, current] of [
    [450, "second"],
    [10, "first"],
    [1000, "last"],
  ] as const) {
    scroll(to)();
    expect(sections.current).toBe(current);
  }
});

test("what was gone to is current, also when the page ends before it is at the top", async () => {
  sections.goTo("second");
  await Promise.resolve();
  expect(sections.current).toBe("second");
  // It is there already: nothing scrolls, and who scrolls then is followed.
  sections.goTo("last");
  scroll(10)();
  expect(sections.current).toBe("first");
});

test("where the focus is, is current as long as it is in view", () => {
  const field = page.querySelector<HTMLElement>("#part-second input");
  scroll(490)();
  page.querySelector<HTMLElement>("#part-last input")?.focus();
  expect(sections.current).toBe("last");
  field?.focus();
  expect(sections.current).toBe("second");
  scroll(350)();
  expect(sections.current).toBe("second");
  scroll(10)();
  expect(sections.current).toBe("first");
});
