//! Durations from first principles: the arithmetic and memory traffic of a step against the GPU's peak rates.
//!
//! Each part of a step takes the longer of its arithmetic and its memory traffic (Williams, Waterman and Patterson, "Roofline",
//! 2009), at a configured fraction of the GPU's peak, and the parts run one after the other:
//!
//! - *Projections, feed-forward layers, experts, output head*: two operations per weight and token; weights are read once. The
//!   number of experts read is the expected one, if each token chose at random: `E (1 - (1 - k/E)^T)`.
//! - *Attention*: four operations per head, value and pair of tokens (two products), causal within a chunk and cut off by the
//!   layer's window; keys and values of the context are read once per request. Latent attention (MLA) decodes on the compressed
//!   vectors and prefills on what they unfold to (arXiv 2405.04434).
//! - *Norms, activations, rotations*: memory traffic of the values between layers.
//! - *Tensor parallelism*: two ring all-reduces a layer, `2 (n-1)/n` of the values over a link, and a latency each.
//! - *Overhead*: a time per step, for the host.
//!
//! The efficiencies are defaults, not measurements of your machine. With them, kernels of Llama 3.1 8B on an RTX PRO 6000
//! are within 20 % of measured times (`tests/reference/latency_tables.rs`); a profile or a table of measured steps is
//! better.

use serde::{Deserialize, Serialize};

use super::gpu::Gpu;
use super::{LatencyContext, LatencyFactory, LatencyModel, LatencyParameters, Step};
use crate::base::error::{Error, Result};
use crate::base::registry::Card;
use crate::cache::capacity::{Attention, KvDtype, ModelConfig, Shapes};

/// Fractions of the hardware's peaks that are reached, and overheads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RooflineConfig {
    /// Fraction of peak arithmetic in products with weights.
    pub compute_efficiency: f64,
    /// Fraction of peak arithmetic in attention.
    pub attention_efficiency: f64,
    /// Fraction of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Fraction of the bandwidth of the link between GPUs.
    pub link_efficiency: f64,
    /// Latency of an empty all-reduce in microseconds.
    pub all_reduce_us: f64,
    /// Host overhead of every step in milliseconds.
    pub step_overhead_ms: f64,
}

impl Default for RooflineConfig {
    fn default() -> Self {
        Self {
            compute_efficiency: 0.8,
            attention_efficiency: 0.5,
            memory_efficiency: 0.85,
            link_efficiency: 0.7,
            all_reduce_us: 8.0,
            step_overhead_ms: 1.0,
        }
    }
}

impl LatencyParameters for RooflineConfig {
    const CARD: Card = Card::new(
        "roofline",
        "from the model's sizes and the GPU's data sheet",
    );
    const NEEDS_MODEL: bool = true;

    fn prepare(&self, context: &LatencyContext<'_>) -> Result<LatencyFactory> {
        let model = context.model(Self::CARD.name)?;
        let gpu = Gpu::by_name(context.gpu)?;
        Ok(LatencyFactory::copies_of(Roofline::new(
            &gpu, model, *self,
        )?))
    }
}

/// Layers of one window.
#[derive(Debug, Clone, Copy)]
struct Kind {
    layers: f64,
    window: f64,
}

/// Durations from first principles. Rates and work are those of one GPU, where tensor parallelism divides them.
#[derive(Debug, Clone)]
pub struct Roofline {
    config: RooflineConfig,
    kinds: Vec<Kind>,
    /// Number of weights with which every token is multiplied, and their bytes.
    dense: (f64, f64),
    experts: Option<Experts>,
    /// Number of weights of the output head, and their bytes.
    head: (f64, f64),
    /// Operations per pair of tokens: in a prefill, in a decode.
    per_pair: (f64, f64),
    /// Operations to decompress a context token in a prefill (MLA).
    per_past: f64,
    /// Bytes of keys and values of a token in one layer.
    kv_bytes: f64,
    /// Bytes of values between layers that a token moves, in all layers.
    moved: f64,
    /// Seconds of all-reduces per step, and per token.
    reduce: (f64, f64),
    /// Operations per second: products of dense weights, of experts, attention, and the head.
    rates: Rates,
    /// Bytes per second of memory.
    memory: f64,
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    dense: f64,
    experts: f64,
    attention: f64,
    head: f64,
}

#[derive(Debug, Clone, Copy)]
struct Experts {
    layers: f64,
    count: f64,
    active: f64,
    /// Number of weights of one expert, and their bytes.
    one: (f64, f64),
}

