//! Results of this program's simulator in SplitwiseSim's file layout.

use std::path::Path;

use crate::base::error::Result;
use crate::compat::splitwise::{self, InstanceRow, WriteOptions, write_rows};
use crate::sim::{Records, RequestRecord};
use crate::trace::Nanos;

/// Writes the files: finished requests in order of completion, and all instances.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(records: &Records, folder: &Path) -> Result<()> {
    let mut finished: Vec<(u32, &RequestRecord)> = (0..)
        .zip(&records.requests)
        .filter(|(_, record)| record.is_finished())
        .collect();
    finished.sort_by_key(|(_, record)| record.ended);
    let requests: Vec<splitwise::RequestRecord> = finished.into_iter().map(request_row).collect();
    let instances: Vec<InstanceRow> = records
        .instances
        .iter()
        .map(|instance| InstanceRow {
            name: format!("{}_{}", instance.pool, instance.instance),
            utilization: instance.utilisation().unwrap_or_default(),
        })
        .collect();
    write_rows(&requests, &instances, WriteOptions::default(), folder)
}

fn request_row((index, r): (u32, &RequestRecord)) -> splitwise::RequestRecord {
    let secs = Nanos::as_secs_f64;
    let first = r.first_token.unwrap_or(r.ended);
    let moved = r.prefill_instance != r.decode_instance;
    let token_start = if moved { r.transfer_end } else { first };
    splitwise::RequestRecord {
        index,
        id: u64::from(index),
        arrival: secs(r.arrival),
        response: secs(r.ended - r.arrival),
        queue: r.queued().unwrap_or_default(),
        ttft: r.ttft().unwrap_or_default(),
        tbt: r.tbt().unwrap_or_default(),
        nth_token_overhead: secs(token_start - first),
        prompt: r.prompt,
        output: r.output,
        prompt_span: (secs(r.scheduled.unwrap_or(r.arrival)), secs(first)),
        flow_span: moved.then(|| (secs(r.transfer_start), secs(r.transfer_end))),
        token_span: (secs(token_start), secs(r.ended)),
        prompt_instance: r.prefill_instance,
        token_instance: r.decode_instance,
        started_on_arrival: false,
    }
}
