// The time line of one task, from its document and its audit trail: pure.

// Spans {name, fromMs, toMs} and points {name, atMs}, counted from its acceptance.
export function timeline(task, audit, nowMs) {
  const zero = Date.parse(task.created_at);
  const at = (time) => Date.parse(time) - zero;
  const points = audit.map((change) => ({ name: nameOf(change), atMs: at(change.at) }));
  const spans = [];
  let state = null;
  for (const change of audit) {
    if (state !== null) spans.push({ name: state.name, fromMs: state.atMs, toMs: at(change.at) });
    const name = STATES[change.to_state];
    state = name ? { name, atMs: at(change.at) } : null;
  }
  if (state !== null) spans.push({ name: state.name, fromMs: state.atMs, toMs: Math.max(state.atMs, nowMs - zero) });
  const detail = inside(spans.findLast((each) => each.name === "runs"), task.result?.timings);
  const all = [...spans, ...detail];
  return { spans: all, points, endMs: Math.max(1, ...all.map((each) => each.toMs), ...points.map((each) => each.atMs)) };
}

const STATES = {
  available: "waits", scheduled: "is scheduled", executing: "runs", retryable: "waits for another attempt",
};

// What the engine measured of the last run, ended by what is left for the commit.
function inside(run, timings) {
  if (!run || !timings) return [];
  const { prefill_ms: prefill, decode_ms: decode } = timings;
  if (prefill == null || decode == null) return [];
  const read = Math.min(run.fromMs + prefill, run.toMs);
  const written = Math.min(read + decode, run.toMs);
  return [
    { name: "reads the prompt", fromMs: run.fromMs, toMs: read },
    { name: "writes", fromMs: read, toMs: written },
    { name: "the rest, the commit included", fromMs: written, toMs: run.toMs },
  ];
}

function nameOf({ event, cause }) {
  return cause ? `${event} (${cause})` : event;
}
