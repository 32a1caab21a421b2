//! Dynamo's interpolation (`planner/core/throughput/interpolation.py`): cubic splines over the prompt length, and a grid of
//! 100 x 100 cells over KV usage and context, filled from scattered points.

use super::clough_tocher::{Mesh, Surface};
use super::cubic::Spline;
use super::{Best, PerformanceModel, Profile, clamp};
use crate::base::error::{Error, Result};

/// Cells along each axis.
const CELLS: usize = 100;

/// Dynamo's interpolation, exact to the last printed digit.
#[derive(Debug, Clone)]
pub struct DynamoGrid {
    ttft: Spline,
    throughput: Spline,
    isl: (f64, f64),
    max_kv_tokens: f64,
    max_context: f64,
    usage: (f64, f64),
    /// Rows by context, within a row by KV usage.
    itl: Vec<f64>,
    decode_throughput: Vec<f64>,
    clamped: u64,
}

impl DynamoGrid {
    /// Fills the grid.
    ///
    /// # Errors
    /// [`Error::Usage`] for fewer than 4 prefill points, or decode points that do not span an area.
    pub fn new(profile: &Profile) -> Result<Self> {
        let refuse = |problem: &str| {
            Err(Error::usage(
                format!("interpolation `dynamo`: {problem}"),
                "measure more points, or use interpolation `monotone`",
            ))
        };
        let points = &profile.prefill;
        if points.len() < 4 {
            return refuse("a cubic spline needs 4 prompt lengths or more");
        }
        let isl: Vec<f64> = points.iter().map(|p| p.isl).collect();
        let places: Vec<[f64; 2]> = profile
            .decode
            .iter()
            .map(|p| [p.kv_usage, p.context_length])
            .collect();
        let Ok(mesh) = Mesh::new(&places) else {
            return refuse("the decode points lie on one line");
        };
        let largest = |value: fn(&[f64; 2]) -> f64| places.iter().map(value).fold(0.0, f64::max);
        let max_context = largest(|p| p[1]);
        let itl: Vec<f64> = profile.decode.iter().map(|p| p.itl_ms).collect();
        let throughput: Vec<f64> = profile
            .decode
            .iter()
            .map(|p| p.throughput_per_gpu)
            .collect();
        Ok(Self {
            ttft: Spline::new(isl.clone(), points.iter().map(|p| p.ttft_ms).collect()),
            throughput: Spline::new(
                isl.clone(),
                points.iter().map(|p| p.throughput_per_gpu).collect(),
            ),
            isl: (isl[0], isl[isl.len() - 1]),
            max_kv_tokens: profile.max_kv_tokens,
            max_context,
            usage: (0.0, largest(|p| p[0])),
            itl: fill(&mesh, &itl, max_context),
            decode_throughput: fill(&mesh, &throughput, max_context),
            clamped: 0,
        })
    }

    /// Time between tokens in every cell, row by row of rising context.
    pub fn itl_cells(&self) -> &[f64] {
        &self.itl
    }

    /// Throughput in every cell.
    pub fn throughput_cells(&self) -> &[f64] {
        &self.decode_throughput
    }

    fn row(&mut self, context: f64) -> usize {
        let (context, outside) = clamp(context, (0.0, self.max_context));
        self.clamped += u64::from(outside);
        nearest_cell(context, self.max_context / (CELLS - 1) as f64)
    }

    fn prompt(&mut self, isl: f64) -> f64 {
        let (isl, outside) = clamp(isl, self.isl);
        self.clamped += u64::from(outside);
        isl
    }
}

/// Rounds half to even, as NumPy does.
fn nearest_cell(value: f64, step: f64) -> usize {
    ((value / step).round_ties_even().max(0.0) as usize).min(CELLS - 1)
}

/// Evenly spaced values, as `numpy.linspace` computes them.
fn places(end: f64) -> Vec<f64> {
    let step = end / (CELLS - 1) as f64;
    let mut out: Vec<f64> = (0..CELLS).map(|i| i as f64 * step).collect();
    out[CELLS - 1] = end;
    out
}

/// The surface at every cell; outside the convex hull of the points, the value of the nearest one.
fn fill(mesh: &Mesh, values: &[f64], max_context: f64) -> Vec<f64> {
    let surface = Surface::new(mesh, values);
    let mut out = Vec::with_capacity(CELLS * CELLS);
    for context in places(max_context) {
        for usage in places(1.0) {
            let at = [usage, context];
            out.push(match mesh.locate(at) {
                Some((triangle, weights)) => surface.at(triangle, weights),
                None => values[mesh.nearest(at)],
            });
        }
    }
    out
}

impl PerformanceModel for DynamoGrid {
    fn ttft_ms(&mut self, isl: f64) -> f64 {
        let isl = self.prompt(isl);
        self.ttft.at(isl)
    }

    fn prefill_throughput(&mut self, isl: f64) -> f64 {
        let isl = self.prompt(isl);
        self.throughput.at(isl)
    }

    fn itl_ms(&mut self, concurrency: f64, context: f64) -> f64 {
        let usage = concurrency * context / self.max_kv_tokens;
        let (_, outside) = clamp(usage, self.usage);
        self.clamped += u64::from(outside);
        let row = self.row(context);
        self.itl[row * CELLS + nearest_cell(usage, 1.0 / (CELLS - 1) as f64)]
    }

    fn best_decode(&mut self, itl_ms: f64, context: f64) -> Best {
        let row = self.row(context) * CELLS;
        // Not a binary search: the surface may not be monotone.
        let found = (0..CELLS).rev().find(|cell| self.itl[row + cell] <= itl_ms);
        let cell = found.unwrap_or(0);
        Best {
            throughput_per_gpu: self.decode_throughput[row + cell],
            itl_ms: self.itl[row + cell],
            kv_usage: cell as f64 / (CELLS - 1) as f64,
            met: found.is_some(),
        }
    }

    fn clamped(&self) -> u64 {
        self.clamped
    }
}
