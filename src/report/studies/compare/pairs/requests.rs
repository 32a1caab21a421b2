//! Comparison of policies by the times of single requests. A policy's requests are resampled once for all of its pairs.

use rayon::prelude::*;

use super::{Pair, Wanted, pair, runs};
use crate::metrics::statistics::{
    Comparison, Options, Resamples, SharedPair, SharedSample, SortedSample, Statistic, Threshold,
    compare, compare_resampled, independent_means, shared_means,
};
use crate::report::studies::compare::ScenarioGroup;
use crate::report::studies::compare::read::{METRIC_NAMES, RequestTimes, request_times};

/// Resamples over requests, for pairs with the first policy; their intervals are narrow at this number.
const RESAMPLES: usize = 400;

/// Resamples for the other, more numerous pairs.
const FEW_RESAMPLES: usize = 100;

/// Number of compared metrics.
const METRICS: usize = METRIC_NAMES.len();

/// Something for each metric, if it is known.
type ByMetric<T> = [Option<T>; METRICS];

/// The samples of a trace's pairs, with their resampled means.
pub(super) struct RequestSamples<'a> {
    wanted: &'a [Wanted<'a>],
    /// Times by policy; `None` if they are not needed or its file does not have them.
    read: Vec<Option<RequestTimes>>,
    groups: Vec<Group>,
    /// Resampled means of policies that have pairs over different requests, by policy and metric.
    alone: Vec<ByMetric<(SortedSample, Vec<f64>)>>,
}

/// Samples over the same requests, and the pairs among them.
struct Group {
    samples: Vec<SharedSample>,
    /// Index in `samples` of each policy's times by metric.
    places: Vec<ByMetric<usize>>,
    /// Resampled means by the index in `wanted` and by metric; `None` for pairs of which another group has the means, or that
    /// share too few requests.
    means: Vec<ByMetric<Vec<(f64, f64)>>>,
}

