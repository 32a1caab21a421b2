//! GPUs by name: peak rates of arithmetic, memory and links, from their makers' data sheets.
//!
//! Rates are for dense matrices, accumulated in 32 bits, without structured sparsity. Links are per GPU and direction: NVLink
//! or Infinity Fabric where the board has it, else PCIe.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};

/// Peak rates of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Arithmetic on 16-bit floats in TFLOP/s.
    pub tflops_16: f64,
    /// Arithmetic on 8-bit floats in TFLOP/s; as on 16-bit ones if the GPU has no such units.
    pub tflops_8: f64,
    /// Memory bandwidth in GB/s.
    pub memory_gbps: f64,
    /// Bandwidth of the link to other GPUs in GB/s, in one direction.
    pub link_gbps: f64,
}

const fn gpu(tflops_16: f64, tflops_8: f64, memory_gbps: f64, link_gbps: f64) -> Gpu {
    Gpu {
        tflops_16,
        tflops_8,
        memory_gbps,
        link_gbps,
    }
}

/// All GPUs, under the names of [`crate::cache::capacity::GPUS`].
pub const GPUS: [(&str, Gpu); 14] = [
    // NVIDIA L4 data sheet (2023): 242 and 485 with sparsity; PCIe 4.0 x16.
    ("l4-24gb", gpu(121.0, 242.0, 300.0, 32.0)),
    // NVIDIA A10 data sheet (2021); no 8-bit floats; PCIe 4.0 x16.
    ("a10-24gb", gpu(125.0, 125.0, 600.0, 32.0)),
    // NVIDIA L40S data sheet (2023); PCIe 4.0 x16.
    ("l40s-48gb", gpu(362.0, 733.0, 864.0, 32.0)),
    // NVIDIA V100 SXM2 data sheet (2018): float16; NVLink 2, six links.
    ("v100-32gb", gpu(125.0, 125.0, 900.0, 150.0)),
    // NVIDIA Ada architecture white paper, appendix A: RTX 4090; PCIe 4.0 x16.
    ("rtx4090-24gb", gpu(165.2, 330.3, 1008.0, 32.0)),
    // NVIDIA RTX PRO 6000 Blackwell Server Edition data sheet (2025): 4,000 AI TOPS are 4-bit with sparsity, an eighth of which
    // is 16-bit; PCIe 5.0 x16.
    ("rtxpro6000-96gb", gpu(500.0, 1000.0, 1597.0, 64.0)),
    // NVIDIA A100 data sheet (2021), SXM; NVLink 3; no 8-bit floats.
    ("a100-40gb", gpu(312.0, 312.0, 1555.0, 300.0)),
    ("a100-80gb", gpu(312.0, 312.0, 2039.0, 300.0)),
    // NVIDIA H100 and H200 data sheets (2023), SXM; NVLink 4.
    ("h100-80gb", gpu(989.5, 1979.0, 3350.0, 450.0)),
    ("h200-141gb", gpu(989.5, 1979.0, 4800.0, 450.0)),
    // H20, as published with its export variants (2023).
    ("h20-96gb", gpu(148.0, 296.0, 4000.0, 450.0)),
    // NVIDIA DGX B200 data sheet (2024), an eighth of the system; NVLink 5.
    ("b200-192gb", gpu(2250.0, 4500.0, 8000.0, 900.0)),
    // AMD Instinct MI300X data sheet (2023): seven links of 64 GB/s a direction.
    ("mi300x-192gb", gpu(1307.4, 2614.9, 5325.0, 448.0)),
    // AMD Instinct MI325X data sheet (2024).
    ("mi325x-256gb", gpu(1307.4, 2614.9, 6000.0, 448.0)),
];

impl Gpu {
    /// One of [`GPUS`].
    ///
    /// # Errors
    /// An unknown name.
    pub fn by_name(name: &str) -> Result<Self> {
        let known = GPUS.iter().find(|(known, _)| *known == name.to_lowercase());
        known
            .map(|(_, gpu)| *gpu)
            .ok_or_else(|| Error::unknown_name("GPU", name, &GPUS.map(|(name, _)| name)))
    }
}
