/** Why a text is no endpoint, in words. In: the engine's reason, and the text that it is about. Pure. */
import type { EndpointReason } from "$lib/backend/types/EndpointReason";
import { m } from "$messages";

export function endpointText(reason: EndpointReason, value: string): string {
  return m[`endpoint_${reason}`]({ value });
}

/** The same of an error's details; undefined when it is about something else. */
export function endpointProblem({ reason, value }: Record<string, unknown>): string | undefined {
  if (typeof reason !== "string" || !(`endpoint_${reason}` in m)) return undefined;
  return endpointText(reason as EndpointReason, typeof value === "string" ? value : "");
}
