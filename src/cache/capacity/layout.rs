//! vLLM's layout of a model's KV cache: layers in groups, blocks of a group, on the GPU with the most layers.
//!
//! Layers of one kind form a group. A model with several kinds is divided into groups with the same number of layers, that
//! of the rarest kind, so that blocks of all groups have the same size and come from one pool; incomplete groups are padded
//! (`_get_kv_cache_groups_uniform_page_size`). A group with full attention holds a block for every 16 tokens, a group with
//! a window only those within the window.

use super::layers::Window;
use crate::base::error::{Error, Result};

/// Data type of cached keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvDtype {
    /// That of the model's computation.
    #[default]
    Auto,
    /// One type for all values, with this number of bytes.
    Plain(u64),
    /// One byte per value, and a scale of four bytes for each token and head, for keys and for values.
    PerTokenHead,
}

impl KvDtype {
    const NAMES: [&str; 15] = [
        "auto",
        "bf16",
        "bfloat16",
        "fp16",
        "float16",
        "half",
        "fp32",
        "float32",
        "fp8",
        "fp8_e4m3",
        "fp8_e5m2",
        "fp8_inc",
        "int8",
        "int8_per_token_head",
        "fp8_per_token_head",
    ];

    /// The type with vLLM's name, or a short one.
    ///
    /// # Errors
    /// An unknown name.
    pub fn by_name(name: &str) -> Result<Self> {
        Ok(match name {
            "auto" => Self::Auto,
            "bf16" | "bfloat16" | "fp16" | "float16" | "half" => Self::Plain(2),
            "fp32" | "float32" => Self::Plain(4),
            "fp8" | "fp8_e4m3" | "fp8_e5m2" | "fp8_inc" => Self::Plain(1),
            "int8" | "int8_per_token_head" | "fp8_per_token_head" => Self::PerTokenHead,
            _ => return Err(Error::unknown_name("KV cache dtype", name, &Self::NAMES)),
        })
    }
}

/// Storage and parallelism of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Data type of cached keys and values.
    pub dtype: KvDtype,
    /// Tensor parallelism: GPUs that share each layer.
    pub tensor_parallel: u64,
    /// Pipeline parallelism: stages that share the layers.
    pub pipeline_parallel: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            dtype: KvDtype::Auto,
            tensor_parallel: 1,
            pipeline_parallel: 1,
        }
    }
}

/// Cached values of a layer per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Keys and values of this number of heads.
    Heads { heads: u64, dim: u64 },
    /// One vector for all heads (multi-head latent attention), replicated on every GPU of a layer.
    Latent { dim: u64 },
}

impl Width {
    /// Bytes per token and layer on one GPU.
    fn bytes(self, plain: u64, storage: Storage) -> Result<u64> {
        let gpus = storage.tensor_parallel;
        let (heads, values) = match self {
            Self::Latent { dim } => (1, dim),
            Self::Heads { heads, dim } => {
                let divisible = heads % gpus == 0 || gpus.is_multiple_of(heads);
                if !divisible {
                    return Err(Error::usage(
                        format!("{heads} KV heads cannot be split over {gpus} GPUs"),
                        "set `tensor_parallel` to a divisor or a multiple of the number of heads",
                    ));
                }
                // More GPUs than heads: each GPU holds one, and some heads are replicated.
                let heads = (heads / gpus).max(1);
                (2 * heads, 2 * heads * dim)
            }
        };
        Ok(match storage.dtype {
            KvDtype::Auto => values * plain,
            KvDtype::Plain(bytes) => values * bytes,
            KvDtype::PerTokenHead => values + 4 * heads,
        })
    }
}

/// Layout of the cache on one GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes per token and layer.
    pub layer_bytes: u64,
    /// Layers that share the blocks of a group; the same for all groups, padding included.
    pub group_layers: u64,
    /// Window of each group; `None` for full attention.
    pub groups: Vec<Option<u64>>,
    /// Layers on this GPU, without padding.
    pub layers: u64,
}

