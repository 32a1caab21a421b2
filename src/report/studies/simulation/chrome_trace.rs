//! A run as a file for trace viewers (Chrome trace format).

use std::path::Path;

use serde_json::json;

use crate::base::error::Result;
use crate::base::io::OutputFile;
use crate::sim::Records;
use crate::trace::Nanos;

/// Writes steps and requests for `chrome://tracing` and Perfetto. Each instance is a process with its steps as spans; requests
/// are asynchronous spans from arrival to end.
///
/// # Errors
/// A file that cannot be written.
pub fn chrome_trace(records: &Records, path: &Path) -> Result<()> {
    use std::io::Write as _;
    let mut file = OutputFile::create(path)?;
    let fail = |error| crate::Error::write(path, error);
    let micros = |time: Nanos| time.0 as f64 / 1e3;
    file.write_all(b"[\n").map_err(fail)?;
    for instance in &records.instances {
        let name = format!("{} {}", instance.pool, instance.instance);
        let event = json!({"ph": "M", "name": "process_name", "pid": instance.instance, "args": {"name": name}});
        writeln!(file, "{event},").map_err(fail)?;
    }
    for step in &records.step_log {
        let name = match (step.prefill_tokens, step.decodes) {
            (0, _) => "decode",
            (_, 0) => "prefill",
            _ => "mixed",
        };
        let event = json!({
            "ph": "X", "name": name, "pid": step.instance, "tid": 0,
            "ts": micros(step.started), "dur": micros(step.ended - step.started),
            "args": {
                "requests": step.requests, "prefill_tokens": step.prefill_tokens, "decodes": step.decodes,
                "kv_usage": step.usage_before,
            },
        });
        writeln!(file, "{event},").map_err(fail)?;
    }
    for (index, request) in records.requests.iter().enumerate() {
        if !request.is_finished() {
            continue;
        }
        for (phase, time) in [("b", request.arrival), ("e", request.ended)] {
            let event = json!({
                "ph": phase, "cat": "request", "name": "request", "id": index, "pid": request.prefill_instance,
                "tid": 1, "ts": micros(time),
                "args": {"prompt": request.prompt, "output": request.output, "cached": request.cached},
            });
            writeln!(file, "{event},").map_err(fail)?;
        }
    }
    let last = json!({"ph": "M", "name": "trace_end", "pid": 0, "args": {}});
    writeln!(file, "{last}\n]").map_err(fail)?;
    file.finish()
}
