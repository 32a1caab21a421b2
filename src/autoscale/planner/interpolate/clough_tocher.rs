//! Cubic interpolation of scattered points: Clough and Tocher's element on a Delaunay triangulation, with gradients of
//! least curvature (Nielson, Math. Comp. 40, 1983; Renka and Cline, Rocky Mountain J. Math. 14, 1984). Equals SciPy's
//! `griddata(method="cubic")`: the same directions across edges, the same tolerance and the same number of sweeps, because
//! on points as unevenly scaled as tokens and fractions the gradients depend on when the iteration stops.

use spade::{DelaunayTriangulation, Point2, Triangulation};

/// Largest number of sweeps over all points, and the change below which they end.
const SWEEPS: usize = 400;
const TOLERANCE: f64 = 1e-6;

/// Points that cannot be triangulated: too few, all on one line, or duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Degenerate;

/// A triangulation, which several surfaces can share.
#[derive(Debug, Clone)]
pub(super) struct Mesh {
    points: Vec<[f64; 2]>,
    /// Corners, counter-clockwise.
    triangles: Vec<[usize; 3]>,
    /// Neighbouring triangle opposite to each corner.
    beside: Vec<[Option<usize>; 3]>,
    /// Neighbours of each point, ascending.
    near: Vec<Vec<usize>>,
}

impl Mesh {
    pub(super) fn new(points: &[[f64; 2]]) -> Result<Self, Degenerate> {
        let mut delaunay = DelaunayTriangulation::<Point2<f64>>::new();
        let mut number = Vec::with_capacity(points.len());
        for (i, [x, y]) in points.iter().enumerate() {
            let handle = delaunay
                .insert(Point2::new(*x, *y))
                .map_err(|_| Degenerate)?;
            if handle.index() != number.len() {
                return Err(Degenerate);
            }
            number.push(i);
        }
        let mut triangles: Vec<[usize; 3]> = delaunay
            .inner_faces()
            .map(|face| face.vertices().map(|vertex| number[vertex.fix().index()]))
            .collect();
        // Slivers along an edge that is straight but for rounding are no triangles (Qhull merges them).
        triangles.retain(|corners| !is_sliver(points, corners));
        if triangles.is_empty() {
            return Err(Degenerate);
        }
        triangles.sort_unstable();
        let mut near = vec![Vec::new(); points.len()];
        for corners in &triangles {
            for i in 0..3 {
                near[corners[i]].push(corners[(i + 1) % 3]);
                near[corners[i]].push(corners[(i + 2) % 3]);
            }
        }
        for list in &mut near {
            list.sort_unstable();
            list.dedup();
        }
        let opposite = |from: usize, to: usize| {
            triangles
                .iter()
                .position(|t| (0..3).any(|i| t[i] == to && t[(i + 1) % 3] == from))
        };
        let beside = triangles
            .iter()
            .map(|t| {
                [
                    opposite(t[1], t[2]),
                    opposite(t[2], t[0]),
                    opposite(t[0], t[1]),
                ]
            })
            .collect();
        Ok(Self {
            points: points.to_vec(),
            beside,
            near,
            triangles,
        })
    }

    fn edge(&self, from: usize, to: usize) -> [f64; 2] {
        let (a, b) = (self.points[from], self.points[to]);
        [b[0] - a[0], b[1] - a[1]]
    }

    /// Barycentric coordinates of a position.
    fn barycentric(&self, triangle: usize, at: [f64; 2]) -> [f64; 3] {
        let [a, b, c] = self.triangles[triangle];
        let third = self.points[c];
        let (u, v) = (self.edge(c, a), self.edge(c, b));
        let w = [at[0] - third[0], at[1] - third[1]];
        let area = cross(u, v);
        let first = cross(w, v) / area;
        let second = cross(u, w) / area;
        [first, second, 1.0 - first - second]
    }

    /// The triangle that contains a position, and its barycentric coordinates.
    pub(super) fn locate(&self, at: [f64; 2]) -> Option<(usize, [f64; 3])> {
        let room = 100.0 * f64::EPSILON;
        (0..self.triangles.len()).find_map(|triangle| {
            let weights = self.barycentric(triangle, at);
            weights
                .iter()
                .all(|w| *w >= -room && *w <= 1.0 + room)
                .then_some((triangle, weights))
        })
    }