impl Layout {
    /// The layout of a model with these layers.
    pub(super) fn new(
        windows: &[Window],
        width: Width,
        plain: u64,
        storage: Storage,
    ) -> Result<Self> {
        let layer_bytes = width.bytes(plain, storage)?;
        let (groups, group_of) = group(windows);
        let mut fullest = (0, 0);
        for stage in stages(windows.len(), storage.pipeline_parallel)? {
            let mut sizes = vec![0u64; groups.len()];
            let layers = stage.len() as u64;
            for group in &group_of[stage] {
                sizes[*group] += 1;
            }
            let largest = sizes.into_iter().max().unwrap_or(0);
            fullest = fullest.max((largest, layers));
        }
        Ok(Self {
            layer_bytes,
            group_layers: fullest.0,
            groups,
            layers: fullest.1,
        })
    }

    /// Bytes of a block of the pool.
    pub fn block_bytes(&self, block_size: u32) -> u64 {
        (self.layer_bytes * self.group_layers).saturating_mul(u64::from(block_size))
    }

    /// Bytes of one token in all layers, padding included.
    pub fn bytes_per_token(&self) -> u64 {
        self.layer_bytes * self.group_layers * self.groups.len() as u64
    }

    /// Bytes of one token in the groups with a window, or in those without.
    pub fn bytes_per_token_of(&self, windowed: bool) -> u64 {
        let groups = self
            .groups
            .iter()
            .filter(|window| window.is_some() == windowed);
        self.layer_bytes * self.group_layers * groups.count() as u64
    }

    /// Largest number of blocks that a sequence of `length` tokens needs, if prompts are computed in chunks of `batched`
    /// tokens (`max_memory_usage_bytes` of vLLM's cache specs).
    pub fn blocks_per_sequence(&self, length: u64, block_size: u32, batched: u64) -> u64 {
        let size = u64::from(block_size);
        let of = |window: &Option<u64>| match window {
            None => length.div_ceil(size),
            // One more, because a window may begin within a block.
            Some(window) => {
                (window - 1)
                    .saturating_add(batched)
                    .min(length)
                    .div_ceil(size)
                    + 1
            }
        };
        self.groups.iter().map(of).sum()
    }
}

/// The window of each group, and the group of each layer.
fn group(windows: &[Window]) -> (Vec<Window>, Vec<usize>) {
    let mut kinds: Vec<(Window, Vec<usize>)> = Vec::new();
    for (layer, window) in windows.iter().enumerate() {
        match kinds.iter_mut().find(|(kind, _)| kind == window) {
            Some((_, layers)) => layers.push(layer),
            None => kinds.push((*window, vec![layer])),
        }
    }
    let sizes = || kinds.iter().map(|(_, layers)| layers.len());
    let (rarest, commonest) = (sizes().min().unwrap_or(1), sizes().max().unwrap_or(1));
    // Kinds with nearly the same number of layers are padded to one size instead of being divided into small groups.
    let size = if 2 * commonest < 3 * rarest {
        commonest
    } else {
        rarest
    };
    let mut groups = Vec::new();
    let mut group_of = vec![0; windows.len()];
    for (window, layers) in &kinds {
        let count = layers.len().div_ceil(size);
        for (index, layer) in layers.iter().enumerate() {
            group_of[*layer] = groups.len() + index % count;
        }
        groups.extend(std::iter::repeat_n(*window, count));
    }
    (groups, group_of)
}