impl Roofline {
    /// Creates the model for a language model on one kind of GPU; the language model says how many GPUs share its layers.
    ///
    /// # Errors
    /// A language model of unknown sizes or with pipeline stages, an efficiency outside (0, 1], a negative overhead.
    pub fn new(gpu: &Gpu, model: &ModelConfig, config: RooflineConfig) -> Result<Self> {
        check(&config)?;
        let Some(shapes) = model.shapes() else {
            return Err(Error::usage(
                format!(
                    "{} does not contain the sizes of its layers, or its kind of quantization is unknown",
                    model.name()
                ),
                "give the complete config.json",
            ));
        };
        let storage = model.storage();
        if storage.pipeline_parallel != 1 {
            return Err(Error::usage(
                "the roofline model does not support pipeline stages",
                "set pipeline_parallel to 1",
            ));
        }
        let share = 1.0 / storage.tensor_parallel as f64;
        let kv_value = match storage.dtype {
            KvDtype::Auto => shapes.value_bytes,
            KvDtype::Plain(bytes) => bytes as f64,
            KvDtype::PerTokenHead => 1.0,
        };
        let of = |weights: f64, bytes: f64| (weights * share, weights * share * bytes);
        let (dense_bytes, expert_bytes) = shapes.weight_bytes;
        let rate = |bytes: f64| {
            let tflops = if bytes <= 1.0 {
                gpu.tflops_8
            } else {
                gpu.tflops_16 * (2.0 / bytes).min(1.0)
            };
            tflops * 1e12 * config.compute_efficiency
        };
        let attention = Attended::new(&shapes, kv_value, storage.tensor_parallel);
        // Four-bit experts are unpacked and multiplied in 16 bits.
        let expert_rate = if expert_bytes < 1.0 {
            2.0
        } else {
            expert_bytes
        };
        Ok(Self {
            config,
            kinds: kinds(&shapes.windows),
            dense: of(dense(&shapes), dense_bytes),
            experts: shapes.experts.map(|experts| Experts {
                layers: experts.layers as f64,
                count: experts.count as f64,
                active: experts.active as f64,
                one: of((3 * shapes.hidden * experts.width) as f64, expert_bytes),
            }),
            head: of(
                (shapes.hidden * shapes.vocabulary) as f64,
                shapes.value_bytes,
            ),
            per_pair: (
                attention.prefill_pair * share,
                attention.decode_pair * share,
            ),
            per_past: attention.per_past * share,
            kv_bytes: attention.kv_bytes,
            moved: moved(&shapes, share),
            reduce: reduce(&shapes, storage.tensor_parallel as f64, gpu, &config),
            rates: Rates {
                dense: rate(dense_bytes),
                experts: rate(expert_rate),
                attention: gpu.tflops_16 * 1e12 * config.attention_efficiency,
                head: rate(shapes.value_bytes),
            },
            memory: gpu.memory_gbps * 1e9 * config.memory_efficiency,
        })
    }

    /// Seconds of an amount of arithmetic and of memory traffic that overlap.
    fn longer(&self, operations: f64, rate: f64, bytes: f64) -> f64 {
        (operations / rate).max(bytes / self.memory)
    }

    /// Seconds of attention in one layer of a window.
    fn attention(&self, step: &Step, window: f64) -> f64 {
        let prefills: f64 = step
            .prefills
            .iter()
            .map(|chunk| {
                let (tokens, past) = (f64::from(chunk.tokens), f64::from(chunk.past));
                let seen = past.min(window);
                let operations =
                    pairs(tokens, past, window) * self.per_pair.0 + seen * self.per_past;
                self.longer(
                    operations,
                    self.rates.attention,
                    (seen + tokens) * self.kv_bytes,
                )
            })
            .sum();
        let decodes = f64::from(step.decodes);
        // The token that is computed attends to itself, too.
        let seen = decodes * (step.mean_decode_context() + 1.0).min(window);
        prefills
            + self.longer(
                seen * self.per_pair.1,
                self.rates.attention,
                seen * self.kv_bytes,
            )
    }
}

impl LatencyModel for Roofline {
    fn seconds(&mut self, step: &Step) -> f64 {
        let tokens = step.tokens() as f64;
        if tokens == 0.0 {
            return 0.0;
        }
        let mut time = self.config.step_overhead_ms / 1e3;
        time += self.longer(2.0 * tokens * self.dense.0, self.rates.dense, self.dense.1);
        if let Some(experts) = self.experts {
            let missed = (1.0 - experts.active / experts.count).powf(tokens);
            let touched = experts.count * (1.0 - missed);
            let operations = 2.0 * tokens * experts.active * experts.one.0;
            time += experts.layers
                * self.longer(operations, self.rates.experts, touched * experts.one.1);
        }
        let sequences = f64::from(step.requests());
        time += self.longer(2.0 * sequences * self.head.0, self.rates.head, self.head.1);
        for kind in &self.kinds {
            time += kind.layers * self.attention(step, kind.window);
        }
        time += tokens * self.moved / self.memory;
        time + self.reduce.0 + tokens * self.reduce.1
    }
}

