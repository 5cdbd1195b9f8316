/** Why a text is no endpoint, in words. In: the engine's reason, and the text that it is about. Pure. */
import type { EndpointReason } from "$lib/backend/types/EndpointReason";
import { m } from "$messages";

export function endpointText(reason: EndpointReason, value: string): string {
  return m[`endpoint_${reason}`]({ value });
}
