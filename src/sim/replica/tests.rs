//! Tests of schedulers step by step: hand-worked cases, and properties that all schedulers have.

use proptest::prelude::*;

use super::*;
use crate::base::registry::Named as _;
use crate::sim::in_flight::InFlightRequest;

/// One instance without a clock.
#[derive(Debug)]
struct Bench {
    scheduler: Box<dyn ReplicaScheduler>,
    in_flight: InFlightRequests,
    kv: Kv,
    backlog: u64,
    preemptions: u64,
    batch: Vec<Slice>,
}

impl Bench {
    /// Creates requests from pairs of prompt and output length, in order of arrival.
    fn new(
        scheduler: impl ReplicaScheduler + 'static,
        blocks: u32,
        requests: &[(u32, u32)],
    ) -> Self {
        let mut bench = Self {
            scheduler: Box::new(scheduler),
            in_flight: InFlightRequests::default(),
            kv: Kv::counted(4, blocks),
            backlog: 0,
            preemptions: 0,
            batch: Vec::new(),
        };
        for (index, (prompt, output)) in requests.iter().enumerate() {
            let id = bench.in_flight.add();
            bench.in_flight[id] = InFlightRequest {
                arrival: Nanos(index as u64),
                prompt: *prompt,
                output: *output,
                ..InFlightRequest::default()
            };
            bench.backlog += u64::from(*prompt);
            bench.with(|scheduler, context, _| scheduler.enqueue(id, context));
        }
        bench
    }