    /// The point nearest to a position, the first of equals.
    pub(super) fn nearest(&self, at: [f64; 2]) -> usize {
        let mut best = (f64::INFINITY, 0);
        for (i, [x, y]) in self.points.iter().enumerate() {
            let (dx, dy) = (x - at[0], y - at[1]);
            let distance = dx * dx + dy * dy;
            if distance < best.0 {
                best = (distance, i);
            }
        }
        best.1
    }

    /// Gradients at the points: each in turn is set to minimise the curvature along its edges, until none changes.
    ///
    /// Along an edge E of length L from point 1 to 2 the curve is a cubic with end slopes a = g1 E, b = -g2 E, and its
    /// squared curvature is (4 a^2 - 4 a b + 4 b^2 + 12 (f1 - f2)(a - b) + const) / L^3, of which the derivative with
    /// respect to g1 must vanish in the sum.
    fn gradients(&self, values: &[f64]) -> Vec<[f64; 2]> {
        let mut out = vec![[0.0; 2]; self.points.len()];
        for _ in 0..SWEEPS {
            let mut moved: f64 = 0.0;
            for (i, near) in self.near.iter().enumerate() {
                if near.is_empty() {
                    continue;
                }
                let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
                let mut right = [0.0; 2];
                for j in near {
                    let [x, y] = self.edge(i, *j);
                    let length = (x * x + y * y).sqrt();
                    let cube = length * length * length;
                    let far = -x * out[*j][0] - y * out[*j][1];
                    xx += 4.0 * x * x / cube;
                    xy += 4.0 * x * y / cube;
                    yy += 4.0 * y * y / cube;
                    let pull = 6.0 * (values[i] - values[*j]) - 2.0 * far;
                    right[0] += pull * x / cube;
                    right[1] += pull * y / cube;
                }
                let determinant = xx * yy - xy * xy;
                let new = [
                    -(yy * right[0] - xy * right[1]) / determinant,
                    -(xx * right[1] - xy * right[0]) / determinant,
                ];
                let change = (out[i][0] - new[0]).abs().max((out[i][1] - new[1]).abs());
                moved = moved.max(change / new[0].abs().max(new[1].abs()).max(1.0));
                out[i] = new;
            }
            if moved < TOLERANCE {
                break;
            }
        }
        out
    }
}

fn cross(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[1] - a[1] * b[0]
}

fn is_sliver(points: &[[f64; 2]], corners: &[usize; 3]) -> bool {
    let [a, b, c] = corners.map(|i| points[i]);
    let (u, v) = ([b[0] - a[0], b[1] - a[1]], [c[0] - a[0], c[1] - a[1]]);
    let size = (u[0] * v[1]).abs() + (u[1] * v[0]).abs();
    cross(u, v).abs() <= 1e-12 * size
}

/// A smooth surface over a mesh.
#[derive(Debug, Clone)]
pub(super) struct Surface<'a> {
    mesh: &'a Mesh,
    values: &'a [f64],
    gradients: Vec<[f64; 2]>,
}

impl<'a> Surface<'a> {
    pub(super) fn new(mesh: &'a Mesh, values: &'a [f64]) -> Self {
        Self {
            mesh,
            values,
            gradients: mesh.gradients(values),
        }
    }

