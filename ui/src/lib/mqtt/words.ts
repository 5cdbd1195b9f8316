/** Words of MQTT: versions, and the rules that topics break. */
import { m } from "$messages";
import type { TopicProblem } from "./topic";

export function topicProblem(problem: TopicProblem): string {
  switch (problem) {
    case "empty":
      return m.topic_empty();
    case "null":
      return m.topic_null();
    case "too_long":
      return m.topic_too_long();
    case "wildcard":
      return m.topic_wildcard();
    case "multi_level":
      return m.topic_multi_level();
    case "single_level":
      return m.topic_single_level();
    case "share":
      return m.topic_share();
  }
}

export function versionName(version: "3.1.1" | "5"): string {
  return version === "5" ? "5.0" : version;
}
