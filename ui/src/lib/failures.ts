/** Words for failure codes and stages, in the window's language. */
import type { FailureCode } from "$lib/backend/types/FailureCode";
import type { Stage } from "$lib/backend/types/Stage";
import { m } from "$messages";

/** What happened, in one short sentence without a full stop. */
export function failureTitle(code: FailureCode): string {
  return m[`failure_${code}`]();
}

export function stageName(stage: Stage): string {
  return m[`stage_${stage}`]();
}