    /// Value in a triangle, at the position with these barycentric coordinates.
    pub(super) fn at(&self, triangle: usize, weights: [f64; 3]) -> f64 {
        let corner = self.mesh.triangles[triangle];
        let slope = |from: usize, to: usize| {
            let [x, y] = self.mesh.edge(corner[from], corner[to]);
            let [gx, gy] = self.gradients[corner[from]];
            gx * x + gy * y
        };
        // Control points of the Bezier net over the triangle, split at its centroid. `near[i][j]`: a third of the way from
        // corner i to corner j; `heart[i]`: from corner i to the centroid.
        let height = corner.map(|i| self.values[i]);
        let near = |i: usize, j: usize| height[i] + slope(i, j) / 3.0;
        let (n01, n02) = (near(0, 1), near(0, 2));
        let (n12, n10) = (near(1, 2), near(1, 0));
        let (n20, n21) = (near(2, 0), near(2, 1));
        let heart = [
            (height[0] + n01 + n02) / 3.0,
            (height[1] + n12 + n10) / 3.0,
            (height[2] + n20 + n21) / 3.0,
        ];
        // The control points across each edge (opposite to corner k), from the condition that the slope across it, towards
        // the neighbour's centroid, is linear along it.
        let across = |k: usize, from: [f64; 2], to: [f64; 2]| {
            let (i, j) = ((k + 1) % 3, (k + 2) % 3);
            let lean = self.lean(triangle, k);
            let ([f1, near1], [f2, near2]) = (from, to);
            (lean * (-f1 + 3.0 * near1 - 3.0 * near2 + f2)
                + (-f1 + 2.0 * near1 - near2 + heart[i] + heart[j]))
                / 2.0
        };
        let side = [
            across(0, [height[1], n12], [height[2], n21]),
            across(1, [height[2], n20], [height[0], n02]),
            across(2, [height[0], n01], [height[1], n10]),
        ];
        let inner = [
            (side[1] + side[2] + heart[0]) / 3.0,
            (side[0] + side[2] + heart[1]) / 3.0,
            (side[0] + side[1] + heart[2]) / 3.0,
        ];
        let middle = (inner[0] + inner[1] + inner[2]) / 3.0;
        // In the third of the triangle that lies opposite to the corner with the least weight, the centroid takes its place.
        let least = weights[0].min(weights[1]).min(weights[2]);
        let [a, b, c] = weights.map(|w| w - least);
        let d = 3.0 * least;
        height[0] * a * a * a
            + height[1] * b * b * b
            + height[2] * c * c * c
            + 3.0 * a * a * (b * n01 + c * n02 + d * heart[0])
            + 3.0 * b * b * (a * n10 + c * n12 + d * heart[1])
            + 3.0 * c * c * (a * n20 + b * n21 + d * heart[2])
            + 6.0 * d * (a * b * side[2] + a * c * side[1] + b * c * side[0])
            + 3.0 * d * d * (a * inner[0] + b * inner[1] + c * inner[2])
            + d * d * d * middle
    }

    /// Direction along an edge of the line between the centroids on both sides of it. At the hull, perpendicular.
    fn lean(&self, triangle: usize, k: usize) -> f64 {
        let Some(other) = self.mesh.beside[triangle][k] else {
            return -0.5;
        };
        let [a, b, c] = self.mesh.triangles[other].map(|i| self.mesh.points[i]);
        let centroid = [(a[0] + b[0] + c[0]) / 3.0, (a[1] + b[1] + c[1]) / 3.0];
        let weights = self.mesh.barycentric(triangle, centroid);
        let (i, j) = ((k + 1) % 3, (k + 2) % 3);
        (2.0 * weights[j] + weights[i] - 1.0) / (2.0 - 3.0 * weights[j] - 3.0 * weights[i])
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::interpolate::clough_tocher::*;

    #[test]
    fn a_plane_is_flat() {
        let points = [
            [0.0, 0.0],
            [2.0, 0.1],
            [0.3, 1.7],
            [2.2, 2.0],
            [1.1, 0.9],
            [3.0, 0.8],
        ];
        let mesh = Mesh::new(&points).unwrap();
        let plane = |[x, y]: [f64; 2]| 3.0 + 2.0 * x - 0.5 * y;
        let values = points.map(plane);
        let surface = Surface::new(&mesh, &values);
        for at in [[1.0, 0.5], [1.5, 1.2], [2.4, 0.9]] {
            let (triangle, weights) = mesh.locate(at).unwrap();
            assert!(
                (surface.at(triangle, weights) - plane(at)).abs() < 1e-5,
                "{at:?}"
            );
        }
        assert!(mesh.locate([5.0, 5.0]).is_none());
        assert_eq!(mesh.nearest([5.0, 5.0]), 3);
    }

    #[test]
    fn points_are_met() {
        let points = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.1], [0.4, 0.5]];
        let values = [1.0, -2.0, 4.0, 0.5, 9.0];
        let mesh = Mesh::new(&points).unwrap();
        let surface = Surface::new(&mesh, &values);
        for (point, value) in points.iter().zip(values) {
            let (triangle, weights) = mesh.locate(*point).unwrap();
            assert!((surface.at(triangle, weights) - value).abs() < 1e-12);
        }
    }

    #[test]
    fn lines_and_doubles_are_refused() {
        assert!(Mesh::new(&[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]).is_err());
        assert!(Mesh::new(&[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).is_err());
        assert!(Mesh::new(&[]).is_err());
    }
}
