//! One trace on one cluster, simulated with several variants of its arrival times.

use std::sync::atomic::AtomicU64;

use crate::base::error::{Error, Result};
use crate::base::random::stream;
use crate::metrics::statistics::draw;
use crate::scenario::{RunOptions, Scenario, ScenarioConfig, SchedulerConfig};
use crate::sim::replica::OptSarathiConfig;
use crate::sim::{Item, RequestRecord, Workload};
use crate::trace::{Nanos, Trace};

/// Returns the same configuration with `opt-sarathi` on all instances, after `change`. Any other scheduler is replaced by
/// `opt-sarathi` with its defaults.
pub fn with_opt_sarathi(
    config: &ScenarioConfig,
    change: impl Fn(&mut OptSarathiConfig),
) -> ScenarioConfig {
    let mut config = config.clone();
    let own = config
        .pool
        .iter_mut()
        .filter_map(|pool| pool.scheduler.as_mut());
    for scheduler in own.chain(std::iter::once(&mut config.scheduler)) {
        let mut changed: OptSarathiConfig = scheduler.parameters().unwrap_or_default();
        change(&mut changed);
        match SchedulerConfig::of(&changed) {
            Ok(chosen) => *scheduler = chosen,
            Err(error) => unreachable!("it holds numbers and names: {error}"),
        }
    }
    config
}

/// A trace, and the arrival times of its requests for each seed.
#[derive(Debug)]
pub struct TraceVariants {
    /// One list per seed, in order of arrival, with each item's index in the trace.
    variants: Vec<Vec<(Item, u32)>>,
    seeds: Vec<u64>,
}

impl TraceVariants {
    /// Builds the variants. The first seed uses the trace unchanged. With `vary`, each other seed permutes the start times
    /// among the sessions. Without it, seeds affect only the random draws of the cluster.
    ///
    /// # Errors
    /// A trace without requests, or an empty list of seeds.
    pub fn new(trace: &Trace, time_scale: f64, seeds: &[u64], vary: bool) -> Result<Self> {
        if trace.requests().is_empty() || seeds.is_empty() {
            return Err(Error::usage(
                "no requests or no seeds to simulate",
                "give a trace with requests, and at least one seed",
            ));
        }
        let workload = Workload::new(trace, None);
        let mut first: Vec<Option<Nanos>> = vec![None; workload.sessions() as usize];
        for item in workload.items() {
            first[item.session as usize].get_or_insert(item.arrival);
        }
        let starts: Vec<Nanos> = first
            .iter()
            .map(|start| start.unwrap_or_default())
            .collect();
        let variant = |(index, seed): (usize, &u64)| {
            let mut moved = starts.clone();
            if vary && index > 0 {
                let mut random = stream(*seed, "session starts", 0);
                for last in (1..moved.len()).rev() {
                    moved.swap(last, draw(last + 1, &mut random));
                }
            }
            let mut items: Vec<(Item, u32)> = workload
                .items()
                .iter()
                .zip(0..)
                .map(|(item, place)| {
                    let session = item.session as usize;
                    let arrival = moved[session] + (item.arrival - starts[session]);
                    (Item { arrival, ..*item }, place)
                })
                .collect();
            items.sort_by_key(|(item, place)| (item.arrival, *place));
            for (item, _) in &mut items {
                item.arrival = Nanos((item.arrival.0 as f64 * time_scale).round() as u64);
            }
            items
        };
        Ok(Self {
            variants: seeds.iter().enumerate().map(variant).collect(),
            seeds: seeds.to_vec(),
        })
    }

    /// The seeds.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Number of requests in one run.
    pub fn requests(&self) -> usize {
        self.variants[0].len()
    }