impl<'a> RequestSamples<'a> {
    /// Reads the requests of a trace's pairs and draws the resamples.
    pub(super) fn read(
        scenario: &ScenarioGroup<'_>,
        policies: &[&str],
        wanted: &'a [Wanted<'a>],
    ) -> Self {
        let is_needed = |policy: usize| {
            let mut pairs = wanted.iter().filter(|one| !one.over_seeds);
            pairs.any(|one| one.first == policy || one.second == policy)
        };
        let trace = wanted[0].trace;
        let one = |policy: usize| {
            let run = is_needed(policy).then(|| runs(scenario, policies[policy], trace))?;
            request_times(&run.first()?.folder).ok().flatten()
        };
        let read = (0..policies.len()).into_par_iter().map(one).collect();
        let mut samples = Self {
            wanted,
            read,
            groups: Vec::new(),
            alone: Vec::new(),
        };
        samples.groups = samples.paired();
        samples.alone = samples.unpaired();
        samples
    }

    /// Both files list requests in the order of the trace, so rows are paired if both runs have all of them.
    fn is_paired(&self, one: &Wanted<'_>) -> bool {
        match (&self.read[one.first], &self.read[one.second]) {
            (Some(a), Some(b)) => a.is_whole && b.is_whole && a.times[0].len() == b.times[0].len(),
            _ => false,
        }
    }

    /// Groups the policies by their number of requests, and the metrics by the requests that have them.
    fn paired(&self) -> Vec<Group> {
        let whole = self.read.iter().flatten().filter(|read| read.is_whole);
        let mut lengths: Vec<usize> = whole.map(|read| read.times[0].len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut groups = Vec::new();
        for length in lengths {
            let members: Vec<Option<&RequestTimes>> = self
                .read
                .iter()
                .map(|read| read.as_ref())
                .map(|read| read.filter(|read| read.is_whole && read.times[0].len() == length))
                .collect();
            let having = |metric: usize| -> Vec<u32> {
                let is_there = |request: &u32| {
                    let mut times = members.iter().flatten().map(|read| &read.times[metric]);
                    times.any(|times| !times[*request as usize].is_nan())
                };
                (0..length as u32).filter(is_there).collect()
            };
            let mut by_requests: Vec<(Vec<u32>, Vec<usize>)> = Vec::new();
            for metric in 0..METRICS {
                let requests = having(metric);
                match by_requests.iter_mut().find(|known| known.0 == requests) {
                    Some(known) => known.1.push(metric),
                    None => by_requests.push((requests, vec![metric])),
                }
            }
            by_requests.retain(|(requests, _)| !requests.is_empty());
            let made = by_requests
                .into_iter()
                .map(|(requests, metrics)| self.group(&members, &requests, &metrics));
            groups.extend(made);
        }
        groups
    }

    fn group(
        &self,
        members: &[Option<&RequestTimes>],
        requests: &[u32],
        metrics: &[usize],
    ) -> Group {
        let mut places = vec![[None; METRICS]; members.len()];
        let mut times: Vec<&[f64]> = Vec::new();
        for (places, member) in places.iter_mut().zip(members) {
            for metric in metrics {
                if let Some(read) = member {
                    places[*metric] = Some(times.len());
                    times.push(&read.times[*metric]);
                }
            }
        }
        let sample = |times: &&[f64]| {
            let values = requests.iter().map(|request| times[*request as usize]);
            SharedSample::new(values.map(|time| Some(time).filter(|time| !time.is_nan())))
        };
        let samples: Vec<SharedSample> = times.par_iter().map(sample).collect();
        let mut means = vec![[const { None }; METRICS]; self.wanted.len()];
        let (mut pairs, mut owners) = (Vec::new(), Vec::new());
        for (place, one) in self.wanted.iter().enumerate() {
            for metric in metrics {
                let both = places[one.second][*metric].zip(places[one.first][*metric]);
                let Some((a, b)) = both.filter(|_| !one.over_seeds) else {
                    continue;
                };
                // Of fewer, a resample might have none.
                if 2 * samples[a].overlap(&samples[b]) >= requests.len() {
                    let resamples = resamples(one);
                    pairs.push(SharedPair { a, b, resamples });
                    owners.push((place, *metric));
                }
            }
        }
        let found = shared_means(&samples, &pairs, Options::default().seed);
        for ((place, metric), found) in owners.into_iter().zip(found) {
            means[place][metric] = Some(found);
        }
        Group {
            samples,
            places,
            means,
        }
    }

    /// Resamples each policy that has a pair over different requests.
    fn unpaired(&self) -> Vec<ByMetric<(SortedSample, Vec<f64>)>> {
        let of_policy = |policy: usize| {
            let pairs = self.wanted.iter().filter(|one| {
                !one.over_seeds
                    && (one.first == policy || one.second == policy)
                    && !self.is_paired(one)
            });
            let most = pairs.map(resamples).max().unwrap_or(0);
            let one = |metric: usize| {
                let times = &self.read[policy].as_ref()?.times[metric];
                let times = times.iter().copied().filter(|time| !time.is_nan());
                let sample = SortedSample::new(times.collect());
                if most == 0 || sample.values().is_empty() {
                    return None;
                }
                let number = policy * METRICS + metric;
                let seed = Options::default().seed;
                let means = independent_means(sample.values(), number, most, seed);
                Some((sample, means))
            };
            std::array::from_fn(one)
        };
        (0..self.read.len())
            .into_par_iter()
            .map(of_policy)
            .collect()
    }

    /// Compares a pair of policies by each metric.
    pub(super) fn compare(
        &self,
        trace: &str,
        (policy, baseline): (&str, &str),
        place: usize,
    ) -> Vec<Pair> {
        let one = &self.wanted[place];
        let options = Options {
            statistic: Statistic::Mean,
            paired: self.is_paired(one),
            resamples: resamples(one),
            threshold: Some(Threshold::TIMES),
            ..Options::default()
        };
        let of_metric = |metric: usize| {
            let comparison = if options.paired {
                self.compare_paired(place, metric, &options)
            } else {
                self.compare_unpaired(one, metric, &options)
            };
            let names = (policy, baseline);
            Some(pair((trace, metric, "requests"), names, comparison?))
        };
        (0..METRICS).filter_map(of_metric).collect()
    }

    fn compare_paired(&self, place: usize, metric: usize, options: &Options) -> Option<Comparison> {
        let one = &self.wanted[place];
        let sample = |group: &Group, policy: usize| group.places[policy][metric];
        let group = self.groups.iter().find(|group| {
            sample(group, one.first).is_some() && sample(group, one.second).is_some()
        })?;
        let a = &group.samples[sample(group, one.second)?];
        let b = &group.samples[sample(group, one.first)?];
        let (own, base) = (a.beside(b), b.beside(a));
        match &group.means[place][metric] {
            Some(means) => compare_resampled(&own, &base, options, || {
                Resamples::of_means(&own, &base, true, means.clone())
            }),
            None => compare(own.values(), base.values(), options),
        }
        .ok()
    }

    fn compare_unpaired(
        &self,
        one: &Wanted<'_>,
        metric: usize,
        options: &Options,
    ) -> Option<Comparison> {
        let (own, own_means) = self.alone[one.second][metric].as_ref()?;
        let (base, base_means) = self.alone[one.first][metric].as_ref()?;
        let means = own_means.iter().copied().zip(base_means.iter().copied());
        let means = means.take(options.resamples).collect();
        compare_resampled(own, base, options, || {
            Resamples::of_means(own, base, false, means)
        })
        .ok()
    }
}

fn resamples(one: &Wanted<'_>) -> usize {
    match one.first {
        0 => RESAMPLES,
        _ => FEW_RESAMPLES,
    }
}
