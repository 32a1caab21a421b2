//! Prices and power draw of GPUs.

use crate::base::error::Result;

/// A GPU type with its price and power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sku {
    /// Name in [`crate::cache::capacity::GPUS`].
    pub name: &'static str,
    /// Price in dollars per hour.
    pub hour_cost: Option<f64>,
    /// Power in watts while idle, in prefill and in decode.
    pub watts: Option<[f64; 3]>,
}

const fn sku(name: &'static str, hour_cost: Option<f64>, watts: Option<[f64; 3]>) -> Sku {
    Sku {
        name,
        hour_cost,
        watts,
    }
}

/// GPUs whose prices and powers have a published source: the Splitwise study (Patel et al., ISCA 2024: CoreWeave's prices of
/// 2023, and SplitwiseSim's `configs/hardware_repo/processors`). For other GPUs, a pool sets `gpu_hour_cost`.
pub const SKUS: [Sku; 3] = [
    sku("a100-80gb", Some(2.21), Some([63.0, 400.0, 250.0])),
    sku("h100-80gb", Some(4.76), Some([75.0, 700.0, 380.0])),
    sku("a100-40gb", None, Some([63.0, 400.0, 250.0])),
];

impl Sku {
    /// Returns the known data of a GPU; price and power are missing for some GPUs.
    ///
    /// # Errors
    /// An unknown name.
    pub fn by_name(name: &str) -> Result<(Option<f64>, Option<[f64; 3]>)> {
        crate::cache::capacity::gpu_memory(name)?;
        let known = SKUS.iter().find(|sku| sku.name == name);
        Ok(known.map_or((None, None), |sku| (sku.hour_cost, sku.watts)))
    }
}
