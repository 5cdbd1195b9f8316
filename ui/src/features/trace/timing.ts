/** Where the time of an attempt went, in words. In: the engine's remarks. Out: sentences, in its order. Pure. */
import type { TimingRemark } from "$lib/backend/types/TimingRemark";
import { stageName } from "$lib/failures";
import { duration } from "$lib/format";
import { m } from "$messages";

export function timingWords(remark: TimingRemark): string {
  switch (remark.kind) {
    case "most_in":
      return m.timing_most({
        stage: stageName(remark.stage),
        percent: remark.percent,
        time: duration(remark.micros),
      });
    case "slow_dns":
      return m.timing_slow_dns({ time: duration(remark.micros) });
    case "addresses_before": {
      const { address, count, micros, ipv6_first } = remark;
      const time = duration(micros);
      return ipv6_first
        ? m.timing_ipv6_first({ address, time })
        : m.timing_addresses_before({ address, count, time });
    }
    case "round_trip":
      return m.timing_round_trip({ time: duration(remark.micros) });
    case "tls_round_trips": {
      const time = duration(remark.micros);
      const beyond = duration(remark.beyond_micros);
      return remark.round_trips === 1
        ? m.timing_tls_one({ time, beyond })
        : m.timing_tls_two({ time, beyond });
    }
    case "full_handshake":
      return m.timing_full_handshake();
    case "server_thinks":
      return m.timing_server_thinks({ stage: stageName(remark.stage), time: duration(remark.micros) });
  }
}