fn check(config: &RooflineConfig) -> Result<()> {
    let parts = [
        ("compute_efficiency", config.compute_efficiency),
        ("attention_efficiency", config.attention_efficiency),
        ("memory_efficiency", config.memory_efficiency),
        ("link_efficiency", config.link_efficiency),
    ];
    if let Some((name, value)) = parts
        .iter()
        .find(|(_, part)| !(*part > 0.0 && *part <= 1.0))
    {
        return Err(Error::usage(
            format!("{name} = {value}"),
            "give a fraction above 0 and at most 1",
        ));
    }
    let times = [
        ("all_reduce_us", config.all_reduce_us),
        ("step_overhead_ms", config.step_overhead_ms),
    ];
    match times
        .iter()
        .find(|(_, time)| !(*time >= 0.0 && time.is_finite()))
    {
        Some((name, value)) => Err(Error::usage(format!("{name} = {value}"), "give 0 or more")),
        None => Ok(()),
    }
}

/// Pairs of tokens in a chunk's attention: its token `i` attends to `past + i` tokens, itself included, or to a window.
fn pairs(tokens: f64, past: f64, window: f64) -> f64 {
    // Number of its tokens that do not fill the window yet.
    let growing = (window - past).clamp(0.0, tokens);
    let rest = if growing < tokens {
        (tokens - growing) * window
    } else {
        0.0
    };
    growing * past + growing * (growing + 1.0) / 2.0 + rest
}

/// Number of layers by window, in order of first appearance.
fn kinds(windows: &[Option<u64>]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for window in windows {
        let window = window.map_or(f64::INFINITY, |window| window as f64);
        match kinds.iter_mut().find(|kind| kind.window == window) {
            Some(kind) => kind.layers += 1.0,
            None => kinds.push(Kind {
                layers: 1.0,
                window,
            }),
        }
    }
    kinds
}

/// Arithmetic and memory traffic of attention in one layer.
struct Attended {
    prefill_pair: f64,
    decode_pair: f64,
    per_past: f64,
    kv_bytes: f64,
}

impl Attended {
    fn new(shapes: &Shapes, kv_value: f64, gpus: u64) -> Self {
        let heads = shapes.heads as f64;
        match shapes.attention {
            Attention::Grouped { kv_heads, dim } => {
                let pair = 4.0 * heads * dim as f64;
                // More GPUs than KV heads: each GPU holds one head.
                let held = (kv_heads as f64 / gpus as f64).max(1.0);
                Self {
                    prefill_pair: pair,
                    decode_pair: pair,
                    per_past: 0.0,
                    kv_bytes: 2.0 * held * dim as f64 * kv_value,
                }
            }
            Attention::Latent {
                rank,
                rope,
                nope,
                value,
                ..
            } => Self {
                prefill_pair: 2.0 * heads * (nope + rope + value) as f64,
                decode_pair: 2.0 * heads * (2 * rank + rope) as f64,
                per_past: 2.0 * heads * (rank * (nope + value)) as f64,
                // Every GPU holds the whole compressed vector.
                kv_bytes: (rank + rope) as f64 * kv_value,
            },
        }
    }
}

/// Number of weights that every token is multiplied with, outside embeddings and output head.
fn dense(shapes: &Shapes) -> f64 {
    let (hidden, heads) = (shapes.hidden, shapes.heads);
    let attention = match shapes.attention {
        Attention::Grouped { kv_heads, dim } => 2 * hidden * dim * (heads + kv_heads),
        Attention::Latent {
            rank,
            rope,
            nope,
            value,
            query,
        } => {
            let queries = query.map_or(hidden * heads * (nope + rope), |low| {
                low * (hidden + heads * (nope + rope))
            });
            queries
                + hidden * (rank + rope)
                + rank * heads * (nope + value)
                + heads * value * hidden
        }
    };
    let (sparse, each) = shapes.experts.map_or((0, 0), |experts| {
        (
            experts.layers,
            3 * hidden * experts.shared + hidden * experts.count,
        )
    });
    let feed_forward = (shapes.layers - sparse) * 3 * hidden * shapes.feed_forward;
    (shapes.layers * attention + feed_forward + sparse * each) as f64
}