    fn with(
        &mut self,
        what: impl FnOnce(&mut dyn ReplicaScheduler, &mut Context<'_>, &mut Vec<Slice>),
    ) {
        let mut context = Context {
            now: Nanos::ZERO,
            in_flight: &mut self.in_flight,
            kv: &mut self.kv,
            backlog: &mut self.backlog,
            preemptions: &mut self.preemptions,
        };
        what(&mut *self.scheduler, &mut context, &mut self.batch);
    }

    /// Forms the next batch and returns the number of tokens of each request.
    fn form(&mut self) -> Vec<(InFlightId, u32)> {
        self.batch.clear();
        self.with(|scheduler, context, batch| scheduler.form(context, batch));
        self.batch
            .iter()
            .map(|slice| (slice.id, slice.tokens))
            .collect()
    }

    /// Completes the batch as the event loop does; returns the number of finished requests.
    fn compute(&mut self) -> usize {
        let mut done = 0;
        for slice in &self.batch {
            let request_state = &mut self.in_flight[slice.id];
            self.backlog -= u64::from(request_state.backlog());
            request_state.computed += slice.tokens;
            self.backlog += u64::from(request_state.backlog());
            if request_state.gap() == 0 {
                request_state.generated += 1;
                done += usize::from(request_state.is_done());
            }
        }
        self.scheduler.retire(&self.in_flight);
        for slice in &self.batch {
            if self.in_flight[slice.id].is_done() {
                self.kv.release(slice.id);
            }
        }
        done
    }

    fn step(&mut self) -> Vec<(InFlightId, u32)> {
        let batch = self.form();
        self.compute();
        batch
    }
}

fn sarathi(chunk_size: u32) -> SarathiConfig {
    SarathiConfig {
        chunk_size,
        ..SarathiConfig::default()
    }
}

#[test]
fn sarathi_fills_a_step_with_pieces_of_prompts() {
    let mut bench = Bench::new(Sarathi::new(sarathi(8)), 100, &[(10, 3), (5, 2), (9, 1)]);
    assert_eq!(bench.step(), [(0, 8)]);
    // The rest of the first prompt, all of the second, and one token of the third.
    assert_eq!(bench.step(), [(0, 2), (1, 5), (2, 1)]);
    // Decodes are scheduled first and use budget.
    assert_eq!(bench.step(), [(0, 1), (1, 1), (2, 6)]);
    assert_eq!(bench.step(), [(0, 1), (2, 2)]);
    assert_eq!(bench.step(), []);
    assert_eq!((bench.kv.free(), bench.backlog), (100, 0));
}

#[test]
fn a_prompt_preempted_half_way_is_cut_short_in_vidur() {
    // There are four blocks of 4 tokens: one for the first prompt, three for the second, of which 4 tokens are computed.
    let run = |keep_prompt| {
        let config = SarathiConfig {
            keep_prompt,
            watermark_blocks_fraction: 0.0,
            ..sarathi(8)
        };
        let mut bench = Bench::new(Sarathi::new(config), 4, &[(4, 3), (12, 2)]);
        assert_eq!(bench.step(), [(0, 4), (1, 4)]);
        // The first request needs a block for its fifth token, so the second is preempted.
        let batch = bench.step();
        let second = &bench.in_flight[1];
        (batch, second.prompt, second.output, second.preemptions)
    };
    // Vidur: the prompt is truncated to 4 tokens, which need one of the two free blocks; 10 tokens remain to be decoded.
    assert_eq!(run(false), (vec![(0, 1), (1, 4)], 4, 10, 1));
    // With the whole prompt kept, the request waits for three blocks.
    assert_eq!(run(true), (vec![(0, 1)], 12, 2, 1));
}

#[test]
fn a_decode_that_is_preempted_computes_its_output_as_prompt() {
    // There are three blocks. Each prompt takes one and needs a second one for its fifth token.
    let config = VllmV0Config {
        watermark_blocks_fraction: 0.0,
        ..VllmV0Config::default()
    };
    let mut bench = Bench::new(VllmV0::new(config), 3, &[(4, 3), (4, 3)]);
    assert_eq!(bench.step(), [(0, 4), (1, 4)]);
    // One block is free. The first request takes it; the second is the last running one and preempts itself.
    assert_eq!(bench.step(), [(0, 1)]);
    let second = &bench.in_flight[1];
    assert_eq!((second.prompt, second.output, second.generated), (5, 2, 0));
    // The second request now needs two blocks; one is free until the first request has its third token, for which it also
    // requires a free block.
    assert_eq!(bench.step(), [(0, 1)]);
    assert_eq!(bench.step(), [(1, 5)]);
    assert_eq!(bench.step(), [(1, 1)]);
    assert_eq!(bench.step(), []);
    assert_eq!((bench.kv.free(), bench.backlog), (3, 0));
}

#[test]
fn vllm_pads_prompts_to_the_longest() {
    let config = VllmV0Config {
        max_tokens_in_batch: 20,
        ..VllmV0Config::default()
    };
    let mut bench = Bench::new(VllmV0::new(config), 100, &[(5, 2), (8, 2), (6, 2), (30, 1)]);
    // 1 x 5 and 2 x 8 are within the limit of 20, 3 x 8 is not.
    assert_eq!(bench.step(), [(0, 5), (1, 8)]);
    assert_eq!(bench.step(), [(2, 6)]);
    assert_eq!(bench.step(), [(0, 1), (1, 1), (2, 1)]);
    // A prompt that exceeds the limit by itself runs alone.
    assert_eq!(bench.step(), [(3, 30)]);
}

#[test]
fn the_threshold_looks_at_what_is_left_of_the_step() {
    let config = OptSarathiConfig {
        chunk_size: 20,
        min_chunk_threshold: 5,
        ..OptSarathiConfig::default()
    };
    let scheduler = OptSarathi::new(config).expect("a good configuration");
    let mut bench = Bench::new(scheduler, 100, &[(3, 3), (13, 3), (22, 2), (2, 1)]);
    // 4 tokens of the budget are left, fewer than the minimum of 5: the third request has to wait.
    assert_eq!(bench.step(), [(0, 3), (1, 13)]);
    // 18 tokens of the budget are left for a prompt of 22.
    assert_eq!(bench.step(), [(0, 1), (1, 1), (2, 18)]);
    // The prompt's last 4 tokens are fewer than the minimum, but the remaining budget is not: they run, and so do the 2 tokens
    // of the fourth.
    assert_eq!(bench.step(), [(0, 1), (1, 1), (2, 4), (3, 2)]);
}

/// Returns a scheduler by number, with its token budget for prompts beside decodes and its maximum number of requests.
fn build(kind: u8, budget: u32, cap: u32) -> Box<dyn ReplicaScheduler> {
    let part = 0.1;
    match kind {
        0 | 1 => Box::new(Sarathi::new(SarathiConfig {
            chunk_size: budget,
            batch_size_cap: cap,
            watermark_blocks_fraction: part,
            keep_prompt: kind == 0,
        })),
        2 => Box::new(VllmV0::new(VllmV0Config {
            max_tokens_in_batch: budget,
            batch_size_cap: cap,
            watermark_blocks_fraction: part,
        })),
        3 | 4 => Box::new(VllmV1::new(VllmV1Config {
            max_num_batched_tokens: budget,
            max_num_seqs: cap,
            watermark: part,
            async_scheduling: kind == 4,
            ..VllmV1Config::default()
        })),
        _ => {
            let policies = [Policy::Fcfs, Policy::Spf, Policy::Srtf, Policy::Aging];
            let config = OptSarathiConfig {
                chunk_size: budget,
                min_chunk_threshold: (0.29 * f64::from(budget)) as u32,
                max_num_seqs: cap,
                watermark_blocks_fraction: part,
                policy: policies[usize::from(kind - 5)],
                ..OptSarathiConfig::default()
            };
            Box::new(OptSarathi::new(config).expect("a good configuration"))
        }
    }
}

impl ReplicaScheduler for Box<dyn ReplicaScheduler> {
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>) {
        (**self).enqueue(id, context);
    }
    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        (**self).form(context, batch);
    }
    fn retire(&mut self, in_flight: &InFlightRequests) {
        (**self).retire(in_flight);
    }
    fn waiting(&self) -> usize {
        (**self).waiting()
    }
    fn running(&self) -> usize {
        (**self).running()
    }
    fn next_waiting(&self) -> Option<InFlightId> {
        (**self).next_waiting()
    }
    fn most_running(&self) -> usize {
        (**self).most_running()
    }
    fn give_up_waiting(&mut self, kv: &Kv) -> Vec<InFlightId> {
        (**self).give_up_waiting(kv)
    }
}

