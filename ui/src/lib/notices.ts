/** What the engine has to say by itself, in words. In: a notice. Out: a remark. Pure. */
import type { EngineEvent } from "$lib/backend/types/EngineEvent";
import { errorWords } from "$lib/errors";
import type { Toast } from "$lib/state/toasts.svelte";
import { m } from "$messages";

export function noticeToast({ code, error }: Extract<EngineEvent, { event: "notice" }>): Toast {
  switch (code) {
    case "storage_failing":
      return {
        tone: "warn",
        text: () => m.stream_not_stored_hint({ problem: error ? errorWords(error) : "" }),
      };
    case "storage_recovered":
      return { tone: "ok", text: () => m.notice_storage_recovered() };
    case "storage_damaged":
      return { tone: "err", text: () => (error ? errorWords(error) : "") };
  }
}
