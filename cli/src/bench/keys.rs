//! Which key the next request is for: uniform, or zipf as real traffic is.

use rand::RngExt;
use rand::rngs::SmallRng;

/// How requests spread over the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// Few keys get most requests: rank r gets a share in proportion to 1 / r^exponent.
    Zipf,
    /// Every key is as likely.
    Uniform,
}

/// Draws key numbers from `0..count`.
#[derive(Debug)]
pub enum Keys {
    /// Every key is as likely.
    Uniform {
        /// How many keys there are; at least 1.
        count: u64,
    },
    /// Key 0 is the most likely.
    Zipf {
        /// `cumulative[k]` is the share of the keys up to k; the last is 1.
        cumulative: Box<[f64]>,
    },
}

impl Keys {
    /// Keys of a distribution. `exponent` is used by zipf only; `count` 0 is taken as 1.
    pub fn new(distribution: Distribution, count: u32, exponent: f64) -> Self {
        match distribution {
            Distribution::Uniform => Self::Uniform { count: u64::from(count.max(1)) },
            Distribution::Zipf => Self::Zipf { cumulative: zipf_shares(count.max(1), exponent) },
        }
    }

    /// How many keys there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Uniform { count } => *count,
            Self::Zipf { cumulative } => cumulative.len() as u64,
        }
    }

    /// The next key.
    pub fn draw(&self, rng: &mut SmallRng) -> u64 {
        match self {
            Self::Uniform { count } => rng.random_range(0..*count),
            Self::Zipf { cumulative } => {
                let share: f64 = rng.random();
                let key = cumulative.partition_point(|&up_to| up_to <= share);
                key.min(cumulative.len() - 1) as u64
            }
        }
    }
}

fn zipf_shares(count: u32, exponent: f64) -> Box<[f64]> {
    let mut sum = 0.0;
    let mut cumulative: Box<[f64]> = (1..=count)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect();
    for share in &mut cumulative {
        *share /= sum;
    }
    cumulative
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const DRAWS: u32 = 400_000;

    fn counts(keys: &Keys, seed: u64) -> Vec<u32> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut counts = vec![0; usize::try_from(keys.count()).expect("few keys")];
        for _ in 0..DRAWS {
            counts[usize::try_from(keys.draw(&mut rng)).expect("few keys")] += 1;
        }
        counts
    }

    /// Pearson's statistic of what was drawn against the shares it should have.
    fn chi_squared(counts: &[u32], shares: &[f64]) -> f64 {
        counts
            .iter()
            .zip(shares)
            .map(|(&seen, share)| {
                let expected = share * f64::from(DRAWS);
                (f64::from(seen) - expected).powi(2) / expected
            })
            .sum()
    }

    /// For 99 degrees of freedom a true generator exceeds 160 once in about 10,000 seeds.
    const CHI_SQUARED_MAX: f64 = 160.0;

    #[test]
    fn zipf_gives_each_rank_its_share() {
        for exponent in [0.5, 0.99, 1.5] {
            let keys = Keys::new(Distribution::Zipf, 100, exponent);
            let weights: Vec<f64> = (1..=100).map(|rank| f64::from(rank).powf(-exponent)).collect();
            let sum: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let statistic = chi_squared(&counts(&keys, 7), &shares);
            assert!(statistic < CHI_SQUARED_MAX, "exponent {exponent}, seed 7: {statistic}");
        }
    }

    #[test]
    fn zipf_is_told_from_uniform() {
        let uniform = counts(&Keys::new(Distribution::Uniform, 100, 0.0), 7);
        let flat = vec![0.01; 100];
        assert!(chi_squared(&uniform, &flat) < CHI_SQUARED_MAX);
        let zipf = counts(&Keys::new(Distribution::Zipf, 100, 0.99), 7);
        assert!(chi_squared(&zipf, &flat) > 100.0 * CHI_SQUARED_MAX, "the test can fail");
    }

    #[test]
    fn a_seed_gives_the_same_keys_again() {
        let keys = Keys::new(Distribution::Zipf, 10_000, 0.99);
        assert_eq!(counts(&keys, 42), counts(&keys, 42));
        assert_ne!(counts(&keys, 42), counts(&keys, 43));
    }

    #[test]
    fn one_key_is_always_drawn() {
        for distribution in [Distribution::Zipf, Distribution::Uniform] {
            let keys = Keys::new(distribution, 0, 0.99);
            assert_eq!((keys.count(), counts(&keys, 1)[0]), (1, DRAWS));
        }
    }
}