/// Bytes of values that a token moves between kernels in all layers: two norms with their residuals, read and written; queries
/// and keys rotated; the gate and its product.
fn moved(shapes: &Shapes, share: f64) -> f64 {
    let hidden = shapes.hidden as f64;
    let rotated = match shapes.attention {
        Attention::Grouped { kv_heads, dim } => ((shapes.heads + kv_heads) * dim) as f64,
        Attention::Latent { rope, .. } => ((shapes.heads + 1) * rope) as f64,
    };
    let sparse = shapes.experts.map_or(0.0, |experts| experts.layers as f64);
    let layers = shapes.layers as f64;
    let inner = (layers - sparse) * shapes.feed_forward as f64
        + shapes.experts.map_or(0.0, |experts| {
            sparse * (experts.active * experts.width + experts.shared) as f64
        });
    let values = layers * (8.0 * hidden + 2.0 * rotated * share) + 3.0 * inner * share;
    values * shapes.value_bytes
}

/// Seconds of all-reduces in all layers: per step, and per token.
fn reduce(shapes: &Shapes, gpus: f64, gpu: &Gpu, config: &RooflineConfig) -> (f64, f64) {
    if gpus <= 1.0 {
        return (0.0, 0.0);
    }
    let times = 2.0 * shapes.layers as f64;
    let bytes = shapes.hidden as f64 * shapes.value_bytes * 2.0 * (gpus - 1.0) / gpus;
    (
        times * config.all_reduce_us / 1e6,
        times * bytes / (gpu.link_gbps * 1e9 * config.link_efficiency),
    )
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::Storage;
    use crate::sim::latency::roofline::*;
    use crate::sim::latency::{Chunk, GPUS};
    use proptest::prelude::*;

    fn step(prefills: &[(u32, u32)], decodes: u32, context: u64) -> Step {
        let chunk = |(tokens, past): &(u32, u32)| Chunk {
            tokens: *tokens,
            past: *past,
        };
        Step {
            prefills: prefills.iter().map(chunk).collect(),
            decodes,
            decode_context: context * u64::from(decodes),
            sampled: decodes,
        }
    }

    fn ideal() -> RooflineConfig {
        RooflineConfig {
            compute_efficiency: 1.0,
            attention_efficiency: 1.0,
            memory_efficiency: 1.0,
            link_efficiency: 1.0,
            all_reduce_us: 0.0,
            step_overhead_ms: 0.0,
        }
    }

    fn model(name: &str, gpus: u64) -> ModelConfig {
        let storage = Storage {
            tensor_parallel: gpus,
            ..Storage::default()
        };
        ModelConfig::builtin(name)
            .and_then(|model| model.stored(storage))
            .expect("built in")
    }

    #[test]
    fn one_decode_reads_all_weights() {
        // At 1 TFLOP/s and 1 GB/s, memory is the limit everywhere except for the 2 x 7.5 GFLOP of one token, 15 ms.
        let gpu = Gpu {
            tflops_16: 1.0,
            tflops_8: 1.0,
            memory_gbps: 1.0,
            link_gbps: 1.0,
        };
        let mut roofline = Roofline::new(&gpu, &model("llama-3-8b", 1), ideal()).expect("builds");
        let time = roofline.seconds(&step(&[], 1, 999));
        // Weights 6,979,321,856 x 2, head 4096 x 128256 x 2, 1000 tokens of 131,072 bytes, and the values between layers:
        // 32 x (8 x 4096 + 2 x 40 x 128 + 3 x 14336) x 2.
        let bytes = 13_958_643_712.0 + 1_050_673_152.0 + 131_072_000.0 + 5_505_024.0;
        assert!((time - bytes / 1e9).abs() < 1e-9, "{time}");
    }

    #[test]
    fn a_prefill_computes() {
        // With unlimited memory bandwidth: 2048 tokens x 13.96 GFLOP; head once; pairs 2048 x 2049 / 2 x 4 x 32 x 128 in 32
        // layers.
        let gpu = Gpu {
            tflops_16: 1.0,
            tflops_8: 1.0,
            memory_gbps: 1e12,
            link_gbps: 1.0,
        };
        let mut roofline = Roofline::new(&gpu, &model("llama-3-8b", 1), ideal()).expect("builds");
        let time = roofline.seconds(&step(&[(2048, 0)], 0, 0));
        let operations =
            2048.0 * 13_958_643_712.0 + 1_050_673_152.0 + 2048.0 * 2049.0 / 2.0 * 16_384.0 * 32.0;
        assert!((time - operations / 1e12).abs() < 1e-6, "{time}");
        // In chunks it computes the same, except for the head.
        let pieces = roofline.seconds(&step(&[(1024, 0)], 0, 0))
            + roofline.seconds(&step(&[(1024, 1024)], 0, 0));
        assert!(
            (pieces - time - 1_050_673_152.0 / 1e12).abs() < 1e-6,
            "{pieces} {time}"
        );
    }

    #[test]
    fn windows_and_pairs() {
        // Tokens 3, 4 and 5 see 3, 4 and 5; with a window of 4, 3, 4 and 4; of 2, two each.
        assert_eq!(pairs(3.0, 2.0, f64::INFINITY), 12.0);
        assert_eq!(pairs(3.0, 2.0, 4.0), 11.0);
        assert_eq!(pairs(3.0, 2.0, 2.0), 6.0);
        let windows = [None, Some(8), None, Some(8), Some(8)];
        let kinds: Vec<_> = kinds(&windows)
            .iter()
            .map(|kind| (kind.layers, kind.window))
            .collect();
        assert_eq!(kinds, [(2.0, f64::INFINITY), (3.0, 8.0)]);
    }

    #[test]
    fn tensor_parallelism_divides_and_talks() {
        let gpu = Gpu::by_name("h100-80gb").expect("known");
        let mut one = Roofline::new(&gpu, &model("llama-3-70b", 1), ideal()).expect("builds");
        let mut eight = Roofline::new(&gpu, &model("llama-3-70b", 8), ideal()).expect("builds");
        let (alone, shared) = (step(&[], 1, 1000), step(&[(4096, 0)], 0, 0));
        let gain = one.seconds(&alone) / eight.seconds(&alone);
        assert!(gain > 7.5 && gain < 8.0, "{gain}");
        // 160 all-reduces of 8192 x 2 x 1.75 bytes a token over 450 GB/s: 10.2 us a token.
        assert!((eight.reduce.1 - 160.0 * 28_672.0 / 450e9).abs() < 1e-12);
        let gain = one.seconds(&shared) / eight.seconds(&shared);
        assert!(gain > 4.0 && gain < 6.0, "{gain}");
    }

    #[test]
    fn experts_are_read_as_they_are_touched() {
        let gpu = Gpu::by_name("h100-80gb").expect("known");
        let mut mixtral = Roofline::new(&gpu, &model("mixtral-8x7b", 1), ideal()).expect("builds");
        let one = mixtral.seconds(&step(&[], 1, 0));
        let many = mixtral.seconds(&step(&[], 32, 0));
        // One token reads two experts of eight, 32 tokens read all: 6 x 32 x 176 M weights more, of 2 bytes.
        let more = 6.0 * 32.0 * 176_160_768.0 * 2.0 / 3.35e12;
        assert!(
            (many - one - more).abs() < 0.02 * more,
            "{one} {many} {more}"
        );
        assert!(Gpu::by_name("h1000").is_err());
        let config = RooflineConfig {
            memory_efficiency: 1.5,
            ..ideal()
        };
        assert!(Roofline::new(&gpu, &model("llama-3-8b", 1), config).is_err());
    }

    proptest! {
        /// For every model on every GPU: finite, not negative, and never less for more tokens or context.
        #[test]
        fn more_work_takes_longer(
            name in prop::sample::select(vec!["llama-3-8b", "deepseek-v3", "gemma-3-27b", "gpt-oss-120b", "qwen3-30b-a3b"]),
            gpu in 0usize..GPUS.len(),
            gpus in prop::sample::select(vec![1u64, 4, 8]),
            prefills in prop::collection::vec((1u32..5000, 0u32..50_000), 0..4),
            decodes in 0u32..300,
            context in 0u64..100_000,
        ) {
            let storage = Storage { tensor_parallel: gpus, ..Storage::default() };
            let Ok(model) = ModelConfig::builtin(name).and_then(|model| model.stored(storage)) else { return Ok(()); };
            let mut roofline = Roofline::new(&GPUS[gpu].1, &model, RooflineConfig::default()).expect("builds");
            let mut time = |prefills: &[(u32, u32)], decodes, context| roofline.seconds(&step(prefills, decodes, context));
            let least = time(&prefills, decodes, context);
            prop_assert!(least.is_finite() && least >= 0.0);
            prop_assert!(time(&prefills, decodes + 1, context) > least);
            prop_assert!(time(&prefills, decodes, context + 100) >= least);
            let mut more = prefills.clone();
            more.push((1, 0));
            prop_assert!(time(&more, decodes, context) > least);
            for (tokens, past) in &mut more {
                *tokens += 1;
                *past += 1;
            }
            prop_assert!(time(&more, decodes, context) > least);
        }
    }
}
