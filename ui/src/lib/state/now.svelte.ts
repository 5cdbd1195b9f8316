/** The time, once a second, for words such as *Connected 2 h 14 min*. Stands still while nobody looks. */
import { createSubscriber } from "svelte/reactivity";

const subscribe = createSubscriber((update) => {
  const timer = setInterval(() => document.visibilityState === "visible" && update(), 1000);
  document.addEventListener("visibilitychange", update);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", update);
  };
});

/** Unix microseconds, reactive where it is read in an effect or in markup. */
export function ticking(): number {
  subscribe();
  return Date.now() * 1000;
}