/// The layers of each pipeline stage: equal numbers; remaining layers go to one stage each, from the last but one
/// backwards.
fn stages(layers: usize, count: u64) -> Result<Vec<std::ops::Range<usize>>> {
    let count = count as usize;
    if count > layers {
        return Err(Error::usage(
            format!("{layers} layers cannot be split into {count} stages"),
            "give a smaller `pipeline_parallel`",
        ));
    }
    let rest = layers % count;
    let mut start = 0;
    let stages = (0..count).map(|stage| {
        let more = stage + 1 < count && stage + 1 + rest >= count;
        let end = start + layers / count + usize::from(more);
        std::mem::replace(&mut start, end)..end
    });
    Ok(stages.collect())
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::layout::*;

    fn layout(windows: &[Window], storage: Storage) -> Layout {
        let width = Width::Heads { heads: 8, dim: 64 };
        Layout::new(windows, width, 2, storage).expect("fits")
    }

    #[test]
    fn kinds_are_cut_into_groups_of_the_rarest() {
        // Two full layers and five with a window: groups (full, full), (s, s), (s, s), (s, padding).
        let windows = [Some(8), None, Some(8), Some(8), None, Some(8), Some(8)];
        let layout = layout(&windows, Storage::default());
        assert_eq!(layout.group_layers, 2);
        assert_eq!(layout.groups, [Some(8), Some(8), Some(8), None]);
        // 2 x 8 heads x 64 x 2 bytes = 2,048 a layer; 8 layers with padding.
        assert_eq!(layout.bytes_per_token(), 16_384);
        assert_eq!(layout.bytes_per_token_of(true), 12_288);
        assert_eq!(layout.block_bytes(16), 65_536);
        // 100 tokens: 7 blocks of 16 in full; of the windows min(8 - 1 + 32, 100) = 39 tokens in 3, and one more.
        assert_eq!(layout.blocks_per_sequence(100, 16, 32), 7 + 3 * 4);
    }

    #[test]
    fn nearly_equal_kinds_are_padded() {
        // 5 is less than 1.5 times 4: groups of 5 and 4.
        let windows = [
            None,
            Some(8),
            None,
            Some(8),
            None,
            Some(8),
            None,
            Some(8),
            None,
        ];
        let layout = layout(&windows, Storage::default());
        assert_eq!((layout.group_layers, layout.groups.len()), (5, 2));
    }

    #[test]
    fn stages_take_what_is_left_over_from_the_end() {
        let sizes = |layers, count| -> Vec<usize> {
            let stages = stages(layers, count).expect("enough layers");
            stages.iter().map(ExactSizeIterator::len).collect()
        };
        assert_eq!(sizes(80, 3), [27, 27, 26]);
        assert_eq!(sizes(61, 4), [15, 15, 16, 15]);
        assert_eq!(sizes(8, 1), [8]);
        assert!(stages(2, 3).is_err());
        let storage = Storage {
            pipeline_parallel: 3,
            ..Storage::default()
        };
        let layout = layout(&[None; 80], storage);
        assert_eq!((layout.group_layers, layout.layers), (27, 27));
    }

    #[test]
    fn heads_are_split_and_then_repeated() {
        let bytes = |tensor_parallel, dtype| {
            let storage = Storage {
                tensor_parallel,
                dtype,
                pipeline_parallel: 1,
            };
            Width::Heads { heads: 8, dim: 64 }.bytes(2, storage).ok()
        };
        assert_eq!(bytes(1, KvDtype::Auto), Some(2048));
        assert_eq!(bytes(4, KvDtype::Auto), Some(512));
        assert_eq!(bytes(8, KvDtype::Auto), Some(256));
        assert_eq!(bytes(16, KvDtype::Auto), Some(256));
        assert_eq!(bytes(3, KvDtype::Auto), None);
        assert_eq!(bytes(1, KvDtype::Plain(1)), Some(1024));
        // 2 x 8 heads x (64 + 4 bytes of scale).
        assert_eq!(bytes(1, KvDtype::PerTokenHead), Some(1088));
        let latent = Width::Latent { dim: 576 };
        let storage = Storage {
            tensor_parallel: 8,
            ..Storage::default()
        };
        assert_eq!(latent.bytes(2, storage).ok(), Some(1152));
    }
}