proptest! {
    #[test]
    fn budgets_hold_blocks_come_back_and_all_finish(
        kind in 0u8..9,
        budget in 4u32..40,
        cap in 1u32..6,
        spare in 0u32..8,
        requests in prop::collection::vec((1u32..40, 1u32..12), 1..12),
    ) {
        let largest = requests.iter().map(|(p, o)| (p + o).div_ceil(4)).max().unwrap_or(1);
        let total = largest + spare;
        let mut bench = Bench::new(build(kind, budget, cap), total, &requests);
        let length: u32 = requests.iter().map(|(p, o)| p + o).sum();
        let mut done = 0;
        let mut steps = 0;
        while done < requests.len() {
            let batch = bench.form();
            prop_assert!(!batch.is_empty(), "stuck with {} done", done);
            prop_assert!(batch.len() <= cap as usize);
            let (decodes, prompts): (Vec<_>, Vec<_>) =
                batch.iter().partition(|(id, _)| bench.in_flight[*id].decodes());
            let tokens: u32 = prompts.iter().map(|(_, tokens)| tokens).sum();
            match kind {
                2 => {
                    let longest = prompts.iter().map(|(_, tokens)| *tokens).max().unwrap_or(0);
                    let padded = longest * prompts.len() as u32;
                    prop_assert!(padded <= budget || prompts.len() == 1);
                    prop_assert!(decodes.is_empty() || prompts.is_empty());
                }
                _ => prop_assert!(tokens == 0 || tokens + decodes.len() as u32 <= budget),
            }
            let held: u32 = (0..requests.len() as InFlightId).map(|id| bench.kv.held(id)).sum();
            prop_assert_eq!(held + bench.kv.free(), total);
            for (id, tokens) in &batch {
                let held = bench.kv.held(*id);
                // With asynchronous scheduling, the batch after this one may have preempted the request already.
                let preempted = kind == 4 && held == 0;
                prop_assert!(preempted || held * 4 >= bench.in_flight[*id].computed + tokens);
            }
            done += bench.compute();
            steps += 1;
            prop_assert!(steps < 60 * length, "no progress");
        }
        prop_assert_eq!(bench.kv.free(), total);
        prop_assert_eq!(bench.backlog, 0);
        prop_assert_eq!(bench.scheduler.waiting() + bench.scheduler.running(), 0);
        for (id, (prompt, output)) in requests.iter().enumerate() {
            let request_state = &bench.in_flight[id as InFlightId];
            prop_assert_eq!(request_state.prompt + request_state.output, prompt + output);
        }
    }

    /// All schedulers with their defaults, so that a newly registered scheduler is included.
    #[test]
    fn every_registered_scheduler_finishes_all_and_gives_all_blocks_back(
        requests in prop::collection::vec((1u32..40, 1u32..12), 1..12),
        spare in 0u32..8,
    ) {
        let largest = requests.iter().map(|(p, o)| (p + o).div_ceil(4)).max().unwrap_or(1);
        for card in SCHEDULERS.iter() {
            let config: SchedulerConfig =
                toml::from_str(&format!("kind = \"{}\"", card.name())).expect("has defaults");
            let scheduler = config.build().expect("defaults are right");
            let mut bench = Bench::new(scheduler, largest + spare, &requests);
            let mut done = 0;
            for _ in 0..10_000 {
                prop_assert!(!bench.form().is_empty(), "{} is stuck", card.name());
                done += bench.compute();
                if done == requests.len() {
                    break;
                }
            }
            prop_assert_eq!(done, requests.len(), "{}", card.name());
            prop_assert_eq!((bench.kv.free(), bench.backlog), (largest + spare, 0), "{}", card.name());
            prop_assert_eq!(bench.scheduler.waiting() + bench.scheduler.running(), 0);
        }
    }
}
