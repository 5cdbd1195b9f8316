/** What a port was found to speak, in words. In: reports. Out: sentences and the order of the list. Pure. */
import type { ProbeAttempt } from "$lib/backend/types/ProbeAttempt";
import type { ProbeReport } from "$lib/backend/types/ProbeReport";
import { failureTitle } from "$lib/failures";
import { versionName } from "$lib/mqtt/words";
import { m } from "$messages";

const ORDER: Record<ProbeAttempt["answer"], number> = {
  accepted: 0,
  refused: 0,
  client_certificate: 1,
  other: 2,
  silent: 3,
  unreachable: 3,
};

/** Whether there is something to fill in. */
export function isAnswer({ answer }: ProbeAttempt): boolean {
  return ORDER[answer] < 2;
}

/** What to use first, then what else answers, then the rest. */
export function inOrder({ attempts, best }: ProbeReport): ProbeAttempt[] {
  const chosen = best === null ? undefined : attempts[best];
  const rank = (attempt: ProbeAttempt) => (attempt === chosen ? -1 : ORDER[attempt.answer]);
  return [...attempts].sort((a, b) => rank(a) - rank(b));
}

export function attemptWords(attempt: ProbeAttempt): string {
  const version = versionName(attempt.version);
  switch (attempt.answer) {
    case "accepted":
      return m.probe_accepted({ version });
    case "refused":
      return m.probe_refused({ version, reason: attempt.connack ?? "" });
    case "client_certificate":
      return m.probe_client_certificate();
    case "silent":
      return m.probe_silent();
    default:
      return attempt.failure ? failureTitle(attempt.failure.code) : m.probe_silent();
  }
}

/** The first sentence: what the port speaks. */
export function summary(report: ProbeReport): string {
  const { address, attempts, best, telling } = report;
  const chosen = best === null ? undefined : attempts[best];
  if (chosen) return m.probe_found({ address, scheme: chosen.transport });
  if (attempts.every(({ answer }) => answer === "unreachable")) return m.probe_unreachable({ address });
  return telling && attempts.some(({ answer }) => answer === "other")
    ? m.probe_not_mqtt({ address })
    : m.probe_nothing({ address });
}
