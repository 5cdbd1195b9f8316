/** How values read in the window, in its language. Pure: numbers in, text out. */
export { fingerprint, plainFingerprint, shortFingerprint } from "./fingerprint";
export { bytes, count, rate } from "./numbers";
export { clock, date, dateTime, duration, millis, nowMicros, relative, span, time } from "./times";