    /// Simulates the variant of the seed with this index; returns the outcomes of its requests, in trace order.
    ///
    /// # Errors
    /// As [`Scenario::cluster`].
    pub fn serve(
        &self,
        prepared: &Scenario,
        number: usize,
        done: &AtomicU64,
    ) -> Result<Vec<RequestRecord>> {
        let variant = &self.variants[number];
        let workload = Workload::of_items(variant.iter().map(|(item, _)| *item).collect());
        let options = RunOptions {
            progress: Some(done),
            ..RunOptions::default()
        };
        let records = prepared
            .run(&workload, self.seeds[number], options)?
            .records;
        let mut requests = vec![RequestRecord::default(); variant.len()];
        for ((_, place), record) in variant.iter().zip(records.requests) {
            requests[*place as usize] = record;
        }
        Ok(requests)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use crate::trace::{Content, NewRequest, TraceBuilder, TraceMeta};
    use crate::tune::trace_variants::*;

    /// Sessions of two turns with prompts of many lengths, close together in time.
    pub(in crate::tune) fn trace(sessions: u32) -> Trace {
        let mut builder = TraceBuilder::new(Content::Lengths);
        for session in 0..sessions {
            for turn in 0..2u32 {
                let arrival =
                    Nanos(u64::from(session) * 40_000_000 + u64::from(turn) * 500_000_000);
                let name = format!("s{session}");
                builder
                    .push(NewRequest {
                        id: &format!("{name}_{turn}"),
                        session: &name,
                        turn,
                        arrival,
                        input_length: 50 + session * 37 % 900,
                        output_length: 5 + session * 11 % 60,
                        shared: 0,
                        fresh: &[],
                        output: &[],
                        extra: None,
                    })
                    .expect("is taken");
            }
        }
        builder.finish(TraceMeta::default()).expect("is whole")
    }

    /// One instance with few blocks, so that requests wait.
    pub(in crate::tune) fn config() -> ScenarioConfig {
        ScenarioConfig::preset(
            "llama-8b-aggregated-4",
            &[
                "pool.replicas.instances=1".into(),
                "pool.replicas.blocks=600".into(),
            ],
        )
        .expect("ships")
    }
}

#[cfg(test)]
mod tests {
    use crate::tune::trace_variants::testing::{config, trace};
    use crate::tune::trace_variants::*;

    #[test]
    fn seeds_exchange_starts_and_nothing_else() {
        let variants = TraceVariants::new(&trace(30), 2.0, &[0, 7, 8], true).expect("is made");
        let times = |variant: &[(Item, u32)]| {
            let mut firsts = vec![None; 30];
            for (item, _) in variant {
                firsts[item.session as usize].get_or_insert(item.arrival);
            }
            firsts
        };
        let own = times(&variants.variants[0]);
        assert_eq!(own[3], Some(Nanos(240_000_000)));
        for variant in &variants.variants[1..] {
            let mut moved = times(variant);
            assert_ne!(moved, own);
            moved.sort();
            assert_eq!(moved, own, "the same starts");
            assert!(variant.is_sorted_by_key(|(item, _)| item.arrival));
            let mut places: Vec<u32> = variant.iter().map(|(_, place)| *place).collect();
            places.sort_unstable();
            assert_eq!(places, (0..60).collect::<Vec<_>>());
            // The second turn follows the first by the same time as in the trace.
            for session in 0..30 {
                let of: Vec<Nanos> = variant
                    .iter()
                    .filter(|(item, _)| item.session == session)
                    .map(|(item, _)| item.arrival)
                    .collect();
                assert_eq!(of[1] - of[0], Nanos(1_000_000_000));
            }
        }
        assert_ne!(times(&variants.variants[1]), times(&variants.variants[2]));
        let still = TraceVariants::new(&trace(30), 1.0, &[0, 7], false).expect("is made");
        assert_eq!(still.variants[0], still.variants[1]);
        assert!(TraceVariants::new(&trace(1), 1.0, &[], true).is_err());
    }

    #[test]
    fn any_scheduler_gives_way_and_its_own_keys_stay() {
        let config = config();
        let changed = with_opt_sarathi(&config, |own| own.min_chunk_threshold = 3);
        assert_eq!(changed.scheduler.name(), "opt-sarathi");
        let again = with_opt_sarathi(&changed, |own| own.chunk_size = 256);
        let own: OptSarathiConfig = again.scheduler.parameters().expect("it was set");
        assert_eq!((own.min_chunk_threshold, own.chunk_size), (3, 256));
    }

    #[test]
    fn records_stand_in_the_order_of_the_trace() {
        let trace = trace(20);
        let variants = TraceVariants::new(&trace, 1.0, &[0, 1], true).expect("is made");
        let prepared = with_opt_sarathi(&config(), |_| {})
            .prepare()
            .expect("is right");
        for number in 0..2 {
            let records = variants
                .serve(&prepared, number, &AtomicU64::new(0))
                .expect("serves");
            for (record, request) in records.iter().zip(trace.requests()) {
                assert_eq!(
                    (record.prompt, record.output),
                    (request.input_length, request.output_length)
                );
                assert!(record.is_finished());
            }
        }
    }
}
